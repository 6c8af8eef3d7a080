"""Blur by a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.family import Family, Fixed, Strength


def blurred(x: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images, each blurred by a standard deviation of its own (pixels of 28); 0 from outside."""
    rows, columns = (_gaussian(side, sigma * min(x.shape[2:]) / 28) for side in x.shape[2:])
    return rows[:, None] @ x @ columns[:, None].mT


def _gaussian(side: int, sigma: Float[Tensor, " n"]) -> Float[Tensor, "n side side"]:
    place = torch.arange(side).to(sigma)
    squared = (place[:, None] - place).square()
    reach = torch.arange(-side, side + 1).to(sigma)
    spread = 2 * sigma.square()[:, None, None]
    return torch.exp(-squared / spread) / torch.exp(-reach.square() / spread).sum(2, keepdim=True)


BLUR = Family(
    name="blur",
    words="blur",
    strength=Strength(
        blurred,
        low=0.3,  # changes nothing that could be seen
        high=1.8,
        planted="each training image was blurred by a Gaussian of its own",
    ),
    fixed=(Fixed("blur 1 px", blurred, 1.0),),
)
"""Strength: standard deviation in pixels, in images of 28 x 28."""
