"""The figures by name: what each shows, and where it is plotted. Nothing heavy is imported here."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filtergan.errors import UserError

FORMATS = ("pdf", "svg", "png")
ANIMATED = ("gif", "webp")
"""Endings of the files in which figures stand still, and in which a walk moves."""
PAPER = "After fig. {} of Kilcher, Bécigneul and Hofmann, arXiv:1710.11386."


@dataclass(frozen=True)
class Named:
    """A figure that can be asked for by name.

    Attributes:
        place: The module here, whose function of the same name plots it.
        meaning: What it shows, in a line.
        caption: What is written about it; `{site}` stands for the site.
    """

    place: str
    meaning: str
    caption: str


FIGURES = {
    "traversal": Named(
        "shown_walks",
        "one image over a plane of two latents, and what has changed in each",
        "An image (blue frame) over a plane of two latents of {site}: images that undo what other "
        "filters change, and what has changed in each.",
    ),
    "traversals": Named(
        "shown_walks",
        "all images that the run shows, each over a plane of two latents",
        "Images (blue frames) over planes of two latents of {site}: images that undo what other "
        "filters change.",
    ),
    "walk": Named(
        "shown_walks",
        "one image along single latents, above what has changed in it; also as gif or webp",
        "An image (blue frame) along latents of {site}: images that undo what other filters "
        "change, above what has changed in each.",
    ),
    "fields": Named(
        "shown_walks",
        "what one image becomes along each latent, beside the fields that make it so",
        "An image along latents of {site}: what it becomes, and the fields by which the "
        "transformer makes it so.",
    ),
    "filters": Named(
        "shown_filters",
        "real filters beside generated ones",
        "Filters of {site}: the network's own, and generated ones, a draw in each column.",
    ),
    "map": Named(
        "shown_filters",
        "real and generated filters on a plane that keeps their distances",
        "Filters of {site} by multidimensional scaling: the network's own (stars) and generated "
        "ones (dots).",
    ),
    "accuracies": Named(
        "shown_numbers",
        "test accuracies of drawn filters and of their controls",
        "Test accuracy with filters drawn at {site} and with their controls, 95 % intervals.",
    ),
    "kinds": Named(
        "shown_numbers",
        "shares of the image change that known families explain, beside null and references",
        "Share of the image change at {site} that families of known transformations explain, "
        "95 % intervals.",
    ),
    "labels": Named(
        "shown_numbers",
        "labels kept over the distance walked",
        "Labels kept over the distance walked in latent space at {site}, 95 % intervals.",
    ),
    "latents": Named(
        "shown_numbers",
        "what each latent does",
        "What each direction of the latent space of {site} does to images.",
    ),
    "curves": Named(
        "shown_numbers",
        "training curves of a site's generator",
        "Training curves of the generator of {site}.",
    ),
    "cnn_curves": Named(
        "shown_numbers",
        "training curves of the network",
        "Training curves of the studied network.",
    ),
    "ceilings": Named(
        "shown_numbers",
        "what filters can undo of known changes of images, at all layers studied",
        "What filters undo of known changes of images, on held-out images.",
    ),
    "depth": Named(
        "shown_numbers",
        "the main measures along the network",
        "The main measures at the sites studied, in the order of the network, 95 % intervals.",
    ),
    "fig2": Named(
        "shown_paper",
        "the paper's fig. 2: filters of a late layer, real and generated",
        "Fig. 2: filters of {site}, the network's own (left) and generated ones, a draw in each "
        f"column. {PAPER.format(2)}",
    ),
    "fig3": Named(
        "shown_paper",
        "the paper's fig. 3: traversals at a late layer",
        "Fig. 3: traversals of two latents of {site}, each around an image (blue frame). "
        f"{PAPER.format(3)}",
    ),
    "fig4": Named(
        "shown_paper",
        "the paper's fig. 4: traversals at an early layer",
        "Fig. 4: traversals of two latents of {site}, each around an image (blue frame). "
        f"{PAPER.format(4)}",
    ),
    "fig5": Named(
        "shown_paper",
        "the paper's fig. 5: filters of a late layer, mapped",
        "Fig. 5: filters of {site} by multidimensional scaling, the network's own (stars) and "
        f"generated ones (dots). {PAPER.format(5)}",
    ),
}
PAPERS = tuple(name for name in FIGURES if name.startswith("fig"))
"""Those of the paper, which choose their sites themselves."""


def plotter(name: str) -> Callable[..., Any]:
    """The function that plots a figure.

    Raises:
        UserError: There is no figure of that name.
    """
    if name not in FIGURES:
        raise UserError(f"There is no figure {name!r}; the figures are {', '.join(FIGURES)}.")
    module = importlib.import_module(f"filtergan.plot.{FIGURES[name].place}")
    return getattr(module, name)
