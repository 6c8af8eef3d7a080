"""What the trainings came to: strengths chosen, accuracies, and differences in pairs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.trials import unpacked
from filtergan.machine.sheets import Sheet
from filtergan.measures.contrasts import crossed_interval

REFERENCES = ("none", "affine", "null", "ours")
"""Methods that the tables set all others beside; the record has every pair."""


def standings(trials: Iterable[Mapping[str, Any]], budget: int) -> dict[str, Any]:
    """Compare methods at each number of labelled images, on the whole test set.

    Of a method's strengths the one of the highest mean validation accuracy over seeds counts, the
    weakest of equals. Two methods are compared in pairs: the same seeds, that is labelled images
    and first weights, and the same test images.

    Args:
        trials: As `perform` gives them; a seed counts for a method if all its strengths are there.
        budget: Strengths that each method is given.

    Returns:
        By size: `methods`, by name `strength`, `validation` (the mean, by strength), and
        `accuracy`; and `less`, by name and name of another the difference of accuracies. An
        accuracy or a difference has `value`, `ci95` (over seeds and test images, over images alone
        where there is one seed) and `by_seed`.
    """
    by_size: dict[int, dict[str, dict[int, dict[float, Mapping[str, Any]]]]] = {}
    for one in trials:
        seeds = by_size.setdefault(one["size"], {}).setdefault(one["method"], {})
        seeds.setdefault(one["seed"], {})[one["strength"]] = one
    found: dict[str, Any] = {}
    for size, methods in sorted(by_size.items()):
        chosen = {
            name: one
            for name in METHODS
            if (one := _chosen(methods.get(name, {}), METHODS[name].strengths(budget)))
        }
        found[str(size)] = {
            "methods": {
                name: {
                    "strength": strength,
                    "validation": validation,
                    "accuracy": _told(right, 0.0),
                }
                for name, (strength, validation, right) in chosen.items()
            },
            "less": _differences({name: right for name, (_, _, right) in chosen.items()}),
        }
    return found


def _chosen(
    seeds: Mapping[int, Mapping[float, Mapping[str, Any]]], strengths: Sequence[float]
) -> tuple[float, dict[str, float], dict[int, Tensor]] | None:
    """The best strength, the validation accuracy of each, and what was right by seed."""
    whole = {seed: one for seed, one in sorted(seeds.items()) if set(strengths) <= one.keys()}
    if not whole:
        return None
    validation = {
        s: sum(one[s]["validation"] for one in whole.values()) / len(whole) for s in strengths
    }
    best = max(strengths, key=validation.__getitem__)
    right = {seed: unpacked(one[best]["correct"]) for seed, one in whole.items()}
    return best, {str(s): value for s, value in validation.items()}, right


def _differences(right: Mapping[str, Mapping[int, Tensor]]) -> dict[str, dict[str, Any]]:
    """Of every two methods, in seeds that both have; either way round."""
    found: dict[str, dict[str, Any]] = {name: {} for name in right}
    for one, other in combinations(right, 2):
        pairs = {
            seed: right[one][seed].float() - right[other][seed].float()
            for seed in right[one]
            if seed in right[other]
        }
        if pairs:
            found[one][other] = told = _told(pairs, -1.0)
            found[other][one] = {
                "value": -told["value"],
                "ci95": [-end for end in reversed(told["ci95"])],
                "by_seed": {seed: -value for seed, value in told["by_seed"].items()},
            }
    return found


def _told(values: Mapping[int, Tensor], least: float) -> dict[str, Any]:
    """Mean, its interval between the least that can be and 1, and the mean by seed."""
    matrix = torch.stack([one.float() for one in values.values()])
    return {
        "value": matrix.mean().item(),
        "ci95": list(crossed_interval(matrix, least, 1.0)),
        "by_seed": {str(s): one.float().mean().item() for s, one in values.items()},
    }


def sheets(found: Mapping[str, Any]) -> list[Sheet]:
    """Tables: accuracies, then differences from some methods.

    Args:
        found: As `standings` gives it.
    """
    sizes = [f"{int(size):,} images" for size in found]
    names = [name for name in METHODS if any(name in one["methods"] for one in found.values())]
    rows = [
        [name, *(_accuracy(one["methods"].get(name)) for one in found.values())] for name in names
    ]
    made = [
        Sheet(
            "Test accuracy",
            ("method", *sizes),
            rows,
            caption="In brackets the 95 % interval over seeds and test images; then the strength.",
        )
    ]
    for reference in REFERENCES:
        others = [name for name in names if name != reference]
        less = [one["less"] for one in found.values()]
        rows = [
            [name, *(_cell(one.get(name, {}).get(reference), "+") for one in less)]
            for name in others
        ]
        if reference in names and others:
            made.append(Sheet(f"Less {reference}, in pairs", ("method", *sizes), rows))
    return made


def _accuracy(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    strength = f"\nat {one['strength']:g}" if one["strength"] else ""
    return _cell(one["accuracy"], "") + strength


def _cell(one: Mapping[str, Any] | None, sign: str) -> str:
    if one is None:
        return "-"
    low, high = one["ci95"]
    return f"{one['value']:{sign}.4f}\n({low:{sign}.4f} to {high:{sign}.4f})"
