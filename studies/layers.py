"""What filters of every layer of the CIFAR-10 network can undo: the figure, and its tables.

By it the old claim is decided that early layers ignore brightness and contrast, middle ones
texture, late ones pose. No family here is texture: blur stands for it, which takes fine structure
away and leaves shapes.

Run by `python studies/layers.py` on what `filtergan ceilings` and `filtergan ask` wrote.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filtergan.ceilings.question import ASKABLE
from filtergan.config.site_names import SiteName
from filtergan.figures import ceilings_figure, save
from filtergan.runs.record import CeilingRecord, MeasureRecord

FOLDER = Path(__file__).parents[1] / "results" / "layers"
DEPTHS = {
    "early": ("whiten", "group1.conv1", "group1.conv2"),
    "middle": ("group2.conv1", "group2.conv2"),
    "late": ("group3.conv1", "group3.conv2"),
}
CLAIMS = {
    "brightness and contrast": ("early", ("brightness x0.7", "ground +0.15")),
    "texture (blur)": ("middle", ("blur 1 px",)),
    "pose": ("late", ("rotation 20 deg", "slant 0.2", "size x1.1", "size x0.9")),
}
"""Where each is said to be ignored, and the changes of images that it is asked by."""
Rows = tuple[list[str], list[list[str]]]
Sites = dict[str, dict[str, CeilingRecord]]


def found() -> dict[str, dict[str, CeilingRecord]]:
    """Ceilings by site, then by change of images."""
    path = FOLDER / "ceilings.json"
    sites = json.loads(path.read_bytes())["sites"] if path.exists() else {}
    return {
        name: {change: CeilingRecord.model_validate(one) for change, one in changes.items()}
        for name, changes in sites.items()
    }


def answers() -> dict[str, dict[str, Any]]:
    """What the network ignores, by site, then by change of images."""
    path = FOLDER / "answers.json"
    return json.loads(path.read_bytes())["sites"] if path.exists() else {}


def rows_of(sites: Sites) -> Rows:
    """A line for each change of images, a column for each layer."""
    return _by_change(sites, lambda one: _shown(one.undone))


def share_rows(sites: Sites) -> Rows:
    """The same of what the best filters undo of the images' change of the response."""
    return _by_change(sites, lambda one: _shown(one.share))


def _by_change(sites: Sites, told: Callable[[CeilingRecord], str]) -> Rows:
    changes = dict.fromkeys(change for one in sites.values() for change in one)
    head = ["change of images", *(SiteName.parse(name).layer for name in sites)]
    return head, [[change, *(told(one[change]) for one in sites.values())] for change in changes]


def _shown(one: MeasureRecord) -> str:
    assert one.value is not None
    return f"{one.value:.2f} ({one.ci95[0]:.2f} to {one.ci95[1]:.2f}); null {one.null:.2f}"


def claim_rows(sites: Sites) -> Rows:
    """A line for each part of the claim: what filters of each layer undo, and what is decided.

    Of each layer the mean over the changes, with the means of the ends of their intervals, as if
    all erred together. Filters can undo something where this exceeds `ASKABLE` and random filters,
    with its interval. A part is supported where those of every layer that it names can, and undo
    more than those of every other layer, by the intervals.
    """
    lines = []
    for what, (named, changes) in CLAIMS.items():
        undone = {
            layer: _mean(sites[f"{layer}@activation"], changes)
            for layers in DEPTHS.values()
            for layer in layers
        }
        own = [undone[layer] for layer in DEPTHS[named]]
        least = min(low for _, low, _, _ in own)
        others = [layer for layer in undone if layer not in DEPTHS[named]]
        level = [layer for layer in others if undone[layer][2] >= least]
        decided = "supported"
        if any(low <= max(ASKABLE, null) for _, low, _, null in own):
            decided = f"not supported: not above {ASKABLE:g} there"
        elif level:
            decided = f"not supported: {' and '.join(level)} undo no less"
        cells = (_of_depth([undone[layer] for layer in layers]) for layers in DEPTHS.values())
        lines.append([f"{what}: {named} layers", *cells, f"**{decided}**"])
    return ["said to be ignored", *DEPTHS, "decided"], lines


def answer_rows(sites: dict[str, dict[str, Any]]) -> Rows:
    """A line for each change of images, a column for each layer that was asked."""
    changes = dict.fromkeys(change for one in sites.values() for change in one)
    head = ["change of images", *(SiteName.parse(name).layer for name in sites)]
    lines = [[change, *(_answered(one[change]) for one in sites.values())] for change in changes]
    return head, lines


def _answered(one: dict[str, Any]) -> str:
    ceiling, passed, kept = (one[key] for key in ("ceiling", "passed", "labels_kept"))
    undone = ceiling["compensation"]["value"]
    labels = f"labels {kept['value']:.2f}, null {kept['null']:.2f}"
    return f"**{one['ignored']}** {passed['value']:.2f} ({undone:.2f}); {labels}"


Mean = tuple[float, float, float, float]
"""Value, ends and null."""


def _mean(layer: dict[str, CeilingRecord], changes: tuple[str, ...]) -> Mean:
    ones = [layer[change].undone for change in changes]
    columns = zip(*((one.value, *one.ci95, one.null) for one in ones), strict=True)
    value, low, high, null = (sum(column) / len(ones) for column in columns)
    return value, low, high, null


def _of_depth(layers: list[Mean]) -> str:
    values = ", ".join(f"{v:.2f} ({low:.2f} to {high:.2f})" for v, low, high, _ in layers)
    return f"{values}; null {', '.join(f'{null:.2f}' for *_, null in layers)}"


if __name__ == "__main__":
    save(ceilings_figure(found()), FOLDER / "ceilings.png")
