"""Figure of ceilings: what filters can undo of known families, over the depth of the reading."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from filtergan.config.site_names import SiteName
from filtergan.figures.depth import labelled
from filtergan.figures.style import DASH, GREY, INK, columns, fitted, page, short, styled
from filtergan.runs.record import CeilingRecord, MeasureRecord

PANELS: dict[Literal["compensation", "share"], str] = {
    "compensation": "compensation: of what the filters\nchange, images take back so much",
    "share": "expressible share: of what the images\nchange, filters take back so much",
}
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
        axes.set_title(title, fontsize=7)
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
    depth = float(np.clip(entry.value, 0, 1))
    corner, size = (column - 0.48, row - 0.46), (0.96, 0.92)
    shade = (1 - 0.84 * depth, 1 - 0.5 * depth, 1 - 0.15 * depth)
    axes.add_patch(Rectangle(corner, *size, facecolor=shade, edgecolor="none"))
    if not numbers:
        return
    low, null = entry.ci95[0], entry.null
    sure = low is None or null is None or low > null
    ink = "white" if depth > 0.6 else INK if sure else GREY
    axes.text(column, row - 0.14, _short(entry.value), ha="center", va="center", color=ink)
    if null is not None:
        ink = "white" if depth > 0.6 else INK
        axes.text(
            column, row + 0.27, _short(null), ha="center", va="center", color=ink, fontsize=4.5
        )


def _short(value: float) -> str:
    return short(round(value, 2) + 0.0)  # no minus before a zero
