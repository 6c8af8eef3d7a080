"""Figures of traversals: grids of images with their numbers."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from filtergan.figures.style import (
    DASH,
    MINUS,
    array,
    bare,
    columns,
    fitted,
    page,
    short,
    signed,
    styled,
    width,
)
from filtergan.figures.tiles import (
    FRAMES,
    changes,
    limit_of,
    plot_changes,
    plot_images,
    plot_scale,
    steps,
)
from filtergan.images.palette import GREY, INK, RED

WIDE = 5.0  # inches from which on parts stand side by side
TITLE, WARNING = 9, 8  # points


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
    """One traversal grid, beside it what has changed in each image, and its numbers (eqs. 6, 8).

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
    wide = width() >= WIDE
    side = (width() - 0.75) / (2 if wide else 1) * grid.shape[-2] / grid.shape[-1]
    heights = (side + 0.35, 2.1) if wide else (2 * side + 0.6, 2.5)
    whole, figure = headed(sum(heights) + 0.4, title, failures)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).ravel()
    left, right = above.subplots(*((1, 2) if wide else (2, 1)))
    _plot_grid(left, grid, kept, offsets, ticks=True)
    for told, dim in zip((left.set_ylabel, left.set_xlabel), dims, strict=True):
        told(fitted(f"offset of z{dim} (standard deviations)", 7, 0.85 * side))
    change = changes(grid, source)
    limit = limit_of(change)
    plot_changes(right, change, limit)
    right.set_xlabel("what has changed in each image")
    beside = [left, right] if wide else [right]
    plot_scale(above, beside, limit, len(source), shrink=0.6, aspect=26, pad=0.02)
    layout = [["numbers", "change", "share"]] if wide else [["numbers"] * 2, ["change", "share"]]
    ratios = {} if wide else {"height_ratios": (0.55, 1)}
    cells = below.subplot_mosaic(layout, **ratios)  # pyright: ignore[reportArgumentType]
    off = ~_centre(len(offsets))
    null = "" if compensation_null is None else f"  (null {short(compensation_null)})"
    numbers = {
        "profile residual": f"{_median(before, off)} → {_median(after, off)}",
        "compensation": f"{_median(compensation, off)}{null}",
        "image change": _median(image_change, off),
        "labels kept": f"{int(array(kept)[off].sum())} of {int(off.sum())}",
    }
    _tell(cells["numbers"], numbers)
    _plot_heat(cells["change"], image_change, off, "image change, per point", None)
    _plot_heat(cells["share"], compensation, off, "compensation, per point", compensation_null)
    figure.supxlabel(fitted(FRAMES, 6.5), fontsize=6.5, color=GREY)
    if engine := whole.get_layout_engine():  # once more, now that axes have the shape of images
        engine.execute(whole)
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
    across = columns(len(grids), 1.5)
    rows = math.ceil(len(grids) / across)
    side = width() / across
    whole, figure = headed(rows * (side + 0.42) + 0.5, title, failures)
    cells = figure.subplots(rows, across, squeeze=False).ravel()
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
    says = (
        f"offsets {signed(offsets[0])} to {signed(offsets[-1])} standard deviations of z; medians "
        f"over each grid{null}\n{FRAMES}"
    )
    figure.supxlabel(fitted(says, 6.5), fontsize=6.5, color=GREY)
    return whole


def headed(height: float, title: str, failures: Sequence[str]) -> tuple[Figure, FigureBase]:
    """A figure with a title, and the part below it, above which stands what speaks against it."""
    warning = fitted(f"but {'; '.join(failures)}", WARNING) if failures else ""
    title = fitted(title, TITLE)
    more = 0.18 * title.count("\n") + (0.2 + 0.16 * warning.count("\n") if warning else 0)
    whole = page(height + more)
    whole.suptitle(title)
    (part,) = whole.subfigures(1, 1, squeeze=False).ravel()
    if warning:
        part.suptitle(warning, color=RED, fontweight="bold", fontsize=WARNING)
    return whole, part


def _plot_grid(
    axes: Axes,
    grid: Float[Tensor, "g g c h w"],
    kept: Bool[Tensor, "g g"],
    offsets: Sequence[float],
    ticks: bool,
) -> None:
    """Images as tiles, x framed blue, points with another label framed red."""
    count, middle = len(offsets), len(offsets) // 2
    plot_images(axes, grid, array(kept), (middle, middle), 1.4 if ticks else 1.1)
    if ticks:
        step = math.ceil(count / 9)
        shown = range(middle % step, count, step)
        labels = [signed(offsets[k]) for k in shown]
        height, across = steps(grid)
        axes.set_xticks([(k + 0.5) * across for k in shown], labels)
        axes.set_yticks([(k + 0.5) * height for k in shown], labels)
        axes.tick_params(length=0)


def _tell(axes: Axes, numbers: dict[str, str]) -> None:
    """Numbers by name, one below the other."""
    axes.axis("off")
    axes.text(0, 1.0, "medians over the grid", color=GREY, va="top", transform=axes.transAxes)
    for line, (name, number) in enumerate(numbers.items()):
        for place, text in ((0, name), (0.42, number)):
            axes.annotate(
                text,
                (place, 1.0),
                (0, -14 - 12 * line),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
            )


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
    title += "" if null is None else " (bold: above the null)"
    axes.set_title(fitted(title, 7, None if width() >= WIDE else width() / 2 - 0.1), fontsize=7)


def _centre(count: int) -> Bool[np.ndarray, "g g"]:
    centre = np.zeros((count, count), dtype=bool)
    centre[count // 2, count // 2] = True
    return centre


def _median(values: Tensor, where: Bool[np.ndarray, "g g"]) -> str:
    found = array(values)[where]
    found = found[~np.isnan(found)]
    return short(float(np.median(found))) if len(found) else DASH
