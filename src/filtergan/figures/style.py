"""The style that all figures share: page width, fonts, colours, and how they are written."""

import base64
import io
import math
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from torch import Tensor

from filtergan.images.palette import GREY, INK
from filtergan.machine.distributed import first
from filtergan.machine.files import write_atomic

WIDTH = 7.2
"""Width of a page, in inches, at which figures are plotted where no other is asked for."""
DPI = 200
LETTER = 0.58  # mean width of a letter of the font, in its size
MINUS, DASH = "\u2212", "\u2013"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titleweight": "normal",
    "axes.labelsize": 7,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "figure.titlesize": 9,
    "text.color": INK,
}


Arguments = ParamSpec("Arguments")
_width = ContextVar("width", default=WIDTH)


@contextmanager
def at_width(inches: float) -> Iterator[None]:
    """Figures plotted inside have this width: laid out for it, in letters of the same size."""
    token = _width.set(inches)
    try:
        yield
    finally:
        _width.reset(token)


def width() -> float:
    """Of the figures that are plotted now, in inches."""
    return _width.get()


def columns(panels: int, least: float, taken: float = 0.0) -> int:
    """Panels beside each other, so that each has a least width in inches; in rows alike in length.

    Args:
        panels: How many there are.
        least: Width of one.
        taken: What is left of the first, in inches.
    """
    fitting = max(1, int((width() - taken) / least + 0.01))
    return math.ceil(panels / math.ceil(panels / fitting))


def fitted(text: str, size: float | int, inches: float | None = None) -> str:
    """A text with line breaks, so that it fits the figure, or a width in inches.

    Args:
        text: What may have line breaks of its own.
        size: Of the letters, in points.
        inches: Where not the whole width is free.
    """
    room = (inches or width() - 0.1) * 72
    letters = max(8, int(room / (LETTER * size)))
    while (found := _wrapped(text, letters)) and letters > 8:
        if max(_points(line, size) for line in found) <= room:
            break
        letters -= 1
    return "\n".join(found)


def _wrapped(text: str, letters: int) -> list[str]:
    return [line for part in text.split("\n") for line in textwrap.wrap(part, letters) or [""]]


def _points(text: str, size: float | int) -> float:
    """How wide a line is."""
    font = FontProperties(family=STYLE["font.family"], size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def styled(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Plot in the package's style, whatever the user's own."""

    @wraps(plot)
    def plotted(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            with matplotlib.rc_context(STYLE):
                return plot(*args, **kwargs)

    return plotted


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; of several processes only the first paints it.

    Raises:
        UserError: It could not be written (exit code 1).
    """
    write_atomic(path, png(figure) if first() else b"")


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG; the same figure gives the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def html(figure: Figure, words: str) -> str:
    """A figure as HTML that holds it, for notebooks; `words` say what is seen."""
    content = base64.b64encode(png(figure)).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(words)}" width="720">'


def page(height: float) -> Figure:
    """An empty figure of the width asked for and a height in inches."""
    figure = Figure(figsize=(width(), height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def array(tensor: Tensor) -> np.ndarray:
    """A tensor as numpy has it."""
    return tensor.detach().cpu().numpy()


def short(value: float) -> str:
    """Two decimals, without a leading zero, with a true minus."""
    text = f"{value:.2f}"
    return (text.replace("0.", ".", 1) if abs(value) < 0.995 else text).replace("-", MINUS)


def signed(offset: float) -> str:
    """An offset with its sign, and a true minus."""
    return f"{offset:+.3g}".replace("-", MINUS) if offset else "0"
