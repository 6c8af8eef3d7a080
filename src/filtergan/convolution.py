"""Convolution in one, two or three dimensions in which every sample has its own filters."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
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


def convolutions(network: nn.Module) -> dict[str, Convolution]:
    """The convolutions of a network by dotted name, of one, two and three dimensions."""
    return {name: m for name, m in network.named_modules() if isinstance(m, Convolution)}


def convolve(
    inputs: Float[Tensor, "n c *k"],
    filters: Float[Tensor, "..."],
    bias: Float[Tensor, " o"] | None = None,
    geometry: Geometry = Geometry(),
) -> Float[Tensor, "n o *l"]:
    """Convolve with one set of filters, or with a set of its own for every sample.

    Per-sample filters run as one grouped convolution, each sample a group (or `groups` of them).

    Args:
        inputs: A batch with one, two or three dimensions behind the channels.
        filters: [o, i, *k] for all samples, or [n, o, i, *k]; i is c / groups.
        bias: One number per filter, the same for all samples.
        geometry: Stride, padding, dilation, groups and padding mode.
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
