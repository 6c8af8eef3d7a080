"""Slant, the strokes sheared to the right, a part of the affine maps."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.affine import AFFINE
from filtergan.families.family import Family, Fixed
from filtergan.families.transformations import affine


def slanted(x: Float[Tensor, "n c h w"], shear: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images, each sheared about its centre by so many columns a row; 0 from outside."""
    matrices = torch.eye(2, 3).to(x).repeat(len(x), 1, 1)
    matrices[:, 0, 1] = shear
    return affine(x, matrices)


SLANT = Family(
    name="slant", words="slant", fixed=(Fixed("slant 0.2", slanted, 0.2),), within=AFFINE
)
