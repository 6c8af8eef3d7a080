"""The figures of a site from what was found there; the study plots them, and `plot` once more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import SiteName
from filtergan.figures import (
    Figure,
    depth_figure,
    grid_figure,
    grids_figure,
    mds_figure,
    save,
    short,
)
from filtergan.images.splits import Split
from filtergan.measures import gates
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import SiteRecord

DEPTHS = 3
"""Sites from which on a study shows how its measures change along the network."""
UNASSESSED = ("not assessed yet",)
NUMBERS = ("before", "after", "compensation", "image_change")


@dataclass(frozen=True)
class Grids:
    """The grids of a site, with all that their figures say.

    Attributes:
        name: The site's.
        tensors: Content of its traversal.safetensors.
        side: Points along each side of a grid.
        failures: Gates that the traversals fail; written above the grids.
    """

    name: SiteName
    tensors: Mapping[str, Tensor]
    side: int
    failures: Sequence[str] = UNASSESSED

    @property
    def reached(self) -> str:
        """How much of the filters' changes was undone at the measured points, and of the null's."""
        undone, null = (short(self._median(name)) for name in ("points", "null"))
        return f"{self.name.prose}: undone {undone} (null {null})"

    @property
    def index(self) -> list[int]:
        """Of the test images shown."""
        return self.tensors["grid_index"].tolist()

    @property
    def dims(self) -> list[tuple[int, int]]:
        """The two latents of each grid: down, and across."""
        return [(int(i), int(j)) for i, j in self.tensors["grid_dims"]]

    @property
    def offsets(self) -> list[float]:
        """Along both, in standard deviations of z."""
        return self.tensors["grid_offsets"].tolist()

    @property
    def images(self) -> Float[Tensor, "n g g c h w"]:
        """What was recovered at every point."""
        return self._points("images")

    @property
    def numbers(self) -> dict[str, Tensor]:
        """What else there is of every point, [images, side, side] each."""
        kept = {"kept": self._points("labels_kept")}
        return {key: self._points(key) for key in NUMBERS} | kept

    def page(self) -> Figure:
        """All grids with the numbers of each (figs. 3, 4)."""
        return grids_figure(
            self.images,
            **self.numbers,
            dims=self.dims,
            offsets=self.offsets,
            title=self.reached,
            compensation_null=self._median("null"),
            failures=self.failures,
        )

    def one(self, n: int, source: Float[Tensor, "c h w"]) -> Figure:
        """One grid, what has changed in it, and the numbers of its points (appendix)."""
        return grid_figure(
            source,
            self.images[n],
            **{key: values[n] for key, values in self.numbers.items()},
            dims=self.dims[n],
            offsets=self.offsets,
            title=f"{self.reached}, test image {self.index[n]}",
            compensation_null=self._median("null"),
            failures=self.failures,
        )

    def _points(self, key: str) -> Tensor:
        return self.tensors[f"grid_{key}"].unflatten(1, (self.side, self.side))

    def _median(self, walks: str) -> float:
        return float(self.tensors[f"{walks}_compensation"].float().nanquantile(0.5))


def plot_traversals(
    run: RunDirectory,
    name: SiteName,
    tensors: dict[str, Tensor],
    test: Split,
    failures: Sequence[str] = UNASSESSED,
) -> None:
    """Plot the page of grids (figs. 3, 4) and, once judged, each with its numbers (appendix).

    Args:
        run: The run directory; its record is told where the figures lie.
        name: The site's.
        tensors: Content of its traversal.safetensors.
        test: Test images.
        failures: Gates that the traversals fail; written above the grids.
    """
    grids = Grids(name, tensors, run.config.traversal.grid, failures)
    figures = {"traversal": grids.page()}
    for n, source in enumerate(test.pixels(tensors["grid_index"])):
        if failures is not UNASSESSED:
            figures[f"grid_{n}"] = grids.one(n, source)
    keep_figures(run, name, figures)


def filter_map(
    config: StudyConfig, real: Float[Tensor, "o i *k"], draws: Float[Tensor, "d o i *k"]
) -> Figure:
    """A map of some filters, spread evenly over their numbers, and of the same ones of draws."""
    count = min(config.measure.map_filters, len(real))
    shown = torch.linspace(0, len(real) - 1, count).round().long()
    clouds = draws[: config.measure.map_draws, shown].transpose(0, 1)
    return mds_figure(real[shown].flatten(1), clouds.flatten(2), shown.tolist(), config.seed)


def measures_by_depth(sites: Mapping[str, SiteRecord]) -> Figure:
    """The main measures of sites, which come in the order of the network."""
    measures = {name: site.measures for name, site in sites.items()}
    converged = [name for name, site in sites.items() if site.verdict == "converged"]
    believed = [name for name, found in measures.items() if not gates.failures(found)]
    return depth_figure(measures, converged, believed)


def keep_figures(run: RunDirectory, name: SiteName, figures: Mapping[str, Figure]) -> None:
    """Write figures of a site, by their names, and tell the record where they lie."""
    folder = run.site_path(name) / "figures"
    for key, figure in figures.items():
        save(figure, folder / f"{key}.png")
        run.site(name).figures[key] = str((folder / f"{key}.png").relative_to(run.path))
