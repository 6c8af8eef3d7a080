"""Every figure of a run, from Python: `fg.plot.traversal(run)` returns a matplotlib figure.

A run is what `fg.open_run` gives, or the path of its directory. `width`, as in `"85mm"`, lays a
figure out for that width; `fg.plot.save(figure, "traversal.pdf")` writes it with its fonts. Nothing
is imported before the first figure is asked for.

Examples:
    >>> import tempfile
    >>> import filtergan as fg
    >>> folder = tempfile.mkdtemp() + "/run"
    >>> config = fg.tiny().model_copy(update={"threads": 1})
    >>> run = fg.run_study(config, folder, until="train-cnn")
    >>> figure = fg.plot.cnn_curves(folder, width="85mm")
    >>> round(25.4 * figure.get_figwidth())
    85
    >>> fg.plot.save(figure, folder + "/curves.pdf", caption=fg.plot.caption(folder, "cnn_curves"))
"""

import importlib
from typing import TYPE_CHECKING, Any

from filtergan.plot.gallery import FIGURES, plotter

if TYPE_CHECKING:
    from filtergan.plot.saved import animate, caption, save
    from filtergan.plot.shown_filters import filters, map
    from filtergan.plot.shown_numbers import (
        accuracies,
        ceilings,
        cnn_curves,
        curves,
        depth,
        kinds,
        labels,
        latents,
    )
    from filtergan.plot.shown_paper import fig2, fig3, fig4, fig5
    from filtergan.plot.shown_walks import fields, traversal, traversals, walk

__all__ = [
    "accuracies",
    "animate",
    "caption",
    "ceilings",
    "cnn_curves",
    "curves",
    "depth",
    "fields",
    "fig2",
    "fig3",
    "fig4",
    "fig5",
    "filters",
    "kinds",
    "labels",
    "latents",
    "map",
    "save",
    "traversal",
    "traversals",
    "walk",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'filtergan.plot' has no attribute {name!r}")
    if name in FIGURES:
        return plotter(name)
    return getattr(importlib.import_module("filtergan.plot.saved"), name)
