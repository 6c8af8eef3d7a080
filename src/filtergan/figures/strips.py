"""Figures of walks: what becomes of images along latents, above what has changed in them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from filtergan.figures.grids import headed
from filtergan.figures.style import array, bare, columns, fitted, signed, styled, width
from filtergan.figures.tiles import (
    FRAMES,
    change_canvas,
    changes,
    image_canvas,
    limit_of,
    plot_changes,
    plot_images,
    plot_scale,
    steps,
)
from filtergan.images.palette import BLUE, GREY

SIDE = 0.24  # inches left of images, for what they are
ANIMATED_DPI = 150
FEW = 2  # images up to which x, x' and their difference stand side by side
CHANGED, CHANGE = "x\u2032", "x\u2032 \u2212 x"


@styled
def walk_figure(
    source: Float[Tensor, "c h w"],
    rows: Mapping[str, Float[Tensor, "k c h w"]],
    kept: Mapping[str, Bool[Tensor, " k"]],
    offsets: Sequence[float],
    title: str,
    *,
    told: Mapping[str, str] | None = None,
    failures: Sequence[str] = (),
) -> Figure:
    """One image walked along latents: below each row of images, what has changed in them.

    Args:
        source: The image x, in [0, 1].
        rows: Name of a latent to the images recovered along it, in the order of the offsets.
        kept: Whether the network keeps its label, by latent.
        offsets: Of the latent, in standard deviations of z; x itself is at 0.
        title: Above the figure.
        told: What a latent does, where it is known; written above its images.
        failures: What speaks against believing the walks; written above the images.
    """
    across = columns(len(rows), 3.2) if len(rows) > 2 else 1
    down = -(-len(rows) // across)
    tile = (width() / across - SIDE - 0.1) / len(offsets) * source.shape[-2] / source.shape[-1]
    whole, figure = headed(down * (2 * tile + 0.5) + 0.9, title, failures)
    cells = figure.subplots(3 * down, across, squeeze=False, height_ratios=(0.01, 1, 1) * down)
    for axes in cells.ravel():
        axes.axis("off")
    change = {name: changes(images, source) for name, images in rows.items()}
    limit = max(map(limit_of, change.values()))
    middle = int(np.argmin(np.abs(offsets)))
    for number, (name, images) in enumerate(rows.items()):
        first = 3 * (number // across)
        head, above, below = cells[first : first + 3, number % across]
        words = f"{name}: {told[name]}" if told and name in told else name
        head.set_title(fitted(words, 6.5, width() / across - 0.4), fontsize=6.5, pad=1)
        plot_images(above, images[None], array(kept[name])[None], (0, middle))
        plot_changes(below, change[name][None], limit)
        for axes, label in ((above, CHANGED), (below, CHANGE)):
            axes.axis("on")
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=6)
        above.set_anchor("S")  # whatever room is left, an image and its change stay together
        below.set_anchor("N")
        _mark_offsets(below, images[None], offsets)
    plot_scale(
        figure,
        list(cells[-1]),
        limit,
        len(source),
        location="bottom",
        shrink=0.5,
        aspect=40,
        pad=0.03,
    )
    says = f"offsets in standard deviations of z; {FRAMES}"
    figure.supxlabel(fitted(says, 6.5), fontsize=6.5, color=GREY)
    return whole


def walk_frames(
    sources: Float[Tensor, "n c h w"],
    images: Float[Tensor, "k n c h w"],
    offsets: Sequence[float],
    latent: str,
    title: str,
    failures: Sequence[str] = (),
) -> Iterator[np.ndarray]:
    """Images walked along one latent, a frame for each offset, painted one after the other.

    Args:
        sources: The images x, in [0, 1], side by side in each frame, above what becomes of them
            and what has changed.
        images: Recovered at each offset.
        offsets: Of the latent, in standard deviations of z.
        latent: Its name.
        title: Above the images.
        failures: What speaks against believing the walk; written above the images.

    Yields:
        Frames [y, x, 3] of bytes, in the order of the offsets.
    """
    change = changes(images, sources)
    limit = limit_of(change)
    figure = _stage(sources, change[0], limit, offsets, latent, title, failures)
    paint = FigureCanvasAgg(figure)
    paint.draw()
    figure.set_layout_engine("none")  # nothing moves but what is walked
    _, above, below, slider = figure.axes[:4]
    for offset, now, one in zip(offsets, images, change, strict=True):
        above.images[0].set_data(image_canvas(_laid(now)))
        below.images[0].set_data(change_canvas(_laid(one), limit))
        slider.lines[-1].set_data([offset], [0])
        paint.draw()
        yield np.asarray(paint.buffer_rgba())[..., :3].copy()


@styled
def _stage(
    sources: Float[Tensor, "n c h w"],
    change: Float[np.ndarray, "n h w *rgb"],
    limit: float,
    offsets: Sequence[float],
    latent: str,
    title: str,
    failures: Sequence[str],
) -> Figure:
    """What all frames of a walk share: images, then axes of what becomes of them, and a slider."""
    few = len(sources) <= FEW
    tile = (width() - 2 * SIDE - 0.6) / (3 if few else len(sources))
    tile *= sources.shape[-2] / sources.shape[-1]
    high = (len(sources) if few else 3) * tile
    whole, figure = headed(high + 1.2, title, failures)
    whole.set_dpi(ANIMATED_DPI)
    parts: list[Any] = [["x", CHANGED, CHANGE]] if few else [["x"], [CHANGED], [CHANGE]]
    layout = [*parts, ["slider"] * len(parts[0])]
    ratios = [high / len(parts)] * len(parts) + [0.3]
    cells = figure.subplot_mosaic(layout, height_ratios=ratios)
    plot_images(cells["x"], _laid(sources))
    plot_images(cells[CHANGED], _laid(sources))
    plot_changes(cells[CHANGE], _laid(change), limit)
    for label, axes in cells.items():
        if label != "slider":
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    plot_scale(
        figure, [cells[CHANGE]], limit, sources.shape[1], pad=0.02, shrink=min(1, 1.6 / tile)
    )
    slider = cells["slider"]
    bare(slider)
    ends = [min(offsets), max(offsets)]
    slider.set_xlim(ends[0] - 0.3, ends[1] + 0.3)
    slider.set_ylim(-1, 1)
    slider.plot(ends, [0, 0], color=GREY, linewidth=1)
    slider.plot([0], [0], "|", color=GREY, markersize=8)
    slider.plot([ends[0]], [0], "o", color=BLUE, markersize=7)
    slider.set_xticks([ends[0], 0, ends[1]], list(map(signed, (ends[0], 0.0, ends[1]))))
    slider.tick_params(length=0)
    slider.set_xlabel(f"{latent}, in standard deviations")
    return whole


def _laid(images: Any) -> Any:
    """Images side by side; so few that they would be too large, one above the other."""
    return images[:, None] if len(images) <= FEW else images[None]


def _mark_offsets(axes: Axes, images: Float[Tensor, "1 k c h w"], offsets: Sequence[float]) -> None:
    """Write the offsets below a row of images, as many as there is room for."""
    step = -(-len(offsets) // 9)
    shown = range(len(offsets) // 2 % step, len(offsets), step)
    _, across = steps(images)
    axes.set_xticks([(k + 0.5) * across for k in shown], [signed(offsets[k]) for k in shown])
    axes.tick_params(length=0, pad=1.5, labelsize=6)
