"""Figures of numbers: training curves, and values with their intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from filtergan.figures.style import columns, fitted, page, styled, width
from filtergan.images.palette import BLUE, COLOURS, GREY, INK
from filtergan.runs.record import MeasureRecord

PANELS = {
    "loss": ("loss", "discriminator", "generator"),
    "discriminator's score": ("score",),
    "error of Q (chance: 1)": ("information",),
    "accuracy": ("accuracy",),
    "R²": ("r2",),
    "profile residual": ("residual",),
    "norms of W": ("spread", "distance"),
    "learning rate": ("learning_rate",),
    "log compensation": ("compensation",),
    "change of response": ("before", "after"),
    "change of image, norms": ("change",),
    "error of reader (chance: 1)": ("reading",),
    "change of labels, nats": ("labels",),
    "change of logits, squared": ("logits", "draws"),
}
"""Panels of the curves: label of the axis, and how the names of its values begin or end."""


@styled
def curves_figure(events: Sequence[Mapping[str, Any]], stage: str) -> Figure:
    """Training curves of one stage, with one panel for each unit.

    Args:
        events: Lines of events.jsonl.
        stage: The stage whose curves are plotted.
    """
    own = [event for event in events if event["stage"] == stage]
    names = list(dict.fromkeys(name for event in own for name in event))
    panels: dict[str, list[str]] = {}
    for name in names:
        if label := _panel(name):
            panels.setdefault(label, []).append(name)
    across = columns(len(panels), 1.75) if panels else 1
    rows = math.ceil(len(panels) / across)
    figure = page(0.4 + 2.1 * max(1, rows))
    figure.suptitle(fitted(f"Training curves of {stage}", 9))
    if not panels:
        figure.text(0.5, 0.5, "nothing was logged", ha="center", va="center", color=GREY)
        return figure
    cells = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, (label, members) in zip(cells, panels.items(), strict=False):
        for name, colour in zip(members, COLOURS, strict=False):
            curve = [(event["step"], event[name]) for event in own if event.get(name) is not None]
            steps, values = zip(*curve, strict=True) if curve else ((), ())
            axes.plot(steps, values, color=colour, linewidth=1.1, label=name.replace("_", " "))
        if "chance" in label:
            axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_title(label)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlim(left=0)
        if len(members) > 1:
            axes.legend(handlelength=1.2)
    for axes in cells[len(panels) :]:
        axes.set_visible(False)
    return figure


@styled
def intervals_figure(rows: Sequence[tuple[str, MeasureRecord, bool]], label: str) -> Figure:
    """Values with their 95 % intervals, one below the other on one axis.

    Args:
        rows: Name, measure, and whether it is a control (plotted grey).
        label: Of the axis.
    """
    shown = [(n, m, m.value, c) for n, m, c in rows if m.value is not None]
    figure = page(0.75 + 0.26 * len(shown))
    axes = figure.subplots()
    for height, (_, measure, value, control) in enumerate(shown):
        colour = GREY if control else BLUE
        low, high = measure.ci95
        if low is not None and high is not None:
            axes.plot((low, high), (height, height), color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(value, height, "o", color=colour, markersize=4.5)
        axes.annotate(
            f"{value:.4f}",
            (1.0, height),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=INK if not control else GREY,
        )
    names = [fitted(name, 6.5, 0.4 * width()) for name, *_ in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    return figure


def _panel(name: str) -> str | None:
    """Label of the panel in which a logged value is plotted; None: in none."""
    for label, parts in PANELS.items():
        if any(name.startswith(part) or name.endswith(part) for part in parts):
            return label
    return None
