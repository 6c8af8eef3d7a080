"""What all figures ask for: a run, one of its sites, and a width."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filtergan.config.site_names import NATURAL, PAPER, SiteName
from filtergan.figures import at_width, inches
from filtergan.measures.gates import failures
from filtergan.study.opened import OpenedRun, open_run
from filtergan.study.plotting import UNASSESSED, Grids
from filtergan.study.selection import in_order

Run = OpenedRun | str | os.PathLike[str]
"""A run, or the path of its directory."""


def opened(run: Run) -> OpenedRun:
    """The run itself.

    Raises:
        UserError: There is none at the path, or its record is damaged.
    """
    return run if isinstance(run, OpenedRun) else open_run(run)


def chosen(run: Run, site: str | None, stage: str | None = None) -> tuple[OpenedRun, SiteName]:
    """The run and a site, by default its first, at which a stage is done.

    Raises:
        UserError: The run has no such site, or has not come so far.
    """
    run = opened(run)
    name = run.sites[0] if site is None else site
    run.check(name, stage)
    return run, SiteName.parse(name)


def transformed(run: OpenedRun) -> list[SiteName]:
    """Sites whose images a transformer makes."""
    return [name for name in run.sites if name.recipe == NATURAL]


def grids_of(run: OpenedRun, name: SiteName) -> Grids:
    """The grids of a site, with the gates that they fail, once they are measured."""
    measured = "measure" in run.record.stages and name in run.record.stages["measure"].sites
    failed = failures(run.record.sites[name].measures) if measured else UNASSESSED
    return Grids(name, run.traversals(name), run.config.traversal.grid, failed)


def along_the_network(run: OpenedRun) -> list[SiteName]:
    """All sites as the network comes to them, those of the paper's recipe first.

    Raises:
        UserError: Images or network are not found.
    """
    example = run.images_to_show.test.pixels(slice(2)).to(run.device)
    return in_order(run.sites, run.network, example)


def as_in_the_paper(run: OpenedRun) -> list[SiteName]:
    """The sites of the paper's recipe, or where there are none all others, early ones first."""
    sites = along_the_network(run)
    return [site for site in sites if site.recipe == PAPER] or sites


@contextmanager
def asked_width(width: str | None) -> Iterator[None]:
    """Figures plotted inside have a width such as `85mm`, or that of a page.

    Raises:
        UserError: The width cannot be read, or no figure can be so wide.
    """
    if width is None:
        yield
        return
    with at_width(inches(width)):
        yield
