"""Stroke width: bright strokes on a dark ground made wider or narrower."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Explained, Family, Fixed, Reference, Strength, Transform
from filtergan.families.transformations import SCALE, strokes_moved


def widened(x: Float[Tensor, "n 1 h w"], step: Float[Tensor, " n"]) -> Float[Tensor, "n 1 h w"]:
    """Each image's outline at half its largest grey level, moved by a step of its own.

    `transformations.width_table` with one grey level instead of eight, and a step for each
    image: a training set takes a minute, not twenty, and strokes are nearly black and white.

    Args:
        x: Images.
        step: Pixels, in images of 28 x 28; in others as large a part of the image.
    """
    radius = step * min(x.shape[2:]) / 28
    return strokes_moved(x, radius[None, :, None, None, None], levels=1)[:, 0]


def _thickened(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """Wider or narrower strokes, after the way of Morpho-MNIST (Castro et al. 2019).

    The enlarged image is made binary at half its largest value and its outline moved; the skeleton
    stays, so no stroke is lost. What changes between that binary image and the moved one is added
    to the image. Independent of `transformations.width_table`, which shall recognise it.
    """
    sign = torch.randint(0, 2, (int(member.max()) + 1,), generator=generator)
    sign = (2 * sign - 1).to(x)[member]
    unique, owner = torch.unique(x.flatten(1), dim=0, return_inverse=True)
    outlines = torch.stack([_outline(image) for image in unique.reshape(-1, *x.shape[2:])]).to(x)

    def transform(strength: Tensor) -> Tensor:
        parts = []
        for image, own, radius in zip(
            x.split(32), owner.split(32), (sign * strength).split(32), strict=True
        ):
            grown = _disc(outlines[own], radius) - _disc(outlines[own], torch.zeros_like(radius))
            top = image.amax((2, 3), keepdim=True)
            parts.append((image + top * grown).clamp(0, 1))
        return torch.cat(parts)

    return transform, 0.1


def _disc(
    outline: Float[Tensor, "n h4 w4"], radius: Float[Tensor, " n"]
) -> Float[Tensor, "n 1 h w"]:
    """What lies within an outline moved by a radius (pixels), reduced to the image's size."""
    within = (SCALE * radius[:, None, None] - outline + 0.5).clamp(0, 1)
    return F.avg_pool2d(within[:, None], SCALE)


def _outline(image: Float[Tensor, "h w"]) -> Float[Tensor, "h4 w4"]:
    """Signed distance (subpixels) to the outline of the binary image, the skeleton far inside."""
    # Every command imports this file, few come here, and these take a while to load.
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize
    from skimage.transform import pyramid_expand

    pixels = image.double().cpu().numpy()
    if not pixels.max() > 0:
        return torch.full((SCALE * len(pixels), SCALE * len(pixels[0])), torch.inf)
    large = pyramid_expand(pixels, upscale=SCALE, order=3)
    ink = large > 0.5 * large.max()
    outside, inside = (np.asarray(distance_transform_edt(mask)) for mask in (~ink, ink))
    signed = np.where(ink, 0.5 - inside, outside - 0.5)
    return torch.from_numpy(np.where(skeletonize(ink), -np.inf, signed)).float()


WIDTH = Family(
    name="width",
    words="stroke width",
    colour=False,
    strength=Strength(
        widened,
        low=-0.5,
        high=1.2,
        planted="the strokes of each training image were made wider or narrower by a step of its "
        "own",
        morphometric="thickness",
    ),
    reference=Reference("thickness", _thickened),
    explained=Explained(
        "width",
        meaning="wider or narrower strokes",
        words="stroke width",
        title="stroke\nwidth",
        symbol="W",
        main=False,
    ),
    fixed=(Fixed("thicker 0.7 px", widened, 0.7), Fixed("thinner 0.7 px", widened, -0.7)),
)
"""Strength: pixels that an outline moves, in images of 28 x 28."""
