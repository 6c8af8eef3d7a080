"""A generator of one's own in one call: the joint training, and that of its null."""

from jaxtyping import Int64
from torch import Tensor

from filtergan.config.fields import GanConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.errors import UserError
from filtergan.images.domain import as_pixels
from filtergan.machine import runtime, telling
from filtergan.machine.storage import RowsLike, rows_of
from filtergan.natural.beginning import begin_with_spectrum
from filtergan.natural.joint import train_jointly
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.random_directions import random_directions, require_enough
from filtergan.natural.runaway import runaway
from filtergan.sites.site import Site

FIRST = 256
"""Training images from which scales are taken."""


def learn(
    site: Site,
    images: RowsLike,
    config: NaturalConfig = NaturalConfig(),
    seed: int = 0,
    *,
    game: GanConfig = GanConfig(),
) -> NaturalGAN:
    """Train a generator of a site's filters and the transformer that undoes it, and their null.

    It begins with the real filters, and with the leading directions of the spectrum where
    `config.start` says so. A bar shows how far it is, also in a notebook that has ipywidgets;
    without a terminal a line does, now and then.

    Args:
        site: Of a network of images.
        images: Training images [n, c, h, w], pixels, as `rows_of` makes rows.
        config: Latents, steps, fields and weights of the terms.
        seed: Of all that is random; the same seed gives the same generator.
        game: Sizes of generator and discriminator.

    Returns:
        The generator with its transformer, and as its `null` random directions of the filters with
        a transformer trained alike.

    Raises:
        UserError: The images are no pixels, fewer than 32 or of another shape than the site's, or
            the network takes no images, or gives no labels where these are asked for; or the config
            begins with the paper's generator, which `train_jointly` goes on from.
        Diverged: A loss is not finite.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> gan
        NaturalGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3)
    """
    rows = rows_of(images)
    if config.start == "paper":
        raise UserError("`learn` begins with the real filters; leave config.start as it is.")
    require_enough(len(rows))
    first = as_pixels(rows[first_rows(len(rows), seed)]).to(site.filters.device)
    gan = NaturalGAN.new(site, site.input(first), joint_config(game, config), seed)
    gan.transformer.space.require(first)
    if config.start == "spectrum":
        begin_with_spectrum(gan, rows, seed)
    with telling.progress(config.steps, f"generator of {gan.name}", "steps") as advance:
        gan = train_jointly(gan, rows, seed, on_step=advance)
    if said := runaway(gan, first):
        telling.warn(said)
    null = random_directions(gan, first, seed)
    with telling.progress(config.null_steps, f"null of {gan.name}", "steps") as advance:
        gan.null = train_jointly(null, rows, seed, fixed=True, on_step=advance)
    return gan


def first_rows(count: int, seed: int) -> Int64[Tensor, " n"]:
    """Numbers of the training images from which scales are taken; rows may come by class.

    Args:
        count: How many images there are.
        seed: Of the training.
    """
    return runtime.sample(count, FIRST, seed, "first").sort().values
