"""Figures of traversals: grids of images with their numbers."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Rectangle
from torch import Tensor

from filtergan.figures.style import (
    BLUE,
    DASH,
    GREY,
    INK,
    MINUS,
    RED,
    WIDTH,
    array,
    bare,
    page,
    short,
    signed,
    styled,
)

FRAMES = "blue frame: the image itself; red frame: the network's label changed"


@styled
def grid_figure(
    source: Float[Tensor, "c h w"],
    grid: Float[Tensor, "g g c h w"],
    before: Float[Tensor, "g g"],
    after: Float[Tensor, "g g"],
    compensation: Float[Tensor, "g g"],
    image_change: Float[Tensor, "g g"],
    kept: Bool[Tensor, "g g"],
    dims: tuple[int, int],
    offsets: Sequence[float],
    title: str,
    *,
    compensation_null: float | None = None,
    failures: Sequence[str] = (),
) -> Figure:
    """One traversal grid with its numbers beside it (eqs. 6 and 8).

    Args:
        source: The test image x, in [0, 1].
        grid: Recovered images; the first axis follows `dims[0]` (down), the second `dims[1]`
            (across); x itself is in the middle, and out of all numbers.
        before: Profile residual at x, per point.
        after: Profile residual at x_k.
        compensation: 1 - after / before.
        image_change: ||x_k - x|| / ||x||.
        kept: Whether the real network keeps its label.
        dims: The two latent dimensions.
        offsets: Offsets along each, in standard deviations of z.
        title: Above the figure.
        compensation_null: Median compensation of random changes of the filters.
        failures: What speaks against believing the traversals; written above the images.
    """
    whole, figure = _headed(4.75, title, failures)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.72, 1)).ravel()
    axes = left.subplots()
    _plot_grid(axes, grid, kept, offsets)
    axes.set_ylabel(f"offset of z{dims[0]} (standard deviations)")
    axes.set_xlabel(f"offset of z{dims[1]} (standard deviations)")
    top, middle, bottom = right.subplots(3, 1, height_ratios=(0.8, 1, 1))
    _show(top.inset_axes((0.0, 0.12, 0.28, 0.76)), source)
    top.axis("off")
    off = ~_centre(len(offsets))
    figure.supxlabel(FRAMES, fontsize=6.5, color=GREY)
    null = "" if compensation_null is None else f"  (null {short(compensation_null)})"
    numbers = {
        "profile residual": f"{_median(before, off)} → {_median(after, off)}",
        "compensation": f"{_median(compensation, off)}{null}",
        "image change": _median(image_change, off),
        "labels kept": f"{int(array(kept)[off].sum())} of {int(off.sum())}",
    }
    top.text(0.36, 1.0, "medians over the grid", color=GREY, va="top", transform=top.transAxes)
    for line, (name, number) in enumerate(numbers.items()):
        top.text(0.36, 0.76 - 0.2 * line, name, va="top", transform=top.transAxes)
        top.text(0.78, 0.76 - 0.2 * line, number, va="top", transform=top.transAxes)
    _plot_heat(middle, image_change, off, "image change, per point", None)
    _plot_heat(bottom, compensation, off, "compensation, per point", compensation_null)
    return whole


@styled
def grids_figure(
    grids: Float[Tensor, "m g g c h w"],
    before: Float[Tensor, "m g g"],
    after: Float[Tensor, "m g g"],
    compensation: Float[Tensor, "m g g"],
    image_change: Float[Tensor, "m g g"],
    kept: Bool[Tensor, "m g g"],
    dims: Sequence[tuple[int, int]],
    offsets: Sequence[float],
    title: str,
    *,
    compensation_null: float | None = None,
    failures: Sequence[str] = (),
) -> Figure:
    """Several traversal grids on one page, as in the paper's figs. 3 and 4.

    Args:
        grids: Recovered images of each source image; axes as in `grid_figure`.
        before: Profile residual at x, per grid and point.
        after: Profile residual at x_k.
        compensation: 1 - after / before.
        image_change: ||x_k - x|| / ||x||.
        kept: Whether the real network keeps its label.
        dims: The two latent dimensions of each grid.
        offsets: Offsets along each, in standard deviations of z.
        title: Above the figure.
        compensation_null: Median compensation of random changes of the filters.
        failures: What speaks against believing the traversals; written above the images.
    """
    columns = min(4, len(grids))
    rows = math.ceil(len(grids) / columns)
    side = WIDTH / columns
    whole, figure = _headed(rows * (side + 0.42) + 0.5, title, failures)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    off = ~_centre(len(offsets))
    for axes in cells[len(grids) :]:
        axes.set_visible(False)
    for axes, grid, b, a, c, change, k, (i, j) in zip(
        cells, grids, before, after, compensation, image_change, kept, dims, strict=False
    ):
        _plot_grid(axes, grid, k, offsets, ticks=False)
        axes.set_title(f"z{i} ↓   z{j} →", fontsize=6.5, pad=3)
        axes.set_xlabel(
            f"change {_median(change, off)}, compensation {_median(c, off)}\n"
            f"residual {_median(b, off)} → {_median(a, off)}, "
            f"labels {int(array(k)[off].sum())}/{int(off.sum())}",
            fontsize=5.8,
        )
    null = "" if compensation_null is None else f"; null of compensation {short(compensation_null)}"
    figure.supxlabel(
        f"offsets {signed(offsets[0])} to {signed(offsets[-1])} standard deviations of z; medians "
        f"over each grid{null}\n{FRAMES}",
        fontsize=6.5,
        color=GREY,
    )
    return whole


def _plot_grid(
    axes: Axes,
    grid: Float[Tensor, "g g c h w"],
    kept: Bool[Tensor, "g g"],
    offsets: Sequence[float],
    ticks: bool = True,
) -> None:
    """Images as tiles, x framed blue, points with another label framed red."""
    images = _pixels(array(grid))
    size = images.shape[2:4]
    factor = math.ceil(56 / max(size))  # so that the gaps stay thin where images are small
    gap, height, width = 3, size[0] * factor, size[1] * factor
    count = len(offsets)
    canvas = np.ones((count * (height + gap) - gap, count * (width + gap) - gap, 3))
    for row, column in np.ndindex(count, count):
        y, x = row * (height + gap), column * (width + gap)
        tile = images[row, column].repeat(factor, axis=0).repeat(factor, axis=1)
        canvas[y : y + height, x : x + width] = tile
    axes.imshow(canvas)
    changed = ~array(kept)
    for row, column in [*np.argwhere(changed), (count // 2, count // 2)]:
        axes.add_patch(
            Rectangle(
                (column * (width + gap) - 2, row * (height + gap) - 2),
                width + 3,
                height + 3,
                fill=False,
                edgecolor=RED if changed[row, column] else BLUE,
                linewidth=1.4 if ticks else 1.1,
                clip_on=False,
            )
        )
    bare(axes)
    if ticks:
        step = math.ceil(count / 9)
        shown = range(count // 2 % step, count, step)
        labels = [signed(offsets[k]) for k in shown]
        axes.set_xticks([k * (width + gap) + width / 2 for k in shown], labels)
        axes.set_yticks([k * (height + gap) + height / 2 for k in shown], labels)
        axes.tick_params(length=0)


def _headed(height: float, title: str, failures: Sequence[str]) -> tuple[Figure, FigureBase]:
    """A figure with a title, and the part below it, above which stands what speaks against it."""
    whole = page(height + 0.2 * bool(failures))
    whole.suptitle(title)
    (part,) = whole.subfigures(1, 1, squeeze=False).ravel()
    if failures:
        part.suptitle(f"but {'; '.join(failures)}", color=RED, fontweight="bold", fontsize=8)
    return whole, part


def _plot_heat(
    axes: Axes,
    values: Float[Tensor, "g g"],
    off: Bool[np.ndarray, "g g"],
    title: str,
    null: float | None,
) -> None:
    """Numbers per point on a grey scale from 0 to 1, in bold where they exceed the null."""
    shown = np.where(off, array(values), np.nan)
    axes.imshow(shown, cmap="Greys", vmin=0, vmax=1.4)
    size = 9.5 - 0.55 * len(shown)
    if size > 4.5:
        for row, column in np.argwhere(np.isfinite(shown)):
            value = float(shown[row, column])
            axes.text(
                column,
                row,
                short(value) if abs(value) < 1 else f"{value:.1f}".replace("-", MINUS),
                ha="center",
                va="center",
                fontsize=size,
                fontweight="bold" if null is not None and value > null else "normal",
                color="white" if value > 0.8 else INK,
            )
    bare(axes)
    axes.set_title(title + ("" if null is None else " (bold: above the null)"), fontsize=7)


def _show(axes: Axes, image: Float[Tensor, "c h w"]) -> None:
    axes.imshow(_pixels(array(image)))
    bare(axes)


def _pixels(images: np.ndarray) -> np.ndarray:
    """Images [..., c, h, w] as RGB [..., h, w, 3]; channels that are no colours are averaged."""
    if images.shape[-3] != 3:
        images = images.mean(axis=-3, keepdims=True).repeat(3, axis=-3)
    return np.moveaxis(images, -3, -1).clip(0, 1)


def _centre(count: int) -> Bool[np.ndarray, "g g"]:
    centre = np.zeros((count, count), dtype=bool)
    centre[count // 2, count // 2] = True
    return centre


def _median(values: Tensor, where: Bool[np.ndarray, "g g"]) -> str:
    found = array(values)[where]
    found = found[~np.isnan(found)]
    return short(float(np.median(found))) if len(found) else DASH
