"""Beginning with the spectrum: the changes of filters that images can undo best, and how."""

import torch

from filtergan.errors import UserError
from filtergan.images.domain import as_pixels
from filtergan.machine import runtime
from filtergan.machine.storage import Rows
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.terms import STEP
from filtergan.sites.site import require_images
from filtergan.spectra.leading import FITTED, JUDGED, SIZE, leading


def begin_with_spectrum(gan: NaturalGAN, images: Rows, seed: int) -> None:
    """Give each latent a leading direction of the spectrum, and its transformer what undoes it.

    Filters and fields are scaled to the change of image that the training aims at.

    Args:
        gan: An untrained one that begins with the real filters.
        images: Training images; some are held out to choose directions.
        seed: Of the choice of images.

    Raises:
        UserError: The site has no spectrum, or fewer directions than there are latents.
    """
    natural = gan.config.natural
    require_images(gan.site)
    chosen = runtime.sample(len(images), FITTED + 2 * JUDGED, seed, "spectrum")
    x = as_pixels(images[chosen]).to(gan.site.filters.device)
    fitted, held = x.tensor_split(2)
    found = leading(gan.site, fitted, held, natural.fields, natural.grid, gan.latent)
    if len(found.shares) < gan.latent:
        raise UserError(
            f"The spectrum of {gan.name} has {len(found.shares)} directions, and natural.latent "
            f"asks for {gan.latent}; ask for fewer, or give natural.grid more coefficients."
        )
    scale = natural.size / (SIZE * STEP)
    with torch.no_grad():
        gan.generator.directions.copy_(scale * found.filters)
        gan.transformer.common.copy_(scale * found.fields)
        gan.transformer.decode.weight.zero_()  # no fields of an image's own until it learns some
