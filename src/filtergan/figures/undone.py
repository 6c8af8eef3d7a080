"""Figure of ceilings: what filters can undo of known families, over the depth of the reading."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from filtergan.config.site_names import SiteName
from filtergan.figures.depth import labelled
from filtergan.figures.style import DASH, columns, fitted, page, short, styled, width
from filtergan.images.palette import GREY, INK
from filtergan.runs.record import CeilingRecord, MeasureRecord

PANELS: dict[Literal["undone", "share"], str] = {
    "undone": "compensation: of what the filters change, images take back so much",
    "share": "expressible share: of what the images change, filters take back so much",
}
TITLE, NAMES = 2.1, 0.9  # inches: a title's at most, and what the names of rows take
MANY = 9  # sites from which on cells are too small for numbers
ROW = 0.27  # inches


@styled
def ceilings_figure(sites: Mapping[str, Mapping[str, CeilingRecord]]) -> Figure:
    """Ceilings of families (rows) at all sites (columns), each with its null below.

    Args:
        sites: Ceilings of each site, in the order of the network.
    """
    names = [SiteName.parse(name) for name in sites]
    rows = list(dict.fromkeys(row for found in sites.values() for row in found))
    labels, reading = labelled(names)
    across = columns(len(PANELS), 2.6)
    down = len(PANELS) // across
    figure = page(0.3 + (1.2 + ROW * len(rows)) * down)
    cells = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes, (key, title) in zip(cells.ravel(), PANELS.items(), strict=True):
        axes.set_title(fitted(title, 7, min(TITLE, width() / across - NAMES)), fontsize=7)
        for column, found in enumerate(sites.values()):
            for row, name in enumerate(rows):
                entry = getattr(found[name], key) if name in found else MeasureRecord()
                _cell(axes, column, row, entry, numbers=len(sites) < MANY)
        axes.set_xlim(-0.5, len(sites) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(len(sites)), labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    where = f"all read at {reading}; " if reading else ""
    below = "below: random filters; grey: no better than these" if len(sites) < MANY else ""
    figure.supxlabel(fitted(where + below, 7), fontsize=7)
    return figure


def _cell(axes: Axes, column: int, row: int, entry: MeasureRecord, numbers: bool) -> None:
    """One ceiling: the darker the more is undone, its number, and what chance gives."""
    if entry.value is None:
        axes.text(column, row, DASH, ha="center", va="center", color=GREY)
        return
    axes.add_patch(cell(column, row, facecolor=shade(entry.value), edgecolor="none"))
    if not numbers:
        return
    ink = "white" if entry.value > 0.6 else INK
    value = GREY if ink == INK and not beyond_null(entry) else ink
    axes.text(column, row - 0.14, near_two(entry.value), ha="center", va="center", color=value)
    if entry.null is not None:
        below = near_two(entry.null)
        axes.text(column, row + 0.27, below, ha="center", va="center", color=ink, fontsize=4.5)


def cell(column: int, row: int, **look: Any) -> Rectangle:
    """The rectangle of a cell, with a little room to its neighbours."""
    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, **look)


def shade(share: float) -> tuple[float, float, float]:
    """The colour of a share, the darker the larger it is."""
    depth = float(np.clip(share, 0, 1))
    return 1 - 0.84 * depth, 1 - 0.5 * depth, 1 - 0.15 * depth


def beyond_null(entry: MeasureRecord) -> bool:
    """Whether a measure with its interval lies above its null, where there are both."""
    low, null = entry.ci95[0], entry.null
    return low is None or null is None or low > null


def near_two(value: float) -> str:
    """Two decimals, without a minus before a zero."""
    return short(round(value, 2) + 0.0)
