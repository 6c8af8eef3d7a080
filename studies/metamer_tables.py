"""Tables of the study of metamers."""

from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "results" / "metamers" / "record.json"
KINDS = {
    "least": "Eigendistortion, least noticed",
    "most": "Eigendistortion, most noticed",
    "ours": "our latents",
    "null": "latents of the null's T",
    "fields": "random fields like T's",
    "noise": "white noise",
}
Rows = tuple[list[str], list[list[str]]]


def rows_of(found: dict[str, Any], site: str) -> Rows:
    """A line for each way to make a set."""
    head = [
        *("", "residual, over that of random pairs", "metamers", "labels kept: network", "judges"),
        *("on the manifold", "natural metamers", "change", "mean distance", "least distance"),
        *("of blurred images", "independent directions", "left of the start", "seconds an image"),
    ]
    names = (
        *("residual_over_pairs", "metamers", "labels_kept", "labels_kept_judges", "on_manifold"),
        *("natural_metamers", "change", "mean_distance", "least_distance"),
        *("smooth_distance", "independent_directions", "start_kept"),
    )
    lines = []
    for words, one in found.get("sites", {}).get(site, {}).get("ways", {}).items():
        cells = [_shown(one.get(name), "2g" if "over" in name else "2f") for name in names]
        lines.append([words, *cells, f"{one['seconds']:.4f}"])
    return head, lines


def meant_rows(found: dict[str, Any]) -> Rows:
    """A line for each site and T: residuals under the filters that its images were made for."""
    head = ["site", "", "under G(z'), before", "under G(z'), after", "under W, after"]
    lines = []
    for site, told_of in found.get("sites", {}).items():
        for words, one in told_of["ways"].items():
            if "residual_meant" in one:
                names = ("residual_meant_before", "residual_meant", "residual")
                lines.append([site, words, *(_shown(one[name], "3f") for name in names)])
    return head, lines


def alone_rows(found: dict[str, Any]) -> Rows:
    """A line for each site: an image at a time, beside all at once, beside ours."""
    head = [
        *("site", "Metamer, one image at a time", "iterations", "all at once", "ours, with choice"),
        *("ours, any draws", "Eigendistortion, exact", "by its default method"),
    ]
    lines = []
    for site, told_of in found.get("sites", {}).items():
        single, ways, ends = told_of["alone"], told_of["ways"], told_of["directions"]
        names = ("Metamer, from noise", "ours, the most different", "ours, any draws")
        seconds = [sum(single["seconds"]) / len(single["seconds"])]
        iterations = sum(single["iterations"]) / len(single["iterations"])
        seconds += [ways[name]["seconds"] for name in names]
        cells = [f"{one:.4f} s" for one in seconds]
        cells.insert(1, f"{iterations:.0f}")
        ends = (f"{ends['seconds']:.1f} s", f"{ends['power']['seconds']:.1f} s")
        lines.append([site, *cells, *ends])
    return head, lines


def directions_rows(found: dict[str, Any]) -> Rows:
    """A line for each site and kind of directions."""
    head = [
        *("site", "directions", "noticed at first", "residual, over that of random pairs"),
        *("labels kept: network", "judges", "on the manifold", "smooth share", "change"),
    ]
    names = (
        *("noticed", "residual_over_pairs", "labels_kept", "labels_kept_judges", "on_manifold"),
        *("smooth_share", "change"),
    )
    lines = []
    for site, told_of in found.get("sites", {}).items():
        for kind, one in told_of["directions"]["kinds"].items():
            cells = [_shown(one[name], "3f" if "over" in name else "2f") for name in names]
            lines.append([site, KINDS[kind], *cells])
    return head, lines


def _shown(one: dict[str, Any] | None, form: str) -> str:
    if one is None or one["value"] is None:
        return "-"
    low, high = one["ci95"]
    return f"{one['value']:.{form}} ({low:.{form}} to {high:.{form}})"
