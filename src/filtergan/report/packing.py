"""Arrays as text that a page carries: numbers in base64, of as few bits as nothing is lost by."""

import base64
import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
BITS = (8, 16, 32)
"""Of a weight; 32 is a float as it is."""


def packed(values: Tensor, bits: int) -> dict[str, Any]:
    """An array as JSON has it: shape, bits, steps of the rows, and the numbers in base64.

    Args:
        values: Any number of dimensions; rows are along the first.
        bits: 8 or 16: whole numbers, each times the step of its row; vectors stay floats.
    """
    values = values.detach().cpu().float()
    if bits == 32 or values.ndim < 2:
        return {"shape": list(values.shape), "bits": 32, "steps": [], "data": text(values)}
    whole, steps = _whole(values, bits)
    kind = {8: torch.int8, 16: torch.int16}[bits]
    data = text(whole.to(kind))
    return {"shape": list(values.shape), "bits": bits, "steps": steps.tolist(), "data": data}


def text(values: Tensor) -> str:
    """The numbers of an array in base64, little end first."""
    return base64.b64encode(values.contiguous().numpy().tobytes()).decode()


def rounded(values: Tensor, bits: int) -> Tensor:
    """What is read again from `packed`."""
    if bits == 32 or values.ndim < 2:
        return values
    whole, steps = _whole(values.detach().cpu().float(), bits)
    return (whole * steps.reshape(-1, *[1] * (values.ndim - 1))).to(values)


def _whole(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Whole numbers as doubles, and the step of each row."""
    most = 2 ** (bits - 1) - 1
    steps = values.double().flatten(1).abs().amax(1) / most
    # Six digits, so that they are short as text.
    steps = torch.tensor([float(f"{step:.6g}") for step in steps.tolist()], dtype=torch.float64)
    divisor = steps.clamp(min=1e-30).reshape(-1, *[1] * (values.ndim - 1))
    return (values.double() / divisor).round().clamp(-most, most), steps


def fewest_bits(
    module: Module, computed: Callable[[Module], Tensor], tolerance: float
) -> tuple[Module, int]:
    """A module whose weights are rounded as far as nothing that is seen changes, and to what bits.

    Args:
        module: It stays as it is.
        computed: What is seen of it.
        tolerance: The largest difference of a number that is no change.
    """
    with torch.no_grad():
        exact = computed(module)
        for bits in BITS[:-1]:
            other = copy.deepcopy(module)
            for weights in other.parameters():
                weights.copy_(rounded(weights, bits))
            if (computed(other) - exact).abs().max() <= tolerance:
                return other, bits
    return module, BITS[-1]


def weights_of(module: nn.Module, bits: int) -> dict[str, Any]:
    """All parameters of a module, packed, by name."""
    return {name: packed(weights, bits) for name, weights in module.named_parameters()}
