"""Colour: a linear map of the colour of every pixel; as a reference, a tint."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Explained, Family, Fixed, Reference, Strength, Transform


def tinted(x: Float[Tensor, "n c h w"], strength: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """The first channel as it is, the others the more dimmed the later they come."""
    later = torch.linspace(0, 1, x.shape[1]).to(x)
    return x * torch.exp(-strength[:, None] * later)[:, :, None, None]


def _tint(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """Every channel is dimmed by another amount, one not at all."""
    direction = torch.rand(int(member.max()) + 1, x.shape[1], generator=generator)
    direction = (direction - direction.amin(1, keepdim=True)).to(x)[member]
    return lambda s: x * torch.exp(-s[:, None] * direction)[:, :, None, None], 0.2


def _after_colours(
    x: Float[Tensor, "m c h w"], target: Float[Tensor, "m c h w"]
) -> Float[Tensor, " m"]:
    """What the best linear map of colours leaves: tint, saturation and hue besides grey levels."""
    pixels = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).flatten(2)
    wanted = target.flatten(2)
    # Of a grey picture the colours are all alike: the smallest of its many best maps.
    inverse = torch.linalg.pinv(pixels @ pixels.mT, hermitian=True)
    return (wanted - wanted @ pixels.mT @ inverse @ pixels).flatten(1).square().sum(1)


COLOUR = Family(
    name="colour",
    words="tint",
    grey=False,
    strength=Strength(
        tinted,
        low=0.0,
        high=1.2,
        planted="each training image was tinted by a strength of its own",
    ),
    reference=Reference("tint", _tint),
    explained=Explained(
        "colour",
        meaning="a linear map of the colour of every pixel, with an offset",
        words="a linear map of colours",
        title="colours",
        symbol="C",
        fit=_after_colours,
    ),
    fixed=(Fixed("tint 0.5", tinted, 0.5),),
)
