"""Strokes drawn with a known width."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

_FINE = 8  # subpixels of a pixel, along an axis


def draw(radii: Tensor, blur: float = 0.0, *, curves: int = 1, size: int = 28) -> Tensor:
    """Images of smooth curves (always the same ones), drawn with these radii in pixels.

    Each pixel has the share of its area that the stroke covers, after a blur of this width.
    """
    generator = torch.Generator().manual_seed(0)
    place = (torch.arange(size * _FINE) + 0.5) / _FINE
    place = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)
    images = []
    for radius in radii:
        strokes = [_stroke(place, _curve(generator, size), float(radius)) for _ in range(curves)]
        images.append(torch.stack(strokes).amax(0))
    fine = torch.stack(images)[:, None]
    if blur:
        bell = torch.exp(-0.5 * (torch.arange(-16, 17) / (blur * _FINE)) ** 2)
        bell = (bell / bell.sum())[None, None, None]
        fine = F.conv2d(F.conv2d(fine, bell, padding=(0, 16)), bell.mT, padding=(16, 0))
    return F.avg_pool2d(fine, _FINE)


def _curve(generator: torch.Generator, size: int) -> Tensor:
    """Points of a cubic Bézier curve that stays clear of the border."""
    a, b, c, d = size * (0.2 + 0.6 * torch.rand(4, 2, generator=generator))
    t = torch.linspace(0, 1, 16)[:, None]
    return (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d


def _stroke(place: Tensor, points: Tensor, radius: float) -> Tensor:
    nearest = torch.full(place.shape[:2], torch.inf)
    for a, b in pairwise(points):
        along = (((place - a) @ (b - a)) / (b - a).square().sum()).clamp(0, 1)[..., None]
        nearest = torch.minimum(nearest, (place - a - along * (b - a)).norm(dim=-1))
    return ((radius - nearest) * _FINE + 0.5).clamp(0, 1)
