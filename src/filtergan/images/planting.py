"""Planted truth: images transformed once at random, so that a network learns a known invariance."""

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from filtergan.families.family import Family
from filtergan.machine import runtime, telling
from filtergan.machine.storage import DiskTensor, batches

_CHUNK = 500


def plant(
    images: UInt8[Tensor, "n c h w"] | DiskTensor,
    family: Family,
    seed: int,
    between: tuple[float, float] | None = None,
) -> None:
    """Transform every image by a random strength of its own, in place.

    Args:
        images: Pixels from 0 to 255.
        family: Of `catalogue.plantable`.
        seed: Of the strengths; image i gets the same one however many images there are.
        between: From where to where they are uniform; None: within the family's own range.

    Raises:
        UserError: It is no change of such images, as stroke width is not of images in colour.
    """
    assert family.strength is not None
    family.require(images.shape[1])
    # The stream keeps the name it had, so that a seed still gives the same images.
    rng = np.random.default_rng(runtime.derive_seed(seed, "augmentation", family.name))
    strengths = family.strength.random(len(images), rng, between)
    with telling.progress(len(images), f"random {family.words}", "images") as advance:
        for part in batches(len(images), _CHUNK):
            x = images[part].float() / 255
            changed = family.apply(x, strengths[part])
            images[part] = (changed * 255).round().clamp(0, 255).byte()
            advance(len(x))
