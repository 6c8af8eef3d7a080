"""The figures of a site's traversals, plotted when these are found, and again once judged."""

from collections.abc import Sequence

from torch import Tensor

from filtergan.config.site_names import SiteName
from filtergan.figures import grid_figure, grids_figure, save, short
from filtergan.images.dataset import Split
from filtergan.runs.directory import RunDirectory

UNASSESSED = ("not assessed yet",)


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
    side = run.config.traversal.grid
    images, before, after, compensated, changed, kept = (
        tensors[f"grid_{key}"].unflatten(1, (side, side))
        for key in ("images", "before", "after", "compensation", "image_change", "labels_kept")
    )
    sources = test.pixels(tensors["grid_index"])
    undone, null = (
        float(tensors[f"{key}_compensation"].float().nanmedian()) for key in ("points", "null")
    )
    reached = f"{name.prose}: undone {short(undone)} (null {short(null)})"
    dims = [(int(i), int(j)) for i, j in tensors["grid_dims"]]
    offsets = tensors["grid_offsets"].tolist()
    folder = run.site_path(name) / "figures"
    figures = {
        "traversal": grids_figure(
            images,
            before,
            after,
            compensated,
            changed,
            kept,
            dims,
            offsets,
            reached,
            compensation_null=null,
            failures=failures,
        )
    }
    for n, source in enumerate(sources if failures is not UNASSESSED else ()):
        figures[f"grid_{n}"] = grid_figure(
            source,
            images[n],
            before[n],
            after[n],
            compensated[n],
            changed[n],
            kept[n],
            dims[n],
            offsets,
            f"{reached}, test image {int(tensors['grid_index'][n])}",
            compensation_null=null,
            failures=failures,
        )
    for key, figure in figures.items():
        save(figure, folder / f"{key}.png")
        run.site(name).figures[key] = str((folder / f"{key}.png").relative_to(run.path))
