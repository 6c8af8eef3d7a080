"""Brightness: grey levels times a gain; with an offset where it explains."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Explained, Family, Fixed, Reference, Strength, Transform
from filtergan.families.registration import levels
from filtergan.families.transformations import photometric


def dimmed(x: Float[Tensor, "n c h w"], gain: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Grey levels times a gain."""
    return photometric(x, gain, torch.zeros_like(gain))


def after_levels(
    x: Float[Tensor, "m c h w"], target: Float[Tensor, "m c h w"]
) -> Float[Tensor, " m"]:
    """Squared norm of what the best gain and offset leave."""
    gain, offset = levels(x, target)
    return (target - gain * x - offset).flatten(1).square().sum(1)


def _dimming(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """Bright pixels have nowhere to go, so that the reference dims."""
    return lambda s: dimmed(x, 1 - s.clamp(max=1)), 0.1


BRIGHTNESS = Family(
    name="brightness",
    words="brightness",
    strength=Strength(
        dimmed,
        low=0.3,
        high=1.0,  # strokes that are white already would only be clipped
        planted="each training image was dimmed by a factor of its own",
        morphometric="intensity",
    ),
    reference=Reference("brightness", _dimming),
    explained=Explained(
        "photometric",
        meaning="a gain and an offset of all grey levels",
        words="brightness and contrast",
        title="brightness,\ncontrast",
        symbol="P",
        fit=after_levels,
    ),
    fixed=(Fixed("brightness x0.7", dimmed, 0.7),),
)
"""Strength: the gain."""
