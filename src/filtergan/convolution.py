"""Convolution in one, two or three dimensions in which every sample has its own filters."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Backend = Literal["grouped", "unfolded"]
MANY = 5  # filters for each position of the output
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}  # by the number of dimensions


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input: everything about it but the filters.

    `padding` is in the order of `torch.nn.functional.pad` (last dimension first, both sides), so
    that one description covers numbers, "same", "valid" and all padding modes; () is none. A
    stride or dilation of one number holds for all dimensions.
    """

    stride: tuple[int, ...] = (1,)
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = (1,)
    groups: int = 1
    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    @classmethod
    def of(cls, conv: Convolution) -> "Geometry":
        """Read the geometry of a convolution module."""
        sides = []
        for axis in reversed(range(len(conv.kernel_size))):
            reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
            if conv.padding == "same":
                sides += [reach // 2, reach - reach // 2]
            elif conv.padding == "valid":
                sides += [0, 0]
            else:
                sides += [int(conv.padding[axis])] * 2
        return cls(conv.stride, tuple(sides), conv.dilation, conv.groups, conv.padding_mode)


def fastest(filters: tuple[int, ...], places: int, geometry: Geometry) -> Backend:
    """How filters of its own for every sample are best applied, by what was measured on a CPU.

    Matrix products win where nothing need be unfolded, and where the filters are by far more
    numbers than the unfolded inputs: a grouped convolution brings them into a layout of its own.

    Args:
        filters: Shape of one set, [o, i, *k].
        places: Positions of the output.
        geometry: Of the convolution.
    """
    pointwise = max(filters[2:]) == 1 and not any(geometry.padding)
    many = len(filters) == 4 and filters[0] > MANY * places
    return "unfolded" if geometry.groups == 1 and (pointwise or many) else "grouped"


def convolutions(network: nn.Module) -> dict[str, Convolution]:
    """The convolutions of a network by dotted name, of one, two and three dimensions."""
    return {name: m for name, m in network.named_modules() if isinstance(m, Convolution)}


def convolve(
    inputs: Float[Tensor, "n c *k"],
    filters: Float[Tensor, "..."],
    bias: Float[Tensor, " o"] | None = None,
    geometry: Geometry = Geometry(),
    backend: Backend = "grouped",
) -> Float[Tensor, "n o *l"]:
    """Convolve with one set of filters, or with a set of its own for every sample.

    Args:
        inputs: A batch with one, two or three dimensions behind the channels.
        filters: [o, i, *k] for all samples, or [n, o, i, *k]; i is c / groups.
        bias: One number per filter, the same for all samples.
        geometry: Stride, padding, dilation, groups and padding mode.
        backend: How filters of its own for every sample are applied: as one grouped convolution,
            each sample a group (or `groups` of them), or as matrix products with the unfolded
            inputs (two dimensions or filters of one position; no groups). `fastest` chooses.
    """
    before, after = geometry.padding[-2::-2], geometry.padding[::-2]
    padding = before or (0,)
    if geometry.mode != "zeros":
        inputs, padding = F.pad(inputs, geometry.padding, mode=geometry.mode), (0,)
    elif before != after:
        inputs, padding = F.pad(inputs, geometry.padding), (0,)

    convolution = CONVOLVE[inputs.ndim - 2]
    stride, dilation = geometry.stride, geometry.dilation
    if filters.ndim == inputs.ndim:
        return convolution(inputs, filters, bias, stride, padding, dilation, geometry.groups)
    n, o = filters.shape[:2]
    assert len(inputs) == n, "as many sets of filters as samples"
    if backend == "unfolded":
        out = _unfolded(inputs, filters, stride, padding, dilation)
    else:
        out = convolution(
            inputs.reshape(1, -1, *inputs.shape[2:]),
            filters.reshape(n * o, *filters.shape[2:]),
            None,
            stride,
            padding,
            dilation,
            n * geometry.groups,
        )
        out = out.reshape(n, o, *out.shape[2:])
    return out if bias is None else out + bias.reshape(-1, *[1] * (out.ndim - 2))


def _unfolded(
    inputs: Tensor,
    filters: Tensor,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Each sample's filters times its patches."""
    kernel, dims = filters.shape[3:], inputs.ndim - 2
    stride, padding, dilation = (
        v * dims if len(v) == 1 else v for v in (stride, padding, dilation)
    )
    if max(kernel) == 1 and not any(padding):
        patches = inputs[(..., *(slice(None, None, step) for step in stride))]
        places, patches = patches.shape[2:], patches.flatten(2)
    else:
        sides = zip(inputs.shape[2:], padding, dilation, kernel, stride, strict=True)
        places = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sides]
        patches = F.unfold(inputs, kernel, dilation, padding, stride)
    return (filters.flatten(2) @ patches).unflatten(2, places)
