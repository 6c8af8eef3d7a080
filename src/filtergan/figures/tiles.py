"""Images side by side: as they are, framed, and as what has changed in them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle
from torch import Tensor

from filtergan.figures.style import array, bare
from filtergan.images.palette import BLUE, RED

CHANGE = "RdBu_r"
"""Colours of a change, which colour-blind readers can tell apart: red up, white none, blue down."""
GAP = 3  # pixels of the canvas between images
LARGE = 56  # pixels of an image's longer side on the canvas, so that gaps stay thin
LEAST = 0.1  # end of the scale of changes, so that rounding does not fill it
FRAMES = "blue frame: the image itself; red, dashed: the network's label changed"


def rgb(images: Float[np.ndarray, "*n c h w"]) -> Float[np.ndarray, "*n h w 3"]:
    """Images as RGB; channels that are no colours are averaged."""
    if images.shape[-3] != 3:
        images = images.mean(axis=-3, keepdims=True).repeat(3, axis=-3)
    return np.moveaxis(images, -3, -1).clip(0, 1)


def changes(
    images: Float[Tensor, "*n c h w"], sources: Float[Tensor, "*m c h w"]
) -> Float[np.ndarray, "..."]:
    """X' - x; averaged over channels that are no colours, which stay three."""
    change = array(images) - array(sources)
    return np.moveaxis(change, -3, -1) if change.shape[-3] == 3 else change.mean(axis=-3)


def limit_of(change: np.ndarray) -> float:
    """The end of a scale for some changes: the largest."""
    return max(LEAST, float(np.abs(change).max(initial=0.0)))


def canvas(tiles: Float[np.ndarray, "r c h w *rgb"]) -> Float[np.ndarray, "y x *rgb"]:
    """Tiles in rows, magnified, with gaps between them that are NaN."""
    rows, across, h, w = tiles.shape[:4]
    large = magnified(h, w)
    height, width = h * large + GAP, w * large + GAP
    whole = np.full((rows * height - GAP, across * width - GAP, *tiles.shape[4:]), np.nan)
    for row, column in np.ndindex(rows, across):
        y, x = row * height, column * width
        tile = tiles[row, column].repeat(large, axis=0).repeat(large, axis=1)
        whole[y : y + height - GAP, x : x + width - GAP] = tile
    return whole


def image_canvas(images: Float[Tensor, "r c k h w"]) -> Float[np.ndarray, "y x 3"]:
    """Images in rows as one picture."""
    return np.nan_to_num(canvas(rgb(array(images))), nan=1.0)


def change_canvas(
    change: Float[np.ndarray, "r c h w *rgb"], limit: float
) -> Float[np.ndarray, "y x *rgb"]:
    """Changes in rows: their values, NaN between them; in colour as a picture, grey for none."""
    if change.ndim == 4:
        return canvas(change)
    return np.nan_to_num(canvas(0.5 + 0.5 * change / limit), nan=1.0).clip(0, 1)


def magnified(height: int, width: int) -> int:
    """Pixels of the canvas across a pixel of an image."""
    return math.ceil(LARGE / max(height, width))


def plot_images(
    axes: Axes,
    images: Float[Tensor, "r c k h w"],
    kept: Bool[np.ndarray, "r c"] | None = None,
    itself: tuple[int, int] | None = None,
    line: float = 1.1,
) -> None:
    """Images in rows.

    Args:
        axes: Where to.
        images: Pixels in [0, 1].
        kept: Whether the network keeps its label; frames in red those where not.
        itself: The place of the image from which the others come; framed in blue.
        line: Width of a frame, in points.
    """
    axes.imshow(image_canvas(images))
    bare(axes)
    framed = {} if itself is None else {itself: (BLUE, "-")}
    if kept is not None:
        framed |= {(int(r), int(c)): (RED, (0, (2.5, 1))) for r, c in np.argwhere(~kept)}
    height, width = steps(images)
    for (row, column), (colour, dashes) in framed.items():
        axes.add_patch(
            Rectangle(
                (column * width - 2, row * height - 2),
                width - GAP + 3,
                height - GAP + 3,
                fill=False,
                edgecolor=colour,
                linewidth=line,
                linestyle=dashes,  # pyright: ignore[reportArgumentType]
                clip_on=False,
            )
        )


def plot_changes(axes: Axes, change: Float[np.ndarray, "r c h w *rgb"], limit: float) -> None:
    """Changes of images in rows, as `changes` gives them.

    Args:
        axes: Where to.
        change: In colour, grey stands for none.
        limit: The change at the ends of the scale.
    """
    axes.imshow(change_canvas(change, limit), cmap=CHANGE, vmin=-limit, vmax=limit)
    bare(axes)


def plot_scale(
    figure: FigureBase, beside: Sequence[Axes], limit: float, channels: int, **place: Any
) -> None:
    """The scale of `plot_changes` beside axes; of images in colour it is that of each channel."""
    colours, label = CHANGE, "x\u2032 \u2212 x"
    if channels == 3:
        colours, label = "gray", f"{label}, each channel"
    mapped = ScalarMappable(Normalize(-limit, limit), colours)
    bar = figure.colorbar(mapped, ax=list(beside), label=label, **place)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.set_ticks([-limit, 0, limit], labels=[f"\u2212{limit:.2g}", "0", f"+{limit:.2g}"])


def steps(images: Float[Tensor, "r c k h w"]) -> tuple[int, int]:
    """From one image of a canvas to the next: down and across."""
    h, w = images.shape[-2:]
    return h * magnified(h, w) + GAP, w * magnified(h, w) + GAP
