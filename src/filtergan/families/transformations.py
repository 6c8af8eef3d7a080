"""Transformations of images whose nature is known: grey levels, stroke width, affine, smooth warp.

Positions are pixels about the image's centre, horizontal first. Images are sampled bilinearly, and
are 0 outside unless told otherwise. Nothing is clipped.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from filtergan.errors import UserError

CONTROL_POINTS = 4  # along each axis of a spline warp

SCALE = 4  # subpixels of a pixel, along an axis, as in Morpho-MNIST
_LEVELS = 8  # grey levels at which a stroke's outline is taken, in the middle half of all
_CHUNK = 1  # images whose outlines are in memory at once: those of one fit the cache


def photometric(
    x: Float[Tensor, "n c h w"], gain: Float[Tensor, " n"], offset: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Grey levels times a gain plus an offset, one of each an image."""
    return gain[:, None, None, None] * x + offset[:, None, None, None]


def affine(
    x: Float[Tensor, "n c h w"], matrices: Float[Tensor, "n 2 3"]
) -> Float[Tensor, "n c h w"]:
    """x'(p) = x(A p + t) with the rows (A | t), t in pixels."""
    place = coordinates((x.shape[2], x.shape[3])).to(x)
    moved = torch.einsum("nij,jhw->nihw", matrices[:, :, :2], place)
    return displace(x, moved + matrices[:, :, 2, None, None] - place)


def displace(
    x: Float[Tensor, "n c h w"],
    flow: Float[Tensor, "n 2 h w"],
    outside: Literal["zeros", "border"] = "zeros",
    between: Literal["bilinear", "bicubic"] = "bilinear",
) -> Float[Tensor, "n c h w"]:
    """x'(p) = x(p + flow(p)), the flow in pixels; outside, x is 0 or what it is at its border.

    Between pixels `bicubic` blurs less, and may go a little beyond the values around.
    """
    height, width = x.shape[2:]
    place = coordinates((height, width)).to(x) + flow
    # Without aligned corners a grid of -1 .. 1 runs over the outer borders of the pixels.
    grid = place.movedim(1, -1) * place.new_tensor([2 / width, 2 / height])
    return F.grid_sample(x, grid, mode=between, padding_mode=outside, align_corners=False)


def coordinates(size: tuple[int, int]) -> Float[Tensor, "2 h w"]:
    """Position of each pixel of an image of this height and width."""
    rows, columns = (torch.arange(length) - (length - 1) / 2 for length in size)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))


def spline_flow(
    control: Float[Tensor, "n 2 4 4"], size: tuple[int, int]
) -> Float[Tensor, "n 2 h w"]:
    """The flow of an image of this size that has these displacements at the control points.

    Between them it follows natural cubic splines, so that a flow linear in position stays one.

    Args:
        control: Displacements in pixels at 4 x 4 points, spread evenly from the first to the last
            pixel of each axis; rows, then columns.
        size: Height and width.
    """
    rows, columns = (spline_basis(length).to(control) for length in size)
    return torch.einsum("hi,ncij,wj->nchw", rows, control, columns)


def spline_basis(length: int) -> Float[Tensor, "length 4"]:
    """Value at each pixel of the natural cubic spline that is 1 at one control point, 0 at others.

    Source: scipy's CubicSpline.
    """
    from scipy.interpolate import CubicSpline  # takes half a second to import

    knots = torch.linspace(0, length - 1, CONTROL_POINTS, dtype=torch.float64)
    basis = CubicSpline(knots.numpy(), torch.eye(CONTROL_POINTS).numpy(), bc_type="natural")
    return torch.tensor(basis(range(length)), dtype=torch.float32)


def width_table(
    x: Float[Tensor, "n c h w"], radii: Float[Tensor, " r"]
) -> Float[Tensor, "n r c h w"]:
    """Bright strokes made wider (radius > 0) or narrower (< 0) by a disc.

    The image is enlarged; at each of several grey levels the outline is moved by the radius along
    its signed distance, with an edge as soft as a subpixel; the levels are averaged and the image
    reduced. What that does to the image at radius 0 is taken off again, so radius 0 returns it
    exactly, and values may leave [0, 1] by as much.

    The levels are those from a quarter to three quarters of the image's largest value. Drawn
    strokes whose true width changes (box-sampled, with or without blur) are matched better so than
    with levels over the whole range, whose lowest outlines lie outside the stroke.

    Args:
        x: Grey images, bright strokes on dark ground.
        radii: In pixels, fractions allowed.

    Raises:
        UserError: The images are in colour.
    """
    require_grey(x)
    return torch.cat([strokes_moved(part, radii, _LEVELS) for part in x.split(_CHUNK)])


def require_grey(x: Float[Tensor, "n c h w"]) -> None:
    """Refuse what has no strokes to speak of.

    Raises:
        UserError: The images are in colour.
    """
    if x.shape[1] != 1:
        raise UserError(
            f"Stroke width is a matter of grey images; these have {x.shape[1]} channels. "
            "Leave the measures and transformations of stroke width out."
        )


def strokes_moved(
    x: Float[Tensor, "n 1 h w"], radii: Float[Tensor, "r ..."], levels: int
) -> Float[Tensor, "n r 1 h w"]:
    """What `width_table` does, with so many grey levels.

    Args:
        x: Images.
        radii: Each one number, or one for each image [n, 1, 1, 1].
        levels: How many.
    """
    large = F.interpolate(x, scale_factor=SCALE, mode="bilinear", align_corners=False)
    top, steps = x.amax((1, 2, 3)), SCALE * radii
    heights = (0.25 + (torch.arange(levels).to(x) + 0.5) / (2 * levels)) * top[:, None]
    inside = large > heights[:, :, None, None]
    # Outlines run between subpixels: half a subpixel from the nearest on either side.
    wider, narrower = (int(max(0, float(end))) + 2 for end in (steps.max(), -steps.min()))
    outline = distance(inside, wider) - distance(~inside, narrower)
    outline = outline - 0.5 * outline.sign()
    images = [
        F.avg_pool2d((step - outline + 0.5).clamp(0, 1).mean(1, keepdim=True), SCALE)
        for step in (0.0, *steps)
    ]
    change = torch.stack(images[1:], dim=1) - images[0][:, None]
    return x[:, None] + top[:, None, None, None, None] * change


def distance(inside: Bool[Tensor, "... h w"], reach: int) -> Float[Tensor, "... h w"]:
    """Euclidean distance of each pixel to the nearest that is True, as far as `reach`.

    Farther pixels get a number above `reach`. A minimum over rows of squared distances along
    columns is the squared distance in the plane, which makes it two passes of shifted minima.
    """
    far = 2 * reach**2  # farther than what two passes can find
    # The largest number met is far and the square of a shift; the narrow one is twice as fast.
    kind = torch.int16 if far + reach**2 < 2**15 else torch.int32
    squared = torch.where(inside, 0, far).to(kind)
    for axis in (-1, -2):
        sides = (reach, reach) if axis == -1 else (0, 0, reach, reach)
        padded, length = F.pad(squared, sides, value=far), inside.shape[axis]
        squared = padded.narrow(axis, reach, length).clone()
        for shift in range(1, reach + 1):
            for start in (reach - shift, reach + shift):
                torch.minimum(squared, padded.narrow(axis, start, length) + shift**2, out=squared)
    return squared.float().sqrt()
