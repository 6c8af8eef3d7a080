"""Whether a generator has run away from what its transformer can undo, and what to do then."""

from jaxtyping import Float
from torch import Tensor

from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.random_directions import PAIRS, response_change

LARGE = 0.5  # change of the response, over the squared norm of profiles
LEFT = 0.8  # of it, behind the transformer
TRIED = 100  # steps; of shorter trainings nothing is said, since no transformer learns in them


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
        A sentence; None: it has not run away, or the training was too short to say.
    """
    if gan.config.natural.steps < TRIED:
        return None
    z, z_k = gan.latents(PAIRS, seed, "runaway from"), gan.latents(PAIRS, seed, "runaway to")
    before = response_change(gan, images, z, z_k)
    if not before >= LARGE:
        return None
    each = len(images) // PAIRS
    x, spread = images[: each * PAIRS], (one.repeat_interleave(each, dim=0) for one in (z, z_k))
    if response_change(gan, x, z, z_k, gan.transform(x, *spread)) < LEFT * before:
        return None
    rate = gan.config.natural.generator_rate
    return (
        f"The filters of {gan.name} change responses by {before:.1f} of their squared norm, and "
        "images undo next to nothing of it: they ran away from the transformer. Lower "
        f"natural.generator_rate, as to {rate / 10:.1g}, and natural.game."
    )
