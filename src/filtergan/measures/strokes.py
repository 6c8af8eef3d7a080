"""Shapes of strokes in arrays of grey levels, after Morpho-MNIST (Castro et al. 2019)."""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import ndimage

SCALE = 4
"""Strokes are measured on an image this many times finer (Morpho-MNIST)."""

BOUND = 0.02
"""Share of the ink that may lie outside the box, along each axis (Morpho-MNIST)."""


class _Ties(np.random.Generator):
    """Breaks the ties of `medial_axis` in an order that is given.

    Its own random order would make the axis of an image depend on those measured beside it. (An
    order by position would not do: it unravels a straight stroke from one end.)
    """

    def __init__(self, order: Float64[np.ndarray, " pixels"]):
        super().__init__(np.random.PCG64())
        self._order = order

    def permutation(self, x, axis=0):
        assert len(x) == len(self._order)
        return self._order


def measure_strokes(pixels: Float64[np.ndarray, "n h w"]) -> Float64[np.ndarray, "n 9"]:
    """Morphometrics of images, as `morphometry` defines them and in its order.

    Args:
        pixels: Grey levels; no image may be of one level all over.
    """
    from skimage.morphology import medial_axis, skeletonize  # half a second, only needed here

    grey = _refine(pixels)
    dark, bright = grey.min(axis=(1, 2), keepdims=True), grey.max(axis=(1, 2), keepdims=True)
    # A margin of background, and all images in one column: building `medial_axis`'s table takes
    # ten times as long as using it on one digit.
    stroke = np.pad(grey >= (dark + bright) / 2, ((0, 0), (1, 1), (1, 1)))
    column = stroke.reshape(-1, stroke.shape[2])
    noise = np.random.default_rng(0).random(stroke.shape[1:])
    ties = _Ties(np.broadcast_to(noise, stroke.shape)[stroke])
    axis, distance = (a.reshape(stroke.shape) for a in medial_axis(column, None, True, rng=ties))
    ends = _count_ends(skeletonize(column).reshape(stroke.shape))
    inner = stroke[:, 1:-1, 1:-1]
    # Morpho-MNIST boxes all that is not black; but the faint haze of a recovered image would then
    # count as height and width. A pixel of x around the stroke keeps its soft edge.
    near = ndimage.maximum_filter(inner, size=(1, 2 * SCALE + 1, 2 * SCALE + 1))
    boxes = np.array([_box(image) for image in (grey - dark) * near])
    thickness = 2 * (distance * axis).sum(axis=(1, 2)) / axis.sum(axis=(1, 2)) / SCALE
    intensity = (grey * inner).sum(axis=(1, 2)) / inner.sum(axis=(1, 2))
    area = inner.sum(axis=(1, 2)) / SCALE**2
    columns = (area, length(axis), thickness, *boxes.T, intensity, euler(stroke), ends)
    return np.stack(columns, axis=1)


def _refine(pixels: Float64[np.ndarray, "n h w"]) -> Float64[np.ndarray, "n fine_h fine_w"]:
    """Images made finer by Keys' cubic interpolation and a little blur, as Morpho-MNIST did."""
    up, across = (_expansion(size) for size in pixels.shape[1:])
    fine = up[0] @ pixels @ across[0].T
    # The interpolation overshoots at edges; scikit-image clips that.
    low, high = pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True)
    return up[1] @ np.clip(fine, low, high) @ across[1].T


@lru_cache(maxsize=4)
def _expansion(
    size: int,
) -> tuple[Float64[np.ndarray, "fine {size}"], Float64[np.ndarray, "fine fine"]]:
    """Interpolation and blur along one axis, as matrices: both are linear and separable."""
    from skimage.transform import AffineTransform, warp

    down = AffineTransform(scale=(1, 1 / SCALE), translation=(0, 0.5 / SCALE - 0.5))
    shape = (SCALE * size, size)
    expand = warp(np.eye(size), down, output_shape=shape, order=3, mode="reflect", clip=False)
    blur = ndimage.gaussian_filter1d(np.eye(SCALE * size), SCALE / 3, axis=0, mode="reflect")
    return expand, blur


def length(axis: Bool[np.ndarray, "n h w"]) -> Float64[np.ndarray, " n"]:
    """Length of the steps between neighbouring pixels of an axis, in pixels of the image.

    Args:
        axis: Pixels of the finer image.
    """
    across = axis[:, :, 1:] & axis[:, :, :-1]
    down = axis[:, 1:] & axis[:, :-1]
    falling = axis[:, 1:, 1:] & axis[:, :-1, :-1]
    rising = axis[:, 1:, :-1] & axis[:, :-1, 1:]
    straight, oblique = (
        a.sum(axis=(1, 2)) + b.sum(axis=(1, 2)) for a, b in ((across, down), (falling, rising))
    )
    return (straight + math.sqrt(2) * oblique) / SCALE


def euler(stroke: Bool[np.ndarray, "n h w"]) -> Int64[np.ndarray, " n"]:
    """Parts less holes: faces less edges plus corners of the closed pixels (Euler).

    Args:
        stroke: Pixels, with a margin of background.
    """
    across, down = stroke[:, :, 1:] | stroke[:, :, :-1], stroke[:, 1:] | stroke[:, :-1]
    corners = down[:, :, 1:] | down[:, :, :-1]
    faces, *edges, points = (a.sum(axis=(1, 2)) for a in (stroke, across, down, corners))
    return faces - edges[0] - edges[1] + points


def _count_ends(skeleton: Bool[np.ndarray, "n h w"]) -> Int64[np.ndarray, " n"]:
    """End points left after one pixel of the image was cut off at every end."""
    left = np.pad(skeleton, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)

    def tips() -> Bool[np.ndarray, "n h w"]:
        rows = left[:, :-2] + left[:, 1:-1] + left[:, 2:]
        block = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        return (block == 2) & (inner == 1)

    inner = left[:, 1:-1, 1:-1]
    for _ in range(SCALE):
        inner[tips()] = 0
    return tips().sum(axis=(1, 2))


def _box(ink: Float64[np.ndarray, "h w"]) -> tuple[float, float, float]:
    """Slant, width and height of the sheared box that holds all but `BOUND` of the ink each way."""
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    weight = ink / ink.sum()
    middle_y, middle_x = (weight * y).sum(), (weight * x).sum()
    shear = (weight * (x - middle_x) * (y - middle_y)).sum() / (weight * (y - middle_y) ** 2).sum()
    width = _extent((x + 0.5 - shear * (y - middle_y)).ravel(), weight.ravel())
    height = _extent(y.ravel().astype(float), weight.ravel())
    return math.atan(-shear), width / SCALE, height / SCALE


def _extent(positions: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]) -> float:
    """Length of the middle 1 - BOUND of weights on a line, of those below each whole number."""
    cells = np.floor(positions).astype(int)
    below = np.concatenate([[0.0], np.cumsum(np.bincount(cells - cells.min(), weights))])
    ends = np.interp((BOUND / 2, 1 - BOUND / 2), below, np.arange(len(below)))
    return float(ends[1] - ends[0])
