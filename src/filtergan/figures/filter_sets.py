"""Figures of filters: generated beside real, and their map."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from filtergan.figures.style import array, bare, fitted, page, styled, width
from filtergan.images.palette import COLOURS, GREY
from filtergan.machine.wording import count_of


@styled
def filters_figure(
    real: Float[Tensor, "o i *k"],
    generated: Float[Tensor, "d o i *k"],
    *,
    filters: int = 6,
    channels: int = 9,
    draws: int | None = None,
) -> Figure:
    """Generated filters beside the real ones, as in the paper's fig. 2.

    A row is one filter (the later layers fix which generated one corresponds to which real one), a
    column the real filters or one draw. A cell shows the kernels of the same few input channels.
    Filters and channels are spread evenly over their indices, not chosen; all share one scale.

    Args:
        real: Filters of the site.
        generated: Filters of draws.
        filters: Rows at most.
        channels: Kernels in a cell at most.
        draws: Columns of draws at most; by default as many as there is room for, up to six.
    """
    draws = draws or min(6, max(1, int(width() / 0.9) - 1))
    rows, inputs = _spread(real.shape[0], filters), _spread(real.shape[1], channels)
    sets = [real, *generated[:draws]]
    shown = [[array(s[o][inputs]) for s in sets] for o in rows]
    limit = float(np.quantile(np.abs(np.array(shown)), 0.995)) or 1.0
    figure = page(0.5 + len(rows) * width() / (len(sets) + 1.6))
    ratios = (1.16, len(sets) - 0.3)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=ratios).ravel()
    grid = np.hstack(
        [
            left.subplots(len(rows), 1, squeeze=False),
            right.subplots(len(rows), len(sets) - 1, squeeze=False),
        ]
    )
    image = None
    for row, (index, cells) in enumerate(zip(rows, shown, strict=True)):
        for column, cell in enumerate(cells):
            axes = grid[row, column]
            image = axes.imshow(_tiles(cell), cmap="RdBu_r", vmin=-limit, vmax=limit)
            bare(axes)
            if row == 0:
                title = "real" if column == 0 else f"draw {column}"
                axes.set_title(title, fontweight="bold" if column == 0 else "normal")
        grid[row, 0].set_ylabel(f"filter {index}")
    assert image is not None
    bar = right.colorbar(
        image, ax=list(grid[:, 1:].ravel()), shrink=0.5, aspect=28, pad=0.015, label="weight"
    )
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.locator = MaxNLocator(5, symmetric=True)
    title = (
        f"Real and generated filters: kernels of {len(inputs)} of "
        f"{count_of(real.shape[1], 'input channel')}"
    )
    figure.suptitle(fitted(title, 9))
    return figure


@styled
def mds_figure(
    real: Float[Tensor, "m w"],
    generated: Float[Tensor, "m d w"],
    places: Sequence[int],
    seed: int,
) -> Figure:
    """Real and generated filters on a plane that keeps their distances, as in the paper's fig. 5.

    Metric multidimensional scaling of euclidean distances (scikit-learn's SMACOF, started at
    classical scaling); each point is one filter.

    Args:
        real: Weights of a few of the site's filters.
        generated: For each of them, the corresponding filter of several draws.
        places: Number of each of these filters in the site, as `filters_figure` numbers them.
        seed: Of the scaling.
    """
    from sklearn.manifold import MDS  # takes a second to import
    from sklearn.metrics.pairwise import euclidean_distances

    count, draws, _ = generated.shape
    points = np.concatenate([array(real), array(generated).reshape(count * draws, -1)])
    mds = MDS(
        n_components=2,
        metric_mds=True,
        metric="precomputed",  # as many filters as weights would pass for distances otherwise
        n_init=1,
        init="classical_mds",
        max_iter=300,
        eps=1e-6,
        normalized_stress=True,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )
    place = np.asarray(mds.fit_transform(euclidean_distances(points.astype(np.float64))))
    figure = page(min(5.0, width() + 0.3))
    axes = figure.subplots()
    for index in range(count):
        colour = COLOURS[index % len(COLOURS)]
        cloud = place[count + index * draws : count + (index + 1) * draws]
        axes.scatter(*cloud.T, s=9, color=colour, alpha=0.55, linewidths=0)
    for index in range(count):
        colour = COLOURS[index % len(COLOURS)]
        axes.scatter(
            *place[index], s=95, marker="*", color=colour, edgecolors="white", linewidths=0.7
        )
        axes.annotate(
            str(places[index]),
            place[index],
            (5, 4),
            textcoords="offset points",
            fontweight="bold",
            color=colour,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axes.set_aspect("equal")
    # No axis means anything by itself, nor where its zero lies.
    says = (
        "multidimensional scaling: the distance between two points is, as nearly as a plane can "
        "show it, that between two filters"
    )
    figure.supxlabel(fitted(says, 6.5), fontsize=6.5, color=GREY)
    title = (
        f"{count_of(count, 'real filter')} (stars) and the same filters of "
        f"{count_of(draws, 'draw')} (dots); stress {mds.stress_:.2f}"
    )
    axes.set_title(fitted(title, 8, width() - 0.6))
    return figure


def _tiles(kernels: np.ndarray) -> np.ndarray:
    """Kernels [n, *k] as one nearly square picture, NaN between them; planes above each other."""
    count, width = len(kernels), kernels.shape[-1]
    kernels = kernels.reshape(count, -1, width)
    height = kernels.shape[1]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    factor = 8  # pixels of a weight, so that the gaps are thinner than a weight
    picture = np.full(
        (rows * (height * factor + 3) - 3, columns * (width * factor + 3) - 3), np.nan
    )
    for index, kernel in enumerate(kernels):
        y = index // columns * (height * factor + 3)
        x = index % columns * (width * factor + 3)
        tile = kernel.repeat(factor, axis=0).repeat(factor, axis=1)
        picture[y : y + height * factor, x : x + width * factor] = tile
    return picture


def _spread(count: int, shown: int) -> list[int]:
    """At most `shown` indices, evenly over `count`."""
    return [int(i) for i in np.linspace(0, count - 1, min(shown, count)).round()]
