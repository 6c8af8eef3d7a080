"""The paper's figures 2 to 5, of the sites of a run that stand for its layers 4 and 2."""

from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.figures import Figure
from filtergan.plot.asked import Run, as_in_the_paper, opened
from filtergan.plot.shown_filters import filters, map
from filtergan.plot.shown_walks import traversals


def fig2(run: Run, *, width: str | None = None) -> Figure:
    """Filters of the last layer studied, real and generated.

    Args:
        run: The run, or its path; sites of the paper's recipe are taken, if it has any.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run, it has not come so far, images or network are not found,
            or the width makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.fig2("runs/digits", width="85mm")
    """
    run = opened(run)
    return filters(run, site_of("fig2", run), width=width)


def fig3(run: Run, *, width: str | None = None) -> Figure:
    """Traversals at the last layer studied.

    Args and errors are those of `fig2`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.fig3("runs/digits", width="85mm")
    """
    run = opened(run)
    return traversals(run, site_of("fig3", run), width=width)


def fig4(run: Run, *, width: str | None = None) -> Figure:
    """Traversals at the first layer studied, if there are several.

    Args and errors are those of `fig2`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.fig4("runs/digits", width="85mm")
    """
    run = opened(run)
    return traversals(run, site_of("fig4", run), width=width)


def fig5(run: Run, *, width: str | None = None) -> Figure:
    """Filters of the last layer studied, mapped.

    Args and errors are those of `fig2`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.fig5("runs/digits", width="85mm")
    """
    run = opened(run)
    return map(run, site_of("fig5", run), width=width)


def site_of(name: str, run: Run) -> SiteName:
    """The site that a figure of the paper is plotted of.

    Raises:
        UserError: The figure shows an early layer beside a late one, and the run has but one.
    """
    run = opened(run)
    sites = as_in_the_paper(run)
    early, late = sites[0], sites[-1]
    if name != "fig4":
        return late
    if early == late:
        raise UserError(
            f"The paper's fig. 4 shows an earlier layer than its fig. 3; the run in {run.path} has "
            f"{late} alone."
        )
    return early
