"""Figures of evidence: kinds of change, labels kept over distance, what each latent does."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from filtergan.figures.style import DASH, columns, fitted, page, short, signed, styled, width
from filtergan.images.palette import BLUE, COLOURS, GREY, INK, RED
from filtergan.runs.record import NOT_MEASURED, Found, MeasureRecord

Shift = Sequence[float | None]
GRID = "#e6e6e6"
ROW = 0.21  # inches
WIDE = 5.0  # inches from which on shifts and shares stand side by side


@styled
def shares_figure(
    panels: Mapping[str, Found],
    own: str,
    controls: Sequence[str] = (),
    failures: Sequence[str] = (),
) -> Figure:
    """Shares of the image change that families of transformations explain.

    Args:
        panels: Title of each family, then the name of each set of images, then the share; what
            is missing is left out.
        own: The set plotted in blue.
        controls: The sets plotted in grey.
        failures: What speaks against believing the own set; written above.
    """
    rows = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    across = columns(len(panels), 0.68, taken=1.7)
    down = math.ceil(len(panels) / across)
    figure = page(0.3 + (0.5 + ROW * len(rows)) * down + 0.2 * bool(failures))
    cells = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in cells.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, panel) in zip(cells.ravel(), panels.items(), strict=False):
        axes.set_title(title, fontsize=7)
        for height, name in enumerate(rows):
            colour = BLUE if name == own else GREY if name in controls else INK
            _point(axes, panel.get(name, NOT_MEASURED), float(height), colour)
        _share_axis(axes, rows)
    for axes in cells[:, 0]:
        axes.set_yticks(range(len(rows)), rows)
        for label in axes.get_yticklabels():
            if failures and label.get_text() == own:
                label.set_color(RED)
    figure.supxlabel(fitted("share of the image change explained, 95 % interval", 7), fontsize=7)
    _warn(figure, failures, own)
    return figure


@styled
def distances_figure(
    curves: Mapping[str, Sequence[tuple[float, MeasureRecord]]],
    label: str,
    least: float,
    failures: Sequence[str] = (),
) -> Figure:
    """Shares over the distance walked in latent space, with their intervals.

    Args:
        curves: Name, then pairs of a distance (standard deviations of z) and a share.
        label: Of the vertical axis.
        least: Marked by a line: what the share should reach.
        failures: What speaks against believing the walks; written above.
    """
    figure = page(2.3 + 0.2 * bool(failures))
    axes = figure.subplots()
    lowest = least
    for number, (name, points) in enumerate(curves.items()):
        known = sorted((r, e.value, _ends(e)) for r, e in points if e.value is not None)
        # Beside each other, so that no interval hides another.
        shift = 0.03 * (number - (len(curves) - 1) / 2)
        radii = [radius + shift for radius, _, _ in known]
        values, ends = [value for _, value, _ in known], [ends for _, _, ends in known]
        lowest = min([lowest, *values, *(low for low, _ in ends)])
        colour = COLOURS[number]
        axes.plot(radii, values, "o-", color=colour, markersize=3.5, linewidth=1.1, label=name)
        for radius, (low, high) in zip(radii, ends, strict=True):
            axes.plot((radius, radius), (low, high), color=colour, linewidth=1.6, alpha=0.5)
    axes.axhline(least, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        f"to reach: {short(least)}",
        (0, least),
        (3, -3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="top",
        color=GREY,
    )
    room = 0.06 * (1 - lowest)
    axes.set_ylim(max(-room, lowest - 2 * room), 1 + room)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(fitted("distance walked from z, in standard deviations of z", 7))
    axes.set_ylabel(label)
    axes.legend(loc="lower left")
    _warn(figure, failures)
    return figure


@styled
def latents_figure(
    names: Sequence[str],
    shifts: Mapping[str, Sequence[Shift]],
    shares: Mapping[str, Sequence[float | None]],
    failures: Sequence[str] = (),
) -> Figure:
    """What each direction of latent space does: shifts of shape beside explained shares.

    Args:
        names: Of the directions, one row each.
        shifts: Name of each morphometric, then per direction the change and the ends of its
            interval, in standard deviations within a class; empty where there are no strokes.
        shares: Title of each family, then per direction the share of change that it explains.
        failures: What speaks against believing the walks; written above.
    """
    figure = page(0.95 + ROW * len(names) + 0.2 * bool(failures))
    if shifts and width() < WIDE:
        figure.set_figheight(2 * figure.get_figheight())
        above, below = figure.subfigures(2, 1, squeeze=False).ravel()
        cells = [above.subplots(), *below.subplots(1, len(shares), squeeze=False).ravel()]
        first = cells[:2]
    else:
        widths = [0.62 * len(shifts)] * bool(shifts) + [1.0] * len(shares)
        cells = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths).ravel()
        first = cells[:1]
    if shifts:
        _plot_shifts(cells[0], shifts)
    for axes, (title, values) in zip(cells[bool(shifts) :], shares.items(), strict=True):
        axes.set_title(title, fontsize=7)
        _share_axis(axes, names)
        for height, value in enumerate(values):
            if value is None:
                axes.text(0.03, height, DASH, va="center", color=GREY)
                continue
            axes.barh(height, max(value, 0.0), height=0.62, color=COLOURS[5])
            place, side = (value + 0.04, "left") if value < 0.6 else (value - 0.04, "right")
            axes.text(place, height, f"{value:.2f}", va="center", ha=side, fontsize=6)
    for axes in cells:
        axes.tick_params(labelleft=any(axes is one for one in first))
    rows = [fitted(name, 6.5, 0.3 * width()) for name in names]
    for axes in first:
        axes.set_yticks(range(len(names)), rows)
    _warn(figure, failures)
    return figure


def _plot_shifts(axes: Axes, shifts: Mapping[str, Sequence[Shift]]) -> None:
    """A heat map; only shifts whose interval excludes 0 are coloured."""
    table = [[shift[row] for shift in shifts.values()] for row in range(_rows(shifts))]
    sure = np.array([[_sure(cell) for cell in row] for row in table], dtype=float)
    limit = max(0.5, float(np.nanmax(np.abs(sure), initial=0.0)))
    axes.imshow(sure, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for row, cells in enumerate(table):
        for column, (value, _, _) in enumerate(cells):
            shade = abs(sure[row, column]) / limit
            colour = GREY if np.isnan(shade) else "white" if shade > 0.65 else INK
            text = DASH if value is None else signed(round(value, 1))
            size = 6 if width() >= WIDE else 5
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(
        range(len(shifts)), list(shifts), rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.set_xlabel("shift, in standard deviations within a class")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _share_axis(axes: Axes, rows: Sequence[str]) -> None:
    """An axis from 0 to 1, one row below the other."""
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks((0, 0.5, 1), ("0", ".5", "1"))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _point(axes: Axes, entry: MeasureRecord, height: float, colour: str) -> None:
    """A value with its interval; nothing where it was not measured."""
    if entry.value is None:
        return
    axes.plot(_ends(entry), (height, height), color=colour, linewidth=1.6, alpha=0.6)
    axes.plot(entry.value, height, "o", color=colour, markersize=4, clip_on=False)


def _ends(entry: MeasureRecord) -> tuple[float, float]:
    """Ends of the interval; the value itself where there is none."""
    value = math.nan if entry.value is None else entry.value
    low, high = (value if end is None else end for end in entry.ci95)
    return low, high


def _sure(shift: Shift) -> float:
    """A shift whose interval excludes 0; NaN for others."""
    value, low, high = shift
    if value is None or low is None or high is None:
        return float("nan")
    return value if low > 0 or high < 0 else float("nan")


def _rows(shifts: Mapping[str, Sequence[Shift]]) -> int:
    return len(next(iter(shifts.values())))


def _warn(figure: Figure, failures: Sequence[str], what: str = "") -> None:
    """Write above a figure why it, or a part of it, is not to be believed."""
    if failures:
        text = fitted(f"{what} not to be believed: {'; '.join(failures)}".lstrip(), 8)
        figure.suptitle(text, color=RED, fontweight="bold", fontsize=8)
