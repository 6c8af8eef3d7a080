"""Convolution with filters of its own for every sample, beside what else does the same."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from timing import Machine, Times, Work
from torch import Tensor

from filtergan.machine import runtime
from filtergan.sites.convolution import Backend, Geometry, convolve, fastest

BATCH = 64


@dataclass(frozen=True)
class Shape:
    """A convolution of square images."""

    side: int
    channels: int
    filters: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1

    def __str__(self) -> str:
        """As in `7x7, 64 → 64, 3x3`."""
        kind = f", stride {self.stride}" if self.stride > 1 else ""
        kind += ", depthwise" if self.groups == self.channels > 1 else ""
        kernel = f"{self.kernel}x{self.kernel}"
        return f"{self.side}x{self.side}, {self.channels} → {self.filters}, {kernel}{kind}"

    @property
    def geometry(self) -> Geometry:
        """Padded so that the side stays, but for the stride."""
        return Geometry((self.stride,) * 2, (self.kernel // 2,) * 4, groups=self.groups)

    def tensors(self, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs, and filters for each sample."""
        one = (self.filters, self.channels // self.groups, self.kernel, self.kernel)
        inputs = torch.randn(batch, self.channels, self.side, self.side, device=device)
        filters = torch.randn(batch, *one, device=device) / prod(one[1:]) ** 0.5
        return inputs, filters


SHAPES = (
    Shape(28, 1, 16),
    Shape(28, 32, 32),
    Shape(14, 16, 32),
    Shape(14, 64, 64),
    Shape(7, 64, 64),
    Shape(7, 128, 128),
    Shape(7, 512, 512),
    Shape(14, 32, 32, kernel=5),
    Shape(14, 128, 128, kernel=1),
    Shape(28, 32, 64, stride=2),
    Shape(14, 64, 128, kernel=1, stride=2),
    Shape(14, 128, 128, groups=128),
    Shape(7, 512, 512, groups=512),
)


def both_ways(convolution: Any, inputs: Tensor, filters: Tensor, gradient: Tensor) -> Work:
    """A pass forwards and one back, to inputs and filters."""
    inputs, filters = inputs.clone().requires_grad_(), filters.clone().requires_grad_()
    return lambda: torch.autograd.grad(convolution(inputs, filters), (inputs, filters), gradient)


def run(device: torch.device, machine: Machine) -> dict[str, Any]:
    """A row for each shape."""
    return {"batch": BATCH, "rows": [_row(shape, device, machine) for shape in SHAPES]}


def _row(shape: Shape, device: torch.device, machine: Machine) -> dict[str, Any]:
    torch.manual_seed(0)
    geometry = shape.geometry
    inputs, filters = shape.tensors(BATCH, device)
    runtime.keep_memory(filters.nbytes)  # as the game does
    plain: dict[str, Any] = {
        "stride": shape.stride,
        "padding": shape.kernel // 2,
        "groups": shape.groups,
    }

    def shared(x: Tensor, f: Tensor) -> Tensor:
        return F.conv2d(x, f, **plain)

    def loop(x: Tensor, f: Tensor) -> Tensor:
        return torch.cat([F.conv2d(a[None], b, **plain) for a, b in zip(x, f, strict=True)])

    def one(x: Tensor, f: Tensor) -> Tensor:
        return F.conv2d(x[None], f, **plain)[0]

    def ours(x: Tensor, f: Tensor) -> Tensor:
        return convolve(x, f, None, geometry, backend)

    with torch.no_grad():
        gradient = torch.randn_like(shared(inputs, filters[0]))
    backend: Backend = fastest(tuple(filters.shape[1:]), gradient.shape[2:].numel(), geometry)
    kinds = {"ours": ours, "loop": loop, "vmap": torch.func.vmap(one)}
    works = {name: both_ways(kind, inputs, filters, gradient) for name, kind in kinds.items()}
    works["shared"] = both_ways(shared, inputs, filters[0], gradient)
    times = Times(works)
    # What must be computed, and read and written: inputs, filters and responses forwards, and
    # the same with both gradients backwards.
    passes = 2 * gradient.numel() * prod(filters.shape[2:])
    x, f, y = (4 * t.numel() for t in (inputs, filters, gradient))
    parts = ((passes, x + f + y), (passes, y + f + x), (passes, y + x + f))
    floor = sum(max(flop / machine.flop, moved / machine.bytes) for flop, moved in parts)
    return {
        "shape": str(shape),
        "backend": backend,
        "filter_mib": f / 2**20,
        "seconds": times.of("ours").as_record(),
        **{
            f"over_{name}": times.ratio("ours", name).as_record()
            for name in works
            if name != "ours"
        },
        "over_floor": times.of("ours").median / floor,
    }
