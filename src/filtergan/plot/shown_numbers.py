"""Figures of numbers: training, accuracies, kinds of change, labels, latents, ceilings, depth."""

from collections.abc import Callable

from filtergan.config.site_names import PAPER
from filtergan.errors import UserError
from filtergan.figures import Figure, ceilings_figure, curves_figure
from filtergan.plot.asked import Run, along_the_network, asked_width, chosen, opened
from filtergan.report import plotted
from filtergan.runs.events import read_events
from filtergan.runs.record import SiteRecord
from filtergan.study.opened import trained_by
from filtergan.study.plotting import DEPTHS, measures_by_depth


def accuracies(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Test accuracies of drawn filters and of their controls.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run or site, it is not measured yet, or the width makes no
            sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.accuracies("runs/digits", width="85mm")
    """
    return _measured(run, site, width, plotted.accuracies, "accuracies")


def kinds(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Shares of the image change that families explain, beside null and references.

    Args and errors are those of `accuracies`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.kinds("runs/digits", width="85mm")
    """
    return _measured(run, site, width, plotted.kinds, "kinds of change")


def labels(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Labels kept, by network and judges, over the distance walked in latent space.

    Args and errors are those of `accuracies`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.labels("runs/digits", width="85mm")
    """
    return _measured(run, site, width, plotted.labels, "labels over the distance walked")


def latents(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """What each direction of latent space does to images.

    Args and errors are those of `accuracies`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.latents("runs/digits", width="85mm")
    """
    return _measured(run, site, width, plotted.latents, "latents")


def curves(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Training curves of a site's generator.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run or site, its generator is not trained yet, or the width
            makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.curves("runs/digits", width="85mm")
    """
    run, name = chosen(run, site)
    stage = trained_by(name)
    run.check(name, stage)
    with asked_width(width):
        return curves_figure(read_events(run.path / "events.jsonl"), f"{stage}/{name}")


def cnn_curves(run: Run, *, width: str | None = None) -> Figure:
    """Training curves of the studied network.

    Args:
        run: The run, or its path.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run, its network is one's own or not trained yet, or the width
            makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.cnn_curves("runs/digits", width="85mm")
    """
    run = opened(run)
    events = read_events(run.path / "events.jsonl")
    if not any(event["stage"] == "train-cnn" for event in events):
        raise UserError(f"The run in {run.path} has trained no network, so there are no curves.")
    with asked_width(width):
        return curves_figure(events, "train-cnn")


def ceilings(run: Run, *, width: str | None = None) -> Figure:
    """What filters can undo of known changes of images, at all layers studied.

    Args:
        run: The run, or its path.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run, it has no ceilings yet, images or network are not found,
            or the width makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.ceilings("runs/digits", width="85mm")
    """
    run = opened(run)
    named = {str(name.under(PAPER)): run.record.sites[name] for name in along_the_network(run)}
    found = {name: site.ceilings for name, site in named.items() if site.ceilings}
    if not found:
        raise UserError(
            f"The run in {run.path} has no ceilings; find them with `filtergan ceilings "
            f"{run.path}`."
        )
    with asked_width(width):
        return ceilings_figure(found)


def depth(run: Run, *, width: str | None = None) -> Figure:
    """How the main measures change along the network.

    Args:
        run: The run, or its path.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run, it has too few sites or has not measured them all, images
            or network are not found, or the width makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.depth("runs/digits", width="85mm")
    """
    run = opened(run)
    if len(run.sites) < DEPTHS:
        raise UserError(
            f"A figure along the network takes {DEPTHS} sites or more; the run in {run.path} has "
            f"{len(run.sites)}."
        )
    for name in run.sites:
        run.check(name, "measure")
    sites = {str(name): run.record.sites[name] for name in along_the_network(run)}
    with asked_width(width):
        return measures_by_depth(sites)


def _measured(
    run: Run,
    site: str | None,
    width: str | None,
    plot: Callable[[SiteRecord], Figure | None],
    what: str,
) -> Figure:
    """A figure of the measures of a site."""
    run, name = chosen(run, site, "measure")
    with asked_width(width):
        figure = plot(run.record.sites[name])
    if figure is None:
        raise UserError(f"The run in {run.path} has measured no {what} at {name}.")
    return figure
