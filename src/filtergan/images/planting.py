"""Planted truth: images transformed once at random, so that a network learns a known invariance."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from filtergan.errors import UserError
from filtergan.families.transformations import affine, distance, photometric
from filtergan.machine.runtime import derive_seed, progress
from filtergan.machine.storage import DiskTensor, batches

RANGES = {"brightness": (0.3, 1.0), "rotation": (-60.0, 60.0), "width": (-0.5, 1.2)}
"""Smallest and largest strength: gain; degrees; pixels that an outline moves, in images of 28x28.
The gain does not exceed 1, because strokes that are white already would only be clipped."""

_SCALE = 4  # subpixels of a pixel, along an axis
_CHUNK = 500


def plant(images: UInt8[Tensor, "n c h w"] | DiskTensor, kind: str, seed: int) -> None:
    """Transform every image by a random strength of its own, in place.

    Args:
        images: Pixels from 0 to 255.
        kind: `brightness` (grey levels times a gain), `rotation` (about the centre, 0 from
            outside) or `width` (bright strokes wider or narrower by a disc).
        seed: Of the strengths, which are uniform within `RANGES`; image i gets the same one however
            many images there are.

    Raises:
        UserError: Stroke width of colour images.
    """
    n, channels, height, width = images.shape
    if kind == "width" and channels != 1:
        raise UserError(
            f"Stroke width is a matter of grey images; these have {channels} channels. Choose "
            "another --dataset.augmentation."
        )
    rng = np.random.default_rng(derive_seed(seed, "augmentation", kind))
    strengths = torch.from_numpy(rng.uniform(*RANGES[kind], n)).float()
    if kind == "width":
        strengths = strengths * min(height, width) / 28
    with progress(n, f"random {kind}", "images") as advance:
        for part in batches(n, _CHUNK):
            x = images[part].float() / 255
            changed = _KINDS[kind](x, strengths[part])
            images[part] = (changed * 255).round().clamp(0, 255).byte()
            advance(len(x))


def _dimmed(x: Float[Tensor, "n c h w"], gain: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    return photometric(x, gain, torch.zeros_like(gain))


def _rotated(x: Float[Tensor, "n c h w"], degrees: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])
    return affine(x, torch.stack(rows).permute(2, 0, 1))


def _widened(x: Float[Tensor, "n 1 h w"], radius: Float[Tensor, " n"]) -> Float[Tensor, "n 1 h w"]:
    """Each image's outline at half its largest grey level, moved by its radius.

    `transformations.width_table` with one grey level instead of sixteen, and a radius for each
    image: a training set takes a minute, not twenty, and strokes are nearly black and white.
    """
    large = F.interpolate(x, scale_factor=_SCALE, mode="bilinear", align_corners=False)
    top = x.amax((1, 2, 3), keepdim=True)
    inside = large > top / 2
    reach = int(_SCALE * float(radius.abs().max())) + 2
    outline = distance(inside, reach) - distance(~inside, reach)
    outline = outline - 0.5 * outline.sign()  # it runs between two subpixels

    def strokes(step: Tensor) -> Tensor:
        return F.avg_pool2d((step - outline + 0.5).clamp(0, 1), _SCALE)

    moved = strokes(_SCALE * radius[:, None, None, None])
    return x + top * (moved - strokes(torch.zeros(())))


_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _dimmed,
    "rotation": _rotated,
    "width": _widened,
}
