"""Figures as files for papers and talks, and what is written below them."""

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.figures import Figure, animated, written
from filtergan.machine.files import write_atomic
from filtergan.plot.asked import Run, opened, transformed
from filtergan.plot.gallery import ANIMATED, FIGURES, FORMATS, PAPERS, plotter
from filtergan.plot.shown_paper import site_of
from filtergan.plot.shown_walks import frames
from filtergan.report.account import images_called


def save(figure: Figure, path: str | os.PathLike[str], *, caption: str = "") -> None:
    """Write a figure whole, as wide as it was plotted, with its fonts.

    A PDF holds whole letters (TrueType), an SVG their outlines; images lie in both, as in a PNG, at
    600 pixels an inch. The same figure gives the same bytes.

    Args:
        figure: The figure.
        path: Where to, ending in .pdf, .svg or .png.
        caption: Kept in the file as its description.

    Raises:
        UserError: The ending is another, or the file could not be written (exit code 1).

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.cnn_curves("runs/digits")
        >>> fg.plot.save(figure, "curves.pdf")
    """
    path = Path(path)
    write_atomic(path, written(figure, _ending(path, FORMATS), path.stem, caption))


def animate(
    run: Run,
    path: str | os.PathLike[str],
    site: str | None = None,
    *,
    image: int | None = None,
    latents: Sequence[int] | None = None,
    width: str | None = None,
) -> None:
    """Write images walked along one latent, there and back, as an animation for talks.

    Args:
        run: The run, or its path.
        path: Where to, ending in .gif or .webp.
        site: Such as `conv4@bn5`; by default the run's first.
        image: Number of a test image, as for `walk`; by default all that the run shows.
        latents: The one; by default that which changes these images most.
        width: Such as `180mm`, at 150 pixels an inch; by default that of a page.

    Raises:
        UserError: As for `walk`; several latents are named; the ending is another; or the file
            could not be written (exit code 1).

    Examples:
        >>> import filtergan as fg
        >>> fg.plot.animate("runs/digits", "walk.gif", image=7, latents=(2,), width="60mm")
    """
    path = Path(path)
    ending = _ending(path, ANIMATED)
    found = frames(run, site, image=image, latents=latents, width=width)
    write_atomic(path, animated(found, ending))


def caption(run: Run, name: str, site: str | None = None) -> str:
    """What is to be written below a figure.

    Args:
        run: The run, or its path.
        name: Of the figure, as `filtergan figure` takes it.
        site: Of which it is plotted; by default the one that the figure takes.

    Raises:
        UserError: There is no such figure, run or site.

    Examples:
        >>> import filtergan as fg
        >>> fg.plot.caption("runs/digits", "cnn_curves")
        'Training curves of the studied network. Data: digits, seed 0.'
    """
    plotter(name)
    run = opened(run)
    sites = transformed(run) if name == "fields" else []
    shown = site_of(name, run) if name in PAPERS else site or (sites or run.sites)[0]
    run.check(shown)
    said = FIGURES[name].caption.format(site=SiteName.parse(shown).prose)
    images = images_called(run.path, run.record, run.config)
    return f"{said} Data: {images}, seed {run.record.seed}."


def export(run: Run, name: str, path: str | os.PathLike[str], **asked: Any) -> str:
    """Plot a figure by its name into a file, as `filtergan figure` does.

    Args:
        run: The run, or its path.
        name: Of the figure.
        path: Where to; the ending says the format.
        **asked: What the figure is told: `site`, `image`, `latents`, `width`; None: nothing.

    Returns:
        Its caption.

    Raises:
        UserError: There is no such figure, it takes nothing of the kind, or cannot be animated; or
            as for the figure, `save` and `animate`.
    """
    plot, run, path = plotter(name), opened(run), Path(path)
    asked = {key: value for key, value in asked.items() if value is not None}
    if others := set(asked) - set(inspect.signature(plot).parameters):
        raise UserError(f"The figure {name} takes no --{min(others)}.")
    moves = path.suffix.lower().removeprefix(".") in ANIMATED
    if moves and name != "walk":
        raise UserError(f"Only a walk can move; {name} is written as {', '.join(FORMATS)}.")
    said = caption(run, name, asked.get("site"))
    if moves:
        animate(run, path, **asked)
    else:
        _ending(path, FORMATS)  # before the work
        save(plot(run, **asked), path, caption=said)
    return said


def _ending(path: Path, known: Sequence[str]) -> str:
    ending = path.suffix.lower().removeprefix(".")
    if ending not in known:
        raise UserError(
            f"{path} ends in none of {', '.join(f'.{one}' for one in known)}, by which its format "
            "is known."
        )
    return ending
