"""Affine maps: rotation, scale, shear and translation together."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Explained, Family, Reference, Transform
from filtergan.families.transformations import affine


def _mapped(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """A direction over rotation, scale, shear and translation."""
    count, size = int(member.max()) + 1, max(x.shape[2:])
    turn, grow, shear, squeeze = torch.randn(4, count, generator=generator)
    # Velocities that move the strokes, a quarter of the image off its centre, by about a pixel.
    velocity = torch.zeros(count, 3, 3)
    velocity[:, 0, :2] = torch.stack([grow + squeeze, shear - turn], dim=1) / (size / 4)
    velocity[:, 1, :2] = torch.stack([shear + turn, grow - squeeze], dim=1) / (size / 4)
    velocity[:, :2, 2] = torch.randn(count, 2, generator=generator)
    velocity = velocity.to(x)[member]
    return lambda s: affine(x, torch.linalg.matrix_exp(s[:, None, None] * velocity)[:, :2]), 0.05


AFFINE = Family(
    name="affine",
    words="affine map",
    reference=Reference("affine", _mapped),
    explained=Explained(
        "affine",
        meaning="an affine warp",
        words="an affine map",
        title="affine\nmap",
        symbol="A",
    ),
)
