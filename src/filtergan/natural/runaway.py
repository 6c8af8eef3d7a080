"""Whether a generator has run away from what its transformer can undo, and what to do then."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.terms import squared_norm
from filtergan.sites.wrappers import untouched

LARGE = 0.5  # change of the response, over the squared norm of profiles
LEFT = 0.8  # of it, behind the transformer


@torch.no_grad()
def runaway(gan: NaturalGAN, images: Float[Tensor, "n c h w"], seed: int = 0) -> str | None:
    """What to change where filters change responses a lot, and images hardly undo any of it.

    A step of Adam is as long for small filters as for large ones. Where they are so small that it
    changes responses by more than images of the size wanted can, the transformer has nothing to
    learn from, and no longer training mends that.

    Args:
        gan: A trained one.
        images: Some training images, pixels.
        seed: Of the latents.

    Returns:
        A sentence; None: it has not run away.
    """
    site, n = gan.site, len(images)
    z, z_k = gan.latents(n, seed, "runaway from"), gan.latents(n, seed, "runaway to")
    filters, filters_k = gan.draw(z), gan.draw(z_k)
    with untouched(site.network):
        h = site.input(images)
        profile, moved = site.respond(h, filters), site.respond(h, filters_k)
        undone = site.respond(site.input(gan.transform(images, z, z_k)), filters_k)
    unit = squared_norm(profile).mean()
    before, after = (float((squared_norm(r - profile) / unit).mean()) for r in (moved, undone))
    if before < LARGE or after < LEFT * before:
        return None
    rate = gan.config.natural.generator_rate
    return (
        f"The filters of {gan.name} change responses by {before:.1f} of their squared norm, and "
        "images undo next to nothing of it: they ran away from the transformer. Lower "
        f"natural.generator_rate, as to {rate / 10:.1g}, and natural.game."
    )
