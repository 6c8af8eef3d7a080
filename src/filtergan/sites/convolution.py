"""Convolution in one, two or three dimensions in which samples have filters of their own."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from filtergan.sites.wrappers import unwrapped

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Backend = Literal["grouped", "unfolded"]
MANY = 2  # filters for each position of the output
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


def unfolded(
    inputs: Float[Tensor, "n i h w"], kernel: tuple[int, ...], geometry: Geometry
) -> Float[Tensor, "n g d l"]:
    """What each filter of a group sees at each of its places."""
    mode = "constant" if geometry.mode == "zeros" else geometry.mode
    padded = F.pad(inputs, geometry.padding, mode=mode) if geometry.padding else inputs
    dilation, stride = (v if len(v) == 2 else 2 * v for v in (geometry.dilation, geometry.stride))
    seen = F.unfold(padded, kernel, dilation, 0, stride)
    return seen.unflatten(1, (geometry.groups, -1))


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
    """The convolutions of a network by dotted name, of one, two and three dimensions.

    Raises:
        UserError: The network is of a kind that has no convolutions to exchange.
    """
    modules = unwrapped(network).named_modules()
    return {name: m for name, m in modules if isinstance(m, Convolution)}


def convolve(
    inputs: Float[Tensor, "n c *k"],
    filters: Float[Tensor, "..."],
    bias: Float[Tensor, " o"] | None = None,
    geometry: Geometry = Geometry(),
    backend: Backend = "grouped",
) -> Float[Tensor, "n o *l"]:
    """Convolve with one set of filters, with a set for every sample, or for every few of them.

    Args:
        inputs: A batch with one, two or three dimensions behind the channels.
        filters: [o, i, *k] for all samples, or [m, o, i, *k], each for n / m samples in a row; i is
            c / groups.
        bias: One number per filter, the same for all samples.
        geometry: Stride, padding, dilation, groups and padding mode.
        backend: How filters of its own for every sample are applied: as one grouped convolution,
            each sample a group (or `groups` of them), or as matrix products with the unfolded
            inputs (two dimensions or filters of one position; no groups), which takes a set for
            every sample. `fastest` chooses.
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
    m, o = filters.shape[:2]
    assert len(inputs) % m == 0, "every set of filters has equally many samples"
    if backend == "unfolded" and len(inputs) == m:
        out = _unfolded(inputs, filters, stride, padding, dilation)
    else:
        # The samples of a set are a batch; the sets stand side by side, as groups.
        out = convolution(
            inputs.unflatten(0, (m, -1)).transpose(0, 1).flatten(1, 2),
            filters.flatten(0, 1),
            None,
            stride,
            padding,
            dilation,
            m * geometry.groups,
        )
        out = out.unflatten(1, (m, o)).transpose(0, 1).flatten(0, 1)
    return out if bias is None else out + bias.reshape(-1, *[1] * (out.ndim - 2))


def convolve_each(
    inputs: Float[Tensor, "n c *d"],
    filters: Float[Tensor, "k o i *f"],
    bias: Float[Tensor, " o"] | None = None,
    geometry: Geometry = Geometry(),
) -> Float[Tensor, "n k o *e"]:
    """Convolve every sample with each of K sets of filters, as one convolution with K o filters.

    Args:
        inputs: A batch, as for `convolve`.
        filters: The sets; i is c / groups.
        bias: One number per filter, the same in all sets.
        geometry: Stride, padding, dilation, groups and padding mode.
    """
    k, groups = len(filters), geometry.groups
    # The filters of a group stand side by side, of whichever set they are.
    stacked = filters.unflatten(1, (groups, -1)).transpose(0, 1).flatten(0, 2)
    if bias is not None:
        bias = bias.reshape(groups, 1, -1).expand(-1, k, -1).flatten()
    out = convolve(inputs, stacked, bias, geometry)
    return out.unflatten(1, (groups, k, -1)).transpose(1, 2).flatten(2, 3)


def _unfolded(
    inputs: Tensor,
    filters: Tensor,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Each sample's filters times its patches."""
    dims = inputs.ndim - 2
    stride, padding, dilation = (
        v * dims if len(v) == 1 else v for v in (stride, padding, dilation)
    )
    if max(filters.shape[3:]) > 1 or any(padding):
        return _Unfolded.apply(inputs, filters, stride, padding, dilation)
    taken = inputs[(..., *(slice(None, None, step) for step in stride))]
    return (filters.flatten(2) @ taken.flatten(2)).unflatten(2, taken.shape[2:])


class _Unfolded(torch.autograd.Function):
    """Products with unfolded inputs, but for the gradient of the inputs: folding is slow."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, filters: Tensor, stride: Any, padding: Any, dilation: Any
    ) -> Tensor:
        ctx.save_for_backward(inputs, filters)
        ctx.geometry = stride, padding, dilation
        patches = _patches(inputs, filters.shape[3:], stride, padding, dilation)
        places, ctx.patches = patches.shape[4:], patches.flatten(1, 3).flatten(2)
        return (filters.flatten(2) @ ctx.patches).unflatten(2, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, filters = ctx.saved_tensors
        gradient = gradients[0].to(filters.dtype)  # autocast's product may have been in bfloat16
        stride, padding, dilation = ctx.geometry
        of_inputs = of_filters = None
        if ctx.needs_input_grad[0]:
            of_inputs = conv2d_input(
                (1, inputs.shape[:2].numel(), *inputs.shape[2:]),
                filters.flatten(0, 1),
                gradient.reshape(1, -1, *gradient.shape[2:]),
                stride,
                padding,
                dilation,
                len(inputs),
            ).reshape(inputs.shape)
        if ctx.needs_input_grad[1]:
            patches = ctx.patches
            if torch.is_grad_enabled():  # to be differentiated again, by the inputs too
                unfolded = _patches(inputs, filters.shape[3:], stride, padding, dilation)
                patches = unfolded.flatten(1, 3).flatten(2)
            of_filters = (gradient.flatten(2) @ patches.to(gradient.dtype).mT).reshape(
                filters.shape
            )
        return of_inputs, of_filters, None, None, None


def _patches(
    inputs: Float[Tensor, "n c h w"],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Float[Tensor, "n c kh kw h2 w2"]:
    """What each place of a kernel sees; a copy of a view, faster than `unfold` of torch."""
    inputs = F.pad(inputs, (padding[1], padding[1], padding[0], padding[0]))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    windows = inputs.unfold(2, spans[0], stride[0]).unfold(3, spans[1], stride[1])
    taken = windows[..., :: dilation[0], :: dilation[1]]
    return taken.permute(0, 1, 4, 5, 2, 3).contiguous()
