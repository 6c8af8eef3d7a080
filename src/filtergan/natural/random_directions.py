"""The null of the natural recipe: T trained alike, against random directions of the filters."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.errors import UserError
from filtergan.game.generator import Generator
from filtergan.machine.runtime import derive_seed, own_randomness
from filtergan.machine.runtime import generator as random_generator
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.terms import squared_norm

HALVINGS = 20  # of the interval in which the length of the directions is sought
MEANT = 256  # draws whose mean the null's filters have
PAIRS = 32  # of latents, each seen on some images, on which changes of response are compared


def require_enough(images: int) -> None:
    """See that there are training images enough for the null.

    Raises:
        UserError: There are fewer than `PAIRS`.
    """
    if images < PAIRS:
        raise UserError(
            f"There are {images} training images; give the natural recipe at least {PAIRS}."
        )


def random_directions(gan: NaturalGAN, images: Float[Tensor, "n c h w"], seed: int) -> NaturalGAN:
    """An untrained transformer beside a generator of G(z) = mean + sum z_j D_j, D drawn at random.

    Every filter's directions are as long, over each other, as those filters change under `gan`; all
    are scaled so that moving z changes responses by as much as it does under `gan`: norms of
    filters would not do, since most directions of filters hardly change any response.

    Args:
        gan: A trained one.
        images: Some training images, pixels, on which responses are compared.
        seed: Of directions and of the transformer's weights.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> null = fg.random_directions(gan, images, seed=1)
        >>> null = fg.train_jointly(null, images, fixed=True)  # its transformer alone
    """
    site, latent = gan.site, gan.latent
    config = gan.config.model_copy(update={"head": "directed"})
    parts = gan.latents(MEANT, seed, "null mean").split(gan.at_once)
    means = (len(part) / MEANT * gan.draw(part).mean(0) for part in parts)
    mean = sum(means, torch.zeros(()))
    with own_randomness(derive_seed(seed, "null weights")):
        null = NaturalGAN.built(site, config, gan.discriminator.shape, mean)
    null.discriminator = gan.discriminator  # which does not play here
    null.transformer.to(images.device)
    null.reader.to(images.device)
    generator = null.generator.to(images.device)
    rng = random_generator(seed, "null directions")
    z, z_k = torch.randn(2, PAIRS, latent, generator=rng).to(images.device)
    drawn = torch.randn(generator.directions.shape, generator=rng).to(images.device)
    spread = (gan.draw(z_k) - gan.draw(z)).flatten(2).square().mean((0, 2)).sqrt()
    drawn = drawn * spread.reshape(-1, *[1] * (drawn.ndim - 2))

    wanted = response_change(gan, images, z, z_k)
    low, high = 0.0, 1.0
    with torch.no_grad():
        while _scaled(null, generator, drawn, high, images, z, z_k) < wanted and high < 2**HALVINGS:
            high *= 2
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            reached = _scaled(null, generator, drawn, middle, images, z, z_k)
            low, high = (middle, high) if reached < wanted else (low, middle)
    return null


def _scaled(
    null: NaturalGAN,
    generator: Generator,
    drawn: Tensor,
    scale: float,
    images: Tensor,
    z: Tensor,
    z_k: Tensor,
) -> float:
    """The change of response under the directions at a scale, which the generator then has."""
    generator.directions.copy_(scale * drawn)
    return response_change(null, images, z, z_k)


@torch.no_grad()
def response_change(
    gan: NaturalGAN,
    images: Float[Tensor, "n c h w"],
    z: Float[Tensor, "m latent"],
    z_k: Float[Tensor, "m latent"],
    seen: Float[Tensor, "n c h w"] | None = None,
) -> float:
    """Pooled ‖R(h', G(z')) - R(h, G(z))‖² over ‖R(h, G(z))‖², each pair on images of its own.

    Args:
        gan: Site and generator.
        images: Those that G(z) sees, of which as many follow each other for each pair.
        z: From where.
        z_k: To where.
        seen: Images that G(z') sees; by default the same.
    """
    used = len(images) // len(z) * len(z)
    h = gan.site.input(images[:used])
    h_k = h if seen is None else gan.site.input(seen[:used])
    near, far = gan.site.respond(h, gan.draw(z)), gan.site.respond(h_k, gan.draw(z_k))
    return float(squared_norm(far - near).sum() / squared_norm(near).sum())
