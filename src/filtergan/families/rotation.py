"""Rotation about the image's centre, a part of the affine maps."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.affine import AFFINE
from filtergan.families.family import Family, Fixed, Strength
from filtergan.families.transformations import affine


def rotated(x: Float[Tensor, "n c h w"], degrees: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images turned by an angle of their own; 0 from outside."""
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])
    return affine(x, torch.stack(rows).permute(2, 0, 1))


ROTATION = Family(
    name="rotation",
    words="rotation",
    strength=Strength(
        rotated,
        low=-60.0,
        high=60.0,
        planted="each training image was turned by an angle of its own",
        morphometric="slant",
    ),
    fixed=(Fixed("rotation 20 deg", rotated, 20.0),),
    within=AFFINE,
)
"""Strength: degrees."""
