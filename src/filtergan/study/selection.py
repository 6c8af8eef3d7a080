"""Which convolutions a study works on: patterns of names become names, in the network's order."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.sites.convolution import convolutions
from filtergan.sites.site import untouched

ALL = "all"


def is_pattern(name: str) -> bool:
    """Whether a layer may be meant as a pattern; one that is the name of a layer is none."""
    return name == ALL or any(sign in name for sign in "*?[")


def execution_order(network: nn.Module, example: Tensor) -> list[str]:
    """The convolutions as one pass first runs them; those that it never runs are the last.

    Args:
        network: Any network.
        example: Some images.
    """
    known, seen = convolutions(network), dict[str, None]()
    with untouched(network), torch.no_grad(), ExitStack() as stack:
        for name, module in known.items():
            note = partial(_note, seen, name)
            stack.callback(module.register_forward_pre_hook(note).remove)
        network(example)
    return list(seen | dict.fromkeys(known))


def _note(seen: dict[str, None], name: str, _module: nn.Module, _inputs: Any) -> None:
    seen[name] = None


def select(
    layers: Iterable[str], known: list[str], fault: Callable[[str], str | None]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Put names in the place of patterns.

    Args:
        layers: Names, `all`, and patterns as file names have them (`*`, `?`, `[...]`).
        known: The network's convolutions, in its order.
        fault: Why a convolution cannot be studied; None: it can.

    Returns:
        Each layer once, as named, those of a pattern in the network's order; and the convolutions
        that fit a pattern but cannot be studied, with the reason.

    Raises:
        UserError: A pattern fits no convolution, or none that can be studied.
    """
    chosen, left_out = dict[str, None](), dict[str, str]()
    for layer in layers:
        if layer in known or not is_pattern(layer):  # a wrong name is for the site to refuse
            chosen[layer] = None
            continue
        fitting = [name for name in known if layer == ALL or fnmatchcase(name, layer)]
        if not fitting:
            raise UserError(
                f"The pattern {layer!r} fits no layer; the network's convolutions are: "
                f"{', '.join(known) or 'none'}."
            )
        faults = {name: said for name in fitting if (said := fault(name))}
        if len(faults) == len(fitting):
            raise UserError(
                f"No layer that {layer!r} fits can be studied: {' '.join(faults.values())}"
            )
        left_out |= faults
        chosen |= dict.fromkeys(name for name in fitting if name not in faults)
    return tuple(chosen), {name: said for name, said in left_out.items() if name not in chosen}
