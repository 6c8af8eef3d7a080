"""Pooling over K sets of filters in one pass, beside K passes with one set each."""

from collections.abc import Callable
from typing import Any

import torch
from convolutions import Shape
from timing import Times
from torch import Tensor, nn

from filtergan.machine import runtime
from filtergan.pooling.pool import FilterPool2d
from filtergan.sites.convolution import convolve

BATCH, DRAWS = 64, 10
SHAPES = (
    Shape(28, 1, 16),
    Shape(28, 32, 32),
    Shape(14, 64, 64),
    Shape(7, 64, 64),
    Shape(7, 128, 128),
    Shape(14, 128, 128, kernel=1),
    Shape(28, 32, 64, stride=2),
    Shape(14, 128, 128, groups=128),
)


def run(device: torch.device) -> dict[str, Any]:
    """A row for each shape."""
    return {"batch": BATCH, "draws": DRAWS, "rows": [_row(shape, device) for shape in SHAPES]}


def _row(shape: Shape, device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": str(shape)}
    for way, works in works_of(shape, device).items():
        times = Times(works)
        found[way] = {
            "seconds": times.of("pool").as_record(),
            "over_apart": times.ratio("pool", "apart").as_record(),
        }
    return found


def works_of(
    shape: Shape, device: torch.device, batch: int = BATCH
) -> dict[str, dict[str, Callable[[], Any]]]:
    """The same by the layer and by a pass for each set: forwards, and also back to all it takes."""
    torch.manual_seed(0)
    inputs, filters = shape.tensors(max(batch, DRAWS), device)
    inputs = inputs[:batch].clone().requires_grad_()
    tail = nn.Sequential(nn.BatchNorm2d(shape.filters), nn.ReLU()).to(device)
    layer = FilterPool2d(filters[:DRAWS], None, shape.geometry, tail, freeze=False)

    def apart() -> Tensor:
        assert isinstance(layer.filters, Tensor)
        total = torch.zeros((), device=device)
        for one in layer.filters:
            total = total + tail(convolve(inputs, one, None, shape.geometry))
        return total / DRAWS

    def pool() -> Tensor:
        return layer(inputs)

    with torch.no_grad():
        gradient = torch.randn_like(apart())
    runtime.keep_memory(DRAWS * gradient.nbytes)  # as a network's pass does
    leaves = (inputs, *layer.parameters())
    kinds = {"pool": pool, "apart": apart}
    return {
        "forwards": {name: torch.no_grad()(kind) for name, kind in kinds.items()},
        "both_ways": {
            name: lambda kind=kind: torch.autograd.grad(kind(), leaves, gradient)
            for name, kind in kinds.items()
        },
    }
