"""What a step of the joint training takes, by arithmetic, as `game.cost` says it of the game."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.config.fields import JointConfig
from filtergan.game.cost import (
    FLOAT,
    TOUCHES,
    Cost,
    convolution_flop,
    flop,
    numbers_of,
    places_of,
    saved,
)
from filtergan.machine.storage import MIB
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.site import Site
from filtergan.sites.wrappers import untouched


@dataclass(frozen=True)
class Passes:
    """How often a step passes through each part, forward or at the same cost back.

    Attributes:
        convolution: Of each image: for its profile, for what is moved, for what is undone, and for
            real responses.
        later: The same, of what stands between the convolution and the reading.
        before: Of each image: what stands before the convolution.
        transformer: Of each image.
        reader: Of each image.
        generator: Of each latent.
        discriminator: Of each image.
        first: The discriminator's first layer, through which some need not pass back.
    """

    convolution: int
    later: int
    before: int
    transformer: int
    reader: int
    generator: int
    discriminator: int
    first: int


JOINT = Passes(8, 7, 3, 3, 3, 3, 8, -2)
NULL = Passes(4, 4, 3, 3, 3, 1, 0, 0)
"""Where the generator is fixed, and nothing passes back to it."""


def joint_estimate(
    site: Site, x: Float[Tensor, "n c h w"], config: JointConfig, fixed: bool = False
) -> Cost:
    """What a step of the joint training at a site takes; no step is made.

    Args:
        site: The site.
        x: Some images.
        config: Of the training.
        fixed: Whether only the transformer is trained, as the null's is.

    Raises:
        UserError: The network takes no images [c, h, w].
    """
    natural, passes = config.natural, NULL if fixed else JOINT
    with torch.no_grad():
        inputs = site.input(x)
        response = site.respond(inputs)
    n, latents, shape = natural.batch, 2 * natural.pairs, tuple(response.shape[1:])
    convolution = convolution_flop(tuple(site.filters.shape), places_of(site, inputs))
    with torch.no_grad():
        later = flop(lambda: site.respond(inputs)) // len(x) - convolution
        before = flop(lambda: site.input(x)) // len(x)
        behind = flop(lambda: site.output(x, response=response)) // len(x)
    with torch.device("meta"):  # neither memory nor time
        gan = NaturalGAN.built(site, config, shape)
    z = torch.empty(latents, config.latent, device="meta")
    z_k = torch.empty(n, config.latent, device="meta")
    images = torch.empty(n, *x.shape[1:], device="meta")
    responses = torch.empty(n, *shape, device="meta")
    of_images = natural.labels > 0 or natural.logits > 0
    of_draws = natural.draws > 0 and not fixed
    asked = of_images or of_draws
    # A pass around an exchanged response, and back, leaves out what stands before it.
    back = behind if site.straight else behind - convolution - later
    once_more = asked + 2 * of_images + (0 if site.straight else of_draws)
    parts = (
        (passes.convolution + once_more, n * convolution),
        (passes.later + once_more, n * later),
        (passes.before, n * before),
        (asked + of_images + of_draws, n * behind),
        (of_images + of_draws, n * back),
        (passes.transformer, flop(lambda: gan.transformer(images, z_k, z_k))),
        (passes.reader, flop(lambda: gan.reader(images, images))),
        (passes.generator, flop(lambda: gan.generator(z))),
        (passes.discriminator, flop(lambda: gan.discriminator(responses))),
        (passes.first, flop(lambda: gan.discriminator.trunk[0](responses))),
    )
    trained = [gan.transformer, gan.reader]
    trained += [] if fixed else [gan.generator, gan.discriminator]
    weights = sum(numbers_of(module.parameters()) for module in trained)
    draws = latents * site.filters.numel()
    kept = saved(gan.reader, torch.empty(n, *x.shape[1:], device="meta"), images)
    kept += saved(gan.transformer, images, z_k, z_k) + saved(gan.generator, z)
    with untouched(site.network):
        seen, r = (value.detach().clone().requires_grad_() for value in (x, response))
        around = saved(lambda: site.output(seen, response=r), weights_of=site.network)
        kept += n * saved(lambda: site.input(seen), weights_of=site.network) // len(x)
        kept += (of_images + of_draws) * n * around // len(x)
    kept += 0 if fixed else 3 * saved(gan.discriminator, responses)
    # Weights, gradients, Adam's two states, averages; filters with gradients; what is seen.
    numbers = 5 * weights + 3 * draws + n * (4 * response[0].numel() + 3 * inputs[0].numel())
    return Cost(
        sum(count * each for count, each in parts),
        FLOAT * (TOUCHES * 2 * weights + 6 * draws),
        (kept + FLOAT * numbers) / MIB,
    )
