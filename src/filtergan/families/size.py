"""Size about the image's centre, a part of the affine maps."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.affine import AFFINE
from filtergan.families.family import Family, Fixed
from filtergan.families.transformations import affine


def sized(x: Float[Tensor, "n c h w"], factor: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images, each made so many times as large; 0 from outside."""
    return affine(x, torch.eye(2, 3).to(x) / factor[:, None, None])


SIZE = Family(
    name="size",
    words="size",
    fixed=(Fixed("size x1.1", sized, 1.1), Fixed("size x0.9", sized, 0.9)),
    within=AFFINE,
)
