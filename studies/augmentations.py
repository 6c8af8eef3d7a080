"""Tables of `filtergan benchmark augment`: accuracies, and differences in pairs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
PAIRS = (
    ("ours", "none"),
    ("ours", "augerino"),
    ("ours", "lig"),
    ("ours", "null"),
    ("ours_affine", "affine"),
    ("ours_affine", "null_affine"),
    ("ours_affine", "elastic"),
    ("augerino", "affine_copies"),
)
Rows = tuple[list[str], list[list[str]]]


def results(study: str) -> Mapping[str, Any]:
    """By number of labelled images; empty before the first training.

    Args:
        study: The folder of its record.
    """
    path = RESULTS / study / "record.json"
    return json.loads(path.read_bytes())["results"] if path.exists() else {}


def accuracies(found: Mapping[str, Any]) -> Rows:
    """A line for each method, a column for each number of labelled images."""
    names = dict.fromkeys(name for one in found.values() for name in one["methods"])
    lines = [
        [f"`{name}`", *(_accuracy(one["methods"].get(name)) for one in found.values())]
        for name in names
    ]
    return ["", *(f"{size} labelled" for size in found)], lines


def differences(found: Mapping[str, Any]) -> Rows:
    """What one method is ahead of another, on the same images from the same first weights."""
    lines = [
        [f"`{one}` less `{other}`", *(_difference(at["less"], one, other) for at in found.values())]
        for one, other in PAIRS
        if any({one, other} <= at["methods"].keys() for at in found.values())
    ]
    return ["", *(f"{size} labelled" for size in found)], lines


def _accuracy(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    accuracy, seeds = one["accuracy"], len(one["accuracy"]["by_seed"])
    low, high = accuracy["ci95"]
    at = f", at {one['strength']:.2g}" if one["strength"] else ""
    return f"{accuracy['value']:.4f} ({low:.4f} to {high:.4f}; {seeds} seeds{at})"


def _difference(less: Mapping[str, Any], one: str, other: str) -> str:
    for sign, names in ((1, (one, other)), (-1, (other, one))):
        if there := less.get(names[0], {}).get(names[1]):
            ends = sorted(sign * end for end in there["ci95"])
            return f"{sign * there['value']:+.4f} ({ends[0]:+.4f} to {ends[1]:+.4f})"
    return "-"
