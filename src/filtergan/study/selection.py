"""Which sites a study works on: patterns and depths become names, in the network's order."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from itertools import product, starmap
from typing import Any

import torch
from torch import Tensor, nn

from filtergan.config.site_names import PAPER, RECIPES, Recipe, SiteName, split
from filtergan.errors import UserError
from filtergan.sites.convolution import convolutions
from filtergan.sites.wrappers import untouched, unwrapped

ALL = "all"
FIRST = ("conv", "activation")
"""Readings that come before all modules behind a layer."""


def is_pattern(layer: str) -> bool:
    """Whether a layer may be meant as a pattern; one that is the name of a layer is none."""
    return layer == ALL or any(sign in layer for sign in "*?[")


def execution_order(
    network: nn.Module, example: Tensor, names: Iterable[str] | None = None
) -> list[str]:
    """Modules in the order in which one pass first leaves them; those never run are the last.

    Args:
        network: Any network.
        example: Some images.
        names: Dotted names of the modules in its own order; by default the convolutions.
    """
    known = list(convolutions(network) if names is None else names)
    whole, seen = unwrapped(network), dict[str, None]()
    with untouched(network), torch.no_grad(), ExitStack() as stack:
        for name in known:
            note = partial(_note, seen, name)
            stack.callback(whole.get_submodule(name).register_forward_hook(note).remove)
        network(example)
    return list(seen | dict.fromkeys(known))


def _note(seen: dict[str, None], name: str, _module: nn.Module, _in: Any, _out: Any) -> None:
    seen[name] = None


def in_order(sites: Iterable[SiteName], network: nn.Module, example: Tensor) -> list[SiteName]:
    """Sites by recipe, then by layer, then by reading, these two as one pass comes to them.

    Args:
        sites: Of the network.
        network: The network.
        example: Some images.
    """
    wanted = list(sites)
    points = {site.point for site in wanted} - set(FIRST)
    layers = execution_order(network, example)
    readings = [*FIRST, *execution_order(network, example, sorted(points))]

    def place(site: SiteName) -> tuple[int, int, int]:
        layer, reading = layers.index(site.layer), readings.index(site.point)
        return RECIPES.index(site.recipe), layer, reading

    return sorted(wanted, key=place)


def select(
    layers: Sequence[str],
    readings: Sequence[str],
    known: list[str],
    found: Callable[[SiteName], SiteName],
    recipes: Sequence[Recipe] = (PAPER,),
) -> tuple[tuple[SiteName, ...], dict[str, str]]:
    """Put sites in the place of patterns and depths.

    What cannot be studied is left out where it was not asked for by name: of what fits a pattern,
    and of the readings of several layers where there are several.

    Args:
        layers: Names, `all`, and patterns as file names have them (`*`, `?`, `[...]`), some with a
            reading or a recipe of their own.
        readings: Of the others.
        known: The network's convolutions, in its order.
        found: Gives a site its name, in which a depth has become a module.
        recipes: Of the layers without one of their own.

    Returns:
        Each site once, by layers as named, those of a pattern in the network's order, then by
        readings, then by recipes; and those left out, with the reason.

    Raises:
        UserError: A pattern fits no convolution; nothing that an entry, or a reading, stands for
            can be studied; or a site that was asked for by name cannot.
    """
    chosen, left_out = dict[SiteName, None](), dict[SiteName, str]()
    reached = set[str]()
    for entry in layers:
        parts = split(entry)
        layer, own = parts.layer, parts.point
        pattern = layer not in known and is_pattern(layer)
        fitting = _fitting(layer, known) if pattern else [layer]
        points = readings if own is None else (own,)
        optional = pattern or (own is None and len(layers) > 1 and len(readings) > 1)
        there, faults = dict[SiteName, None](), dict[SiteName, str]()
        ways = product(fitting, points, parts.recipes(recipes))
        for site in starmap(SiteName, ways):
            try:
                there[found(site)] = None
                reached.add(site.point)
            except UserError as error:
                if not optional:
                    raise
                faults[site] = str(error)
        if not there:
            what = f"No layer that {entry!r} fits" if pattern else f"No reading of {entry!r}"
            raise UserError(f"{what} can be studied: {' '.join(faults.values())}")
        chosen |= there
        left_out |= faults
    for site, said in left_out.items():
        if site.point not in reached:
            raise UserError(f"No layer can be read at {site.point!r}: {said}")
    return tuple(chosen), {str(s): said for s, said in left_out.items() if s not in chosen}


def _fitting(pattern: str, known: list[str]) -> list[str]:
    fitting = [name for name in known if pattern == ALL or fnmatchcase(name, pattern)]
    if not fitting:
        raise UserError(
            f"The pattern {pattern!r} fits no layer; the network's convolutions are: "
            f"{', '.join(known) or 'none'}."
        )
    return fitting
