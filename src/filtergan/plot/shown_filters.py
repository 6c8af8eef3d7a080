"""Figures of filters, real and generated."""

from torch import Tensor

from filtergan.config.site_names import SiteName
from filtergan.figures import Figure, filters_figure
from filtergan.machine import runtime
from filtergan.plot.asked import Run, asked_width, chosen
from filtergan.study.opened import OpenedRun
from filtergan.study.plotting import filter_map


def filters(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Generated filters beside the real ones, as in the paper's fig. 2.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run or site, its generator is not trained yet, or the width
            makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.filters("runs/digits", width="85mm")
    """
    run, name = chosen(run, site)
    with asked_width(width):
        return filters_figure(*_sets(run, name))


def map(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """Real and generated filters on a plane that keeps their distances, as in the paper's fig. 5.

    Args and errors are those of `filters`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.map("runs/digits", width="85mm")
    """
    run, name = chosen(run, site)
    with asked_width(width):
        return filter_map(run.config, *_sets(run, name))


def _sets(run: OpenedRun, name: SiteName) -> tuple[Tensor, Tensor]:
    """Filters of a site and of its generator: the draws that the study measures and shows."""
    gan, config = run.gan(name), run.config
    seed = runtime.derive_seed(config.seed, "measure", *name.seeds)
    z = gan.latents(config.measure.draws, seed, "draws")
    return gan.site.filters.cpu(), gan.draw(z).cpu()
