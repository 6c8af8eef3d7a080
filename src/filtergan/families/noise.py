"""White noise, which no family explains: a reference alone."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Family, Reference, Transform


def _white(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """Not clipped: clipped noise brightens a dark ground, and a quarter of it is photometric."""
    white = torch.randn(x.shape, generator=generator).to(x)
    return lambda s: x + s[:, None, None, None] * white, 0.02


NOISE = Family(name="noise", words="noise", reference=Reference("noise", _white))
