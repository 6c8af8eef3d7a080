"""Figure of latents asked of networks: what each can undo, and whether it ignores it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from filtergan.figures.style import DASH, columns, fitted, page, styled
from filtergan.figures.undone import beyond_null, cell, near_two, shade
from filtergan.images.palette import GREY, INK
from filtergan.runs.record import MeasureRecord

ROW, LEAST = 0.3, 2.2  # inches: height of a row, width of a panel
FRAME = 1.1  # points
LIGHT = 0.9  # share above which a cell is too dark for dark letters


@dataclass(frozen=True)
class Asked:
    """One latent asked of one network.

    Attributes:
        compensation: That its best filters reach, with that of random ones as null.
        verdict: Whether it ignores the latent, in a word.
        own: Whether it is the latent's own network.
    """

    compensation: MeasureRecord
    verdict: str
    own: bool


@styled
def ignored_figure(panels: Mapping[str, Mapping[str, Mapping[str, Asked]]]) -> Figure:
    """Compensation less that of random filters, each latent (row) asked of each network (column).

    Args:
        panels: By site: by latent: by network.
    """
    across = columns(len(panels), LEAST)
    down = -(-len(panels) // across)
    longest = max(map(len, panels.values()))
    figure = page(0.5 + (0.6 + ROW * longest) * down)
    cells = figure.subplots(down, across, squeeze=False)
    for axes in cells.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, rows) in zip(cells.ravel(), panels.items(), strict=False):
        axes.set_title(title, fontsize=7)
        names = sorted({name for row in rows.values() for name in row})
        for height, row in enumerate(rows.values()):
            for place, name in enumerate(names):
                _cell(axes, place, height, row.get(name))
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(longest - 0.5, -0.5)
        axes.set_xticks(range(len(names)), [f"in {name}" for name in names])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    said = (
        "compensation less that of random filters, where these undo anything, and whether the "
        "network ignores what its filters undo (not asked: too little is undone); "
        "framed: the latent's own network; grey: no better than random filters"
    )
    figure.supxlabel(fitted(said, 7), fontsize=7)
    return figure


def _cell(axes: Axes, column: int, row: int, asked: Asked | None) -> None:
    entry = MeasureRecord() if asked is None else asked.compensation
    if asked is None or entry.value is None:
        axes.text(column, row, DASH, ha="center", va="center", color=GREY)
        return
    # What random filters make worse is no merit of the best ones: a null below 0 counts as 0.
    more = entry.value - max(entry.null or 0.0, 0.0)
    frame = INK if asked.own else "none"
    look = {"facecolor": shade(more), "edgecolor": frame, "linewidth": FRAME}
    axes.add_patch(cell(column, row, **look))
    ink = ("white" if more > LIGHT else INK) if beyond_null(entry) else GREY
    at: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
    axes.text(column, row - 0.16, near_two(more), **at)
    axes.text(column, row + 0.22, asked.verdict, fontsize=5.5, **at)
