"""Shift to the right, a part of the affine maps."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.affine import AFFINE
from filtergan.families.family import Family, Fixed, Strength
from filtergan.families.transformations import displace


def shifted(x: Float[Tensor, "n c h w"], pixels: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images, each moved to the right by so many pixels of 28; 0 from outside."""
    flow = torch.zeros_like(x[:, :1]).repeat(1, 2, 1, 1)
    flow[:, 0] = -(pixels * min(x.shape[2:]) / 28)[:, None, None]
    return displace(x, flow)


SHIFT = Family(
    name="shift",
    words="shift",
    strength=Strength(
        shifted,
        low=-4.0,
        high=4.0,
        planted="each training image was moved to a side by a step of its own",
    ),
    fixed=(Fixed("shift 1 px", shifted, 1.0), Fixed("shift 2 px", shifted, 2.0)),
    within=AFFINE,
)
"""Strength: pixels to the right, in images of 28 x 28."""
