"""Five transformations of known nature, made as large as a traversal's (measures M5 and M9).

A traversal's numbers are read beside those of these references, which go through the same code at
the same image change: what a measure says of a known transformation is what it can be believed for.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from skimage.transform import pyramid_expand
from torch import Tensor

from filtergan.families.transformations import (
    CONTROL_POINTS,
    affine,
    coordinates,
    displace,
    photometric,
    require_grey,
)
from filtergan.machine.runtime import generator as seeded

REFERENCES = ("brightness", "thickness", "affine", "warp", "noise")
"""Of grey images."""
COLOUR_REFERENCES = ("brightness", "tint", "affine", "warp", "noise")
"""Of images in colour, in which no strokes are measured."""

_HALVINGS = 14  # of the interval that holds a strength
_SCALE = 4  # subpixels of a pixel, along an axis, as in Morpho-MNIST

Transform = Callable[[Float[Tensor, " n"]], Float[Tensor, "n c h w"]]
"""The images, each transformed with its own strength; 0 leaves them as they are."""


def reference(
    name: str,
    x: Float[Tensor, "n c h w"],
    change: Float[Tensor, " n"],
    groups: Int64[Tensor, " n"],
    seed: int,
) -> Float[Tensor, "n c h w"]:
    """Transform images in a known way, by as much as they are wanted to change.

    The images of a group undergo one transformation, in direction and strength (noise: the same
    strength), as those of a traversal do that share z and z_k. The strength is the smallest that
    gives the root mean square over the group of ||x' - x|| / ||x|| that `change` has. Where there
    is none (a stroke cannot be made thinner than its skeleton), the largest one tried is used.

    Args:
        name: One of `REFERENCES` or `COLOUR_REFERENCES`. `brightness` dims, since bright pixels
            have nowhere to go; `tint` dims every colour channel by another amount, one not at all;
            `thickness` makes strokes wider or narrower; `affine` draws a direction over rotation,
            scale, shear and translation; `warp` is a smooth random displacement that no affine map
            follows; `noise` is white and not clipped: clipped noise brightens a dark ground, and a
            quarter of that change would be photometric.
        x: Images in [0, 1].
        change: Wanted ||x' - x|| / ||x|| of each.
        groups: Which images belong together.
        seed: Of all that is random.

    Returns:
        Transformed images; all but those of `noise` in [0, 1].

    Raises:
        UserError: Stroke thickness of images in colour.
    """
    _, member = torch.unique(groups, return_inverse=True)
    transform, first = _TRANSFORMS[name](x, member, seeded(seed, "reference", name))
    norm = x.flatten(1).norm(dim=1)

    def over_group(ratio: Float[Tensor, " n"]) -> Float[Tensor, " groups"]:
        """Root mean square over those images of each group that are not black."""
        sums = torch.zeros(2, int(member.max()) + 1, dtype=x.dtype)
        sums[0].index_add_(0, member, torch.where(norm > 0, ratio**2, 0))
        sums[1].index_add_(0, member, (norm > 0).to(x))
        return (sums[0] / sums[1].clamp(min=1)).sqrt()

    def changed(strength: Float[Tensor, " groups"]) -> Float[Tensor, " groups"]:
        moved = (transform(strength[member]) - x).flatten(1).norm(dim=1)
        return over_group(moved / norm.clamp(min=1e-12))

    return transform(_strength(changed, over_group(change), first)[member])


def _strength(
    changed: Callable[[Tensor], Tensor], wanted: Float[Tensor, " groups"], first: float
) -> Float[Tensor, " groups"]:
    """The smallest strengths that change as much as wanted, by doubling and then halving."""
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, first)
    for _ in range(6):
        short = changed(high) < wanted
        if not short.any():
            break
        low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = changed(middle) < wanted
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (low + high) / 2


def _brightness(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    return lambda s: photometric(x, 1 - s.clamp(max=1), torch.zeros_like(s)), 0.1


def _tint(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    direction = torch.rand(int(member.max()) + 1, x.shape[1], generator=generator)
    direction = (direction - direction.amin(1, keepdim=True)).to(x)[member]
    return lambda s: x * torch.exp(-s[:, None] * direction)[:, :, None, None], 0.2


def _affine(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    count, size = int(member.max()) + 1, max(x.shape[2:])
    turn, grow, shear, squeeze = torch.randn(4, count, generator=generator)
    # Velocities that move the strokes, a quarter of the image off its centre, by about a pixel.
    velocity = torch.zeros(count, 3, 3)
    velocity[:, 0, :2] = torch.stack([grow + squeeze, shear - turn], dim=1) / (size / 4)
    velocity[:, 1, :2] = torch.stack([shear + turn, grow - squeeze], dim=1) / (size / 4)
    velocity[:, :2, 2] = torch.randn(count, 2, generator=generator)
    velocity = velocity.to(x)[member]
    return lambda s: affine(x, torch.linalg.matrix_exp(s[:, None, None] * velocity)[:, :2]), 0.05


def _warp(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    """Gaussian displacements whose correlation falls to exp(-1/2) over a control spacing.

    What an affine map could follow is projected out in the metric of the group's images: a flow
    counts by how much it changes them, to first order the sum of (gradient . flow)^2.
    """
    count, (height, width) = int(member.max()) + 1, x.shape[2:]
    rows, columns = (_correlated(length).to(x) for length in (height, width))
    white = torch.randn(count, 2, height, width, generator=generator).to(x)
    flow = torch.einsum("ai,ncij,bj->ncab", rows, white, columns)

    slopes = torch.stack(torch.gradient(x, dim=(3, 2)))  # horizontal first, as flows
    slopes = slopes / slopes.square().mean((0, 2, 3, 4), keepdim=True).sqrt().clamp(min=1e-6)
    metric = x.new_zeros(count, 2, 2, height, width)
    metric.index_add_(0, member, torch.einsum("anchw,bnchw->nabhw", slopes, slopes))
    place = coordinates((height, width)).to(x) / max(height, width)
    linear = torch.cat([torch.ones_like(place[:1]), place])
    normal = torch.einsum("nabhw,khw,lhw->nakbl", metric, linear, linear).reshape(count, 6, 6)
    seen = torch.einsum("nabhw,khw,nbhw->nak", metric, linear, flow).flatten(1)
    ridge = 1e-6 * normal.diagonal(dim1=1, dim2=2).mean(1) + 1e-6
    followed = torch.linalg.solve(normal + ridge[:, None, None] * torch.eye(6).to(x), seen)
    flow = flow - torch.einsum("nak,khw->nahw", followed.view(count, 2, 3), linear)
    flow = (flow / flow.square().mean((1, 2, 3), keepdim=True).sqrt())[member]
    return lambda s: displace(x, s[:, None, None, None] * flow), 0.1


def _correlated(length: int) -> Float[Tensor, "length length"]:
    """A square root of the covariance of the displacements along one axis."""
    place = torch.arange(length, dtype=torch.float64)
    spacing = (length - 1) / (CONTROL_POINTS - 1)
    covariance = torch.exp(-0.5 * ((place[:, None] - place) / spacing) ** 2)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()


def _noise(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    white = torch.randn(x.shape, generator=generator).to(x)
    return lambda s: x + s[:, None, None, None] * white, 0.02


def _thickness(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    """Wider or narrower strokes, after the way of Morpho-MNIST (Castro et al. 2019).

    The enlarged image is made binary at half its largest value and its outline moved; the skeleton
    stays, so no stroke is lost. What changes between that binary image and the moved one is added
    to the image. Independent of `transformations.width_table`, which shall recognise it.
    """
    require_grey(x)
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
    within = (_SCALE * radius[:, None, None] - outline + 0.5).clamp(0, 1)
    return F.avg_pool2d(within[:, None], _SCALE)


def _outline(image: Float[Tensor, "h w"]) -> Float[Tensor, "h4 w4"]:
    """Signed distance (subpixels) to the outline of the binary image, the skeleton far inside."""
    pixels = image.double().cpu().numpy()
    if not pixels.max() > 0:
        return torch.full((_SCALE * len(pixels), _SCALE * len(pixels[0])), torch.inf)
    large = pyramid_expand(pixels, upscale=_SCALE, order=3)
    ink = large > 0.5 * large.max()
    outside, inside = (np.asarray(distance_transform_edt(mask)) for mask in (~ink, ink))
    signed = np.where(ink, 0.5 - inside, outside - 0.5)
    return torch.from_numpy(np.where(skeletonize(ink), -np.inf, signed)).float()


_TRANSFORMS = {
    "brightness": _brightness,
    "tint": _tint,
    "thickness": _thickness,
    "affine": _affine,
    "warp": _warp,
    "noise": _noise,
}
