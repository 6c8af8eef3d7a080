"""Figure of a study of many sites: how the main measures change along the network."""

import math
from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from filtergan.config.site_names import SIGN, SiteName
from filtergan.families.affine import AFFINE
from filtergan.families.brightness import BRIGHTNESS
from filtergan.figures.style import columns, fitted, page, styled, width
from filtergan.images.palette import BLUE, GREY
from filtergan.runs.record import NOT_MEASURED, Found

GENERATOR = {
    "single_draw_accuracy": "accuracy of single draws",
    "filter_spread": "spread of the filters / ‖W‖",
    "latent_r2_mean": "R² of the latents, mean",
}
TRAVERSALS = {
    "compensation": "compensation",
    "image_change": "image change / ‖x‖",
    "labels_kept": "labels kept",
    "explained_photometric": f"change explained: {BRIGHTNESS.words}",
    "explained_affine": f"change explained: {AFFINE.words}",
    "on_manifold_share": "images on the manifold",
}
"""Measures of the panels and their titles: those of the filters, then those of the images."""
LONGEST = 18  # letters of a site's name
NUMBERS = 0.45  # inches of a panel that the numbers on its axis take
LEAST_SPAN = 0.1  # of a vertical axis, so that noise does not fill a panel


@styled
def depth_figure(
    sites: Mapping[str, Found], converged: Collection[str], believed: Collection[str]
) -> Figure:
    """Main measures over the place of their sites, with intervals and nulls, a panel for each.

    Args:
        sites: Measures of each site, in the order of the network.
        converged: Sites whose game came to a good end; measures of the others are hollow.
        believed: Sites whose traversals pass all gates; the images' measures of the others are
            hollow.
    """
    panels = GENERATOR | TRAVERSALS
    across = columns(len(panels), 1.6)
    rows = math.ceil(len(panels) / across)
    figure = page(0.8 + 1.6 * rows)
    cells = figure.subplots(rows, across, sharex=True, squeeze=False).ravel()
    for axes in cells[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, title) in zip(cells, panels.items(), strict=False):
        axes.set_title(fitted(title, 8, width() / across - NUMBERS))
        sound = set(converged) & set(believed) if name in TRAVERSALS else set(converged)
        _plot(axes, sites, name, sound)
    many = len(sites) > 8
    labels, reading = labelled([SiteName.parse(name) for name in sites])
    if reading:
        figure.supxlabel(f"all read at {reading}", fontsize=7)
    for axes in cells[len(panels) - across : len(panels)]:
        axes.set_xticks(range(len(sites)), labels)
        axes.tick_params(
            axis="x",
            labelbottom=True,
            labelrotation=90 if many else 40,
            labelsize=5 if many else 6,
        )
        if not many:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    cells[0].set_xlim(-0.5, len(sites) - 0.5)
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4, linewidth=1.2),
        Line2D([], [], color=BLUE, marker="o", markersize=4, linewidth=1.2, fillstyle="none"),
        Line2D([], [], color=GREY, marker="_", markersize=6, linewidth=0),
    ]
    says = ("value, 95 % interval", "the same, its training or a gate failed", "null")
    figure.legend(handles, says, loc="outside upper center", ncols=3 if across > 2 else 1)
    return figure


def _plot(axes: Axes, sites: Mapping[str, Found], name: str, sound: Collection[str]) -> None:
    """One measure at every site where it was measured."""
    shown: list[float] = []
    line: list[tuple[int, float]] = []
    for place, (layer, found) in enumerate(sites.items()):
        entry = found.get(name, NOT_MEASURED)
        value, null = entry.value, entry.null
        if null is not None:
            axes.plot(place, null, "_", color=GREY, markersize=6, zorder=2)
            of_null = found.get(f"{name}_null", NOT_MEASURED)
            ends = [end for end in of_null.ci95 if end is not None]
            axes.plot([place] * len(ends), ends, color=GREY, linewidth=1.2, alpha=0.6, zorder=2)
            shown += [null, *ends]
        if value is None:
            continue
        low, high = (value if end is None else end for end in entry.ci95)
        axes.plot((place, place), (low, high), color=BLUE, linewidth=1.2, alpha=0.6, zorder=3)
        fill = BLUE if layer in sound else "white"
        axes.plot(place, value, "o", color=BLUE, markerfacecolor=fill, markersize=3.5, zorder=4)
        shown += [value, low, high]
        line.append((place, value))
    if not line:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=GREY)
        axes.set_yticks([])
        return
    axes.plot(*zip(*line, strict=True), color=BLUE, linewidth=0.7, alpha=0.35, zorder=1)
    middle = (min(shown) + max(shown)) / 2
    half = max(max(shown) - min(shown), LEAST_SPAN) * 0.56
    axes.set_ylim(middle - half, middle + half)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def labelled(sites: Sequence[SiteName]) -> tuple[list[str], str | None]:
    """Names of sites with shortened layers, and the reading; None, and part of each, if several."""
    layers = list(dict.fromkeys(site.layer for site in sites))
    short = dict(zip(layers, abbreviated(layers), strict=True))
    names = [SiteName(short[site.layer], site.point, site.recipe) for site in sites]
    if len({site.point for site in sites}) == 1:
        point = sites[0].point
        return [name.replace(f"{SIGN}{point}", "") for name in names], point
    return list(map(str, names)), None


def abbreviated(names: Sequence[str]) -> list[str]:
    """Names without the dotted parts that all share, and long ones without their middle.

    Names that would then be alike get their number in front.
    """
    parts = [name.split(".") for name in names]
    begin = _shared(parts)
    end = _shared([own[begin:][::-1] for own in parts])
    short = [".".join(own[begin : len(own) - end]) for own in parts]
    half = LONGEST // 2
    cut = [s if len(s) <= LONGEST else f"{s[: half - 1]}…{s[-half:]}" for s in short]
    if len(set(cut)) < len(cut):
        return [f"{number}: {own}" for number, own in enumerate(cut, 1)]
    return cut


def _shared(parts: Sequence[Sequence[str]]) -> int:
    """How many first parts all have in common, leaving each at least one."""
    count = 0
    while all(len(own) > count + 1 and own[count] == parts[0][count] for own in parts):
        count += 1
    return count
