"""What carries over, as tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from filtergan.measures.statistics import interval

RECORD = Path(__file__).parents[1] / "results" / "transfer" / "record.json"
IN_COLOUR = RECORD.with_name("colour.json")
SEED, RESAMPLES = 0, 1000
Rows = tuple[list[str], list[list[str]]]


def rows_of(found: Mapping[str, Any]) -> Rows:
    """A line for each thing learned and each that it is used for."""
    head = ["used for", "site", "learned on", "undone by its filters", "undone by the target's"]
    head += ["latents ignored", "change of image", "labels kept", "gain of few labels"]
    lines = []
    for one in found.get("rows", []):
        use = found["use"].get(one["used_for"], {})
        gain, null = (
            use.get(name, {}).get("gain") for name in (one["key"], f"null of {one['key']}")
        )
        lines.append(
            [
                one["used_for"],
                one["site"],
                "itself" if one["own"] else one["learned_on"],
                told(one.get("compensation"), ".2f"),
                told(undone(one["asked"]) | {"null": undone(one["asked_null"])["value"]}, ".2f"),
                f"{ignored(one['asked'])}; null {ignored(one['asked_null'])}",
                told(one["image_change"], ".2f"),
                told(one["labels_kept"], ".3f"),
                told(gain and gain | {"null": null["value"]}, "+.3f"),
            ]
        )
    return head, lines


def use_of(found: Mapping[str, Any]) -> Rows:
    """A line for each target and augmentation of few labelled images."""
    lines = [
        [target, name, told(one["accuracy"], ".3f"), told(one["gain"], "+.3f")]
        for target, methods in found.get("use", {}).items()
        for name, one in methods.items()
    ]
    return ["images", "augmented by", "test accuracy", "less none, in pairs"], lines


def undone(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over latents of what the target's filters undo, and its interval over them."""
    values = torch.tensor([one["compensation"] for one in answers])
    ends = interval(values, resamples=RESAMPLES, seed=SEED)
    return {"value": float(values.mean()), "ci95": list(ends)}


def ignored(answers: Sequence[Mapping[str, Any]]) -> str:
    """How many latents the target's network ignores; and of how many it is open."""
    counts = Counter(one["ignored"] for one in answers)
    doubt = f", {counts['undecided']} undecided" if counts["undecided"] else ""
    return f"{counts['yes']} of {len(answers)}{doubt}"


def told(one: Mapping[str, Any] | None, form: str) -> str:
    """A number with its interval and null, where it has them."""
    if one is None:
        return "-"
    low, high = one["ci95"]
    null = one.get("null")
    after = "" if null is None else f"; null {null:{form}}"
    return f"{one['value']:{form}} ({low:{form}} to {high:{form}}){after}"
