"""Convolution in which every sample of a batch has its own filters."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input: everything about it but the filters.

    `padding` is in the order of `torch.nn.functional.pad` (last dimension first, both sides), so
    that one description covers numbers, "same", "valid" and all padding modes.
    """

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "Geometry":
        """Read the geometry of a convolution module."""
        sides = []
        for axis in reversed(range(2)):
            reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
            if conv.padding == "same":
                sides += [reach // 2, reach - reach // 2]
            elif conv.padding == "valid":
                sides += [0, 0]
            else:
                sides += [int(conv.padding[axis])] * 2
        return cls(conv.stride, tuple(sides), conv.dilation, conv.groups, conv.padding_mode)


def convolve(
    inputs: Float[Tensor, "n c h w"],
    filters: Float[Tensor, "*n o i kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    geometry: Geometry = Geometry(),
) -> Float[Tensor, "n o h2 w2"]:
    """Convolve with one set of filters, or with a set of its own for every sample.

    Per-sample filters run as one grouped convolution, each sample a group (or `groups` of them).

    Args:
        inputs: A batch.
        filters: [o, i, kh, kw] for all samples, or [n, o, i, kh, kw]; i is c / groups.
        bias: One number per filter, the same for all samples.
        geometry: Stride, padding, dilation, groups and padding mode.
    """
    top, bottom, left, right = (geometry.padding[i] for i in (2, 3, 0, 1))
    padding = (top, left)
    if geometry.mode != "zeros":
        inputs, padding = F.pad(inputs, geometry.padding, mode=geometry.mode), (0, 0)
    elif (top, left) != (bottom, right):
        inputs, padding = F.pad(inputs, geometry.padding), (0, 0)

    stride, dilation = geometry.stride, geometry.dilation
    if filters.ndim == 4:
        return F.conv2d(inputs, filters, bias, stride, padding, dilation, geometry.groups)
    n, o = filters.shape[:2]
    assert len(inputs) == n, "as many sets of filters as samples"
    out = F.conv2d(
        inputs.reshape(1, -1, *inputs.shape[2:]),
        filters.reshape(n * o, *filters.shape[2:]),
        None,
        stride,
        padding,
        dilation,
        n * geometry.groups,
    )
    out = out.reshape(n, o, *out.shape[2:])
    return out if bias is None else out + bias[:, None, None]
