"""Times side by side, and what this machine could do at best."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Work = Callable[[], object]
ROUNDS = 9
ROUND = 0.06  # seconds that each work takes in a round, at least one call


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of some values."""
        low, median, high = statistics.quantiles(list(values), n=4, method="inclusive")
        return cls(median, low, high)

    def as_record(self) -> list[float]:
        """Median, lower and upper quartile, of four digits each."""
        return [float(f"{v:.4g}") for v in (self.median, self.low, self.high)]


class Times:
    """Seconds of several works, measured in turn, so that a disturbance meets them all.

    Args:
        works: What is compared; each is called once before, and not counted.
        rounds: How often each is measured.
    """

    def __init__(self, works: Mapping[str, Work], rounds: int = ROUNDS) -> None:
        calls = {name: max(1, round(ROUND / _seconds(work, 1))) for name, work in works.items()}
        calls = {name: max(1, round(ROUND / _seconds(works[name], n))) for name, n in calls.items()}
        self.seconds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                self.seconds[name].append(_seconds(work, calls[name]))

    def of(self, name: str) -> Spread:
        """Seconds of one call."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, other: str) -> Spread:
        """Time of one over that of another, round by round."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return Spread.of(a / b for a, b in pairs)


def _seconds(work: Work, calls: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    _wait()
    return (time.perf_counter() - start) / calls


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ------------------------------------------------------------------------------------- floors


@dataclass(frozen=True)
class Machine:
    """What a machine does at best, measured.

    Attributes:
        flop: Operations in a second, of the product of two large float32 matrices.
        bytes: Bytes read and written in a second, in a copy too large for any cache.
    """

    flop: float
    bytes: float

    @classmethod
    def measured(cls, device: torch.device) -> "Machine":
        """Measure both, each by the quickest of its rounds: disturbance only adds time."""
        n = 8192 if device.type == "cuda" else 2048
        a, b = torch.randn(2, n, n, device=device)
        source = torch.empty(2**28 if device.type == "cuda" else 2**26, device=device).normal_()
        target = torch.empty_like(source)
        times = Times({"product": lambda: a @ b, "copy": lambda: target.copy_(source)})
        moved = 2 * source.numel() * source.element_size()
        product, copy = (min(times.seconds[name]) for name in ("product", "copy"))
        return cls(2 * n**3 / product, moved / copy)

    def floor(self, work: Work) -> float:
        """Least seconds of some work: the sum over its operations.

        Of each operation the larger of two: its arithmetic at the rate of a large matrix product,
        and its inputs and outputs at the rate of a large copy. Views cost nothing.
        """
        with _Operations() as seen:
            work()
        return sum(max(flop / self.flop, moved / self.bytes) for flop, moved in seen.costs)


def operations(work: Work) -> int:
    """Arithmetic of some work: two for each product with its sum."""
    with _Operations() as seen:
        work()
    return sum(flop for flop, _ in seen.costs)


class _Operations(TorchDispatchMode):
    """Arithmetic and bytes of every operation; torch's own counter misses grouped backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.costs: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out, packet, flop = func(*args, **kwargs), func.overloadpacket, 0
        if packet is torch.ops.aten.convolution_backward:
            gradient, _, weight, *_, (of_input, of_weight, _) = args
            passes = bool(of_input) + bool(of_weight)  # each costs what the forward pass does
            flop = 2 * gradient.numel() * math.prod(weight.shape[1:]) * passes
        elif packet in flop_registry:
            flop = flop_registry[packet](*args, **kwargs, out_val=out)
        self.costs.append((flop, _moved(func, args, kwargs, out)))
        return out


PICKED = {torch.ops.aten.index, torch.ops.aten.index_select, torch.ops.aten.gather}
MADE = {"empty_like", "zeros_like", "ones_like", "full_like", "new_zeros", "new_empty", "new_ones"}


def _moved(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """Bytes that an operation must read and write."""
    packet = func.overloadpacket
    if func.is_view or packet is torch.ops.aten._unsafe_view:
        return 0
    if packet in PICKED:  # reads of its table what it takes
        return 2 * _bytes(out) + _bytes(args[1:])
    if packet.__name__ in MADE:
        return _bytes(out)
    if packet is torch.ops.aten.copy_:
        return _bytes(args[1]) + _bytes(out)
    return _bytes((args, kwargs)) + _bytes(out)


def _bytes(values: Any) -> int:
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    return sum(_distinct(t) * t.element_size() for t in tensors)


def _distinct(tensor: Tensor) -> int:
    """Numbers that a tensor holds; what is expanded is there but once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in sizes if stride)
