"""How the arguments of the torch functions that a page can run are read, one result at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Reading = tuple[str, tuple[Tensor | None, ...], dict[str, Any]]
"""Kind, weights and how."""


class Other(Exception):
    """A known function, used in a way that is not."""


def _pair(value: Any) -> list[int]:
    return [int(v) for v in (value if isinstance(value, tuple | list) else (value, value))]


def _plain(value: Any) -> bool:
    """Whether JSON has it."""
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def _only(condition: bool) -> None:
    if not condition:
        raise Other


def _alone(x: Tensor, tracked: list[Tensor]) -> bool:
    """Whether it is all that comes from the image, so weights do not."""
    return len(tracked) == 1 and x is tracked[0]


def _convolution(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Reading:
    _only(_alone(x, tracked) and x.ndim == 4)
    reach = [d * (k - 1) for d, k in zip(_pair(dilation), weight.shape[2:], strict=True)]
    if padding == "same":
        _only(all(r % 2 == 0 for r in reach))
        padding = [r // 2 for r in reach]
    padding = [0, 0] if padding == "valid" else _pair(padding)
    how = {"stride": _pair(stride), "padding": padding, "dilation": _pair(dilation)}
    return "convolution", (weight, bias), how | {"groups": groups}


def _batch_norm(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Reading:
    _only(not training and _alone(x, tracked))
    if mean is None or variance is None:
        raise Other
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    shift = shift if bias is None else shift + bias
    return "scale", (scale, shift), {"places": x[0, 0].numel()}


def _group_norm(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Reading:
    _only(_alone(x, tracked))
    how = {"size": x[0].numel() // num_groups, "eps": eps, "places": x[0, 0].numel()}
    return "norm", (weight, bias), how


def _layer_norm(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Reading:
    _only(_alone(x, tracked) and len(normalized_shape) < x.ndim)
    how = {"size": math.prod(normalized_shape), "eps": eps, "places": 1}
    return "norm", (weight, bias), how


def _pointwise(name: str, **settings: Any) -> Callable[..., Reading]:
    """A function of single numbers; its settings, by the names and values that torch gives them."""

    def read(out: Tensor, tracked: list[Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Reading:
        names = [*settings, "inplace"]
        _only(len(args) <= len(names))
        given = settings | dict(zip(names, args, strict=False)) | kwargs
        given.pop("inplace", None)
        _only(given.keys() == settings.keys() and all(map(_plain, given.values())))
        return name, (), given

    return read


def _prelu(out: Tensor, tracked: list[Tensor], x: Tensor, weight: Tensor) -> Reading:
    _only(_alone(x, tracked) and x.ndim > 1)
    return "prelu", (weight.expand(x.shape[1]),), {}


def _permute(out: Tensor, tracked: list[Tensor], x: Tensor, *dims: Any) -> Reading:
    order = [d % x.ndim for d in (dims[0] if isinstance(dims[0], tuple | list) else dims)]
    _only(order[0] == 0)
    return "permute", (), {"order": [d - 1 for d in order[1:]]}


def _max_pool(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Reading:
    _only(not return_indices and x.ndim == 4)
    how = {"kernel": _pair(kernel_size), "stride": _pair(stride or kernel_size)}
    how |= {"padding": _pair(padding), "dilation": _pair(dilation)}
    return "max_pool", (), how | {"ceil": ceil_mode}


def _mean_pool(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Reading:
    _only(not ceil_mode and divisor_override is None and x.ndim == 4)
    how = {"kernel": _pair(kernel_size), "stride": _pair(stride or kernel_size)}
    return "mean_pool", (), how | {"padding": _pair(padding), "padded": count_include_pad}


def _adaptive(out: Tensor, tracked: list[Tensor], x: Tensor, output_size: Any) -> Reading:
    _only(x.ndim == 4)
    return "mean", (), {"size": list(out.shape[2:]), "shape": list(out.shape[1:])}


def _over_places(kind: str) -> Callable[..., Reading]:
    """One number for all places of a channel."""

    def read(
        out: Tensor, tracked: list[Tensor], x: Tensor, dim: Any = None, keepdim: bool = False
    ) -> Reading:
        axes = sorted(d % x.ndim for d in ([dim] if isinstance(dim, int) else dim or ()))
        _only(x.ndim == 4 and axes == [2, 3])
        return kind, (), {"size": [1, 1], "shape": list(out.shape[1:])}

    return read


def _linear(
    out: Tensor, tracked: list[Tensor], x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Reading:
    _only(_alone(x, tracked) and x.ndim > 1 and weight.ndim == 2)
    return "linear", (weight, bias), {}


def _add(out: Tensor, tracked: list[Tensor], x: Any, y: Any, alpha: Any = 1) -> Reading:
    _only(alpha == 1)
    if len(tracked) == 1:
        constant, places = _constant(out, tracked, x, y)
        return "scale", (torch.ones_like(constant), constant), {"places": places}
    _only(x.shape == y.shape)
    return "add", (), {}


def _subtract(out: Tensor, tracked: list[Tensor], x: Any, y: Any, alpha: Any = 1) -> Reading:
    _only(alpha == 1)
    constant, places = _constant(out, tracked, x, y)
    sign = 1 if x is tracked[0] else -1
    return "scale", (sign * torch.ones_like(constant), -sign * constant), {"places": places}


def _multiply(out: Tensor, tracked: list[Tensor], x: Any, y: Any) -> Reading:
    if len(tracked) == 1:
        constant, places = _constant(out, tracked, x, y)
        return "scale", (constant, torch.zeros_like(constant)), {"places": places}
    larger, smaller = sorted((x, y), key=torch.numel, reverse=True)
    _only(larger.shape == out.shape)
    return "multiply", (), {"places": _along(out, smaller)[1]}


def _divide(out: Tensor, tracked: list[Tensor], x: Any, y: Any) -> Reading:
    constant, places = _constant(out, tracked, x, y)
    _only(x is tracked[0])
    return "scale", (1 / constant, torch.zeros_like(constant)), {"places": places}


def _constant(out: Tensor, tracked: list[Tensor], x: Any, y: Any) -> tuple[Tensor, int]:
    """The one of two arguments that does not come from the image, as `_along` has it.

    The other has the shape of the result; and the constant is not itself what came out, changed.
    """
    constant = y if x is tracked[0] else x
    _only(len(tracked) == 1 and tracked[0].shape == out.shape and constant is not out)
    return _along(out, constant)


def _along(out: Tensor, values: Any) -> tuple[Tensor, int]:
    """Numbers that go through some axes of a result, and are alike along the others.

    Returns:
        The numbers, and how many places of the result each stands for, before the next follows;
        behind the last comes the first again.
    """
    values = torch.as_tensor(values, dtype=out.dtype).clone()  # it may be changed later
    _only(values.ndim <= out.ndim)
    shape = (1,) * (out.ndim - values.ndim) + tuple(values.shape)
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not axes:
        return values.reshape(1), 1
    first, behind = axes[0], axes[-1] + 1
    _only(first > 0 and shape[first:behind] == out.shape[first:behind])
    return values.flatten(), math.prod(out.shape[behind:])


def _dropout(
    out: Tensor,
    tracked: list[Tensor],
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Reading:
    _only(not training)
    return _reshape(out, tracked, x)


def _reshape(out: Tensor, tracked: list[Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Reading:
    _only(len(out) == 1 and out.numel() == x.numel() and out.dtype == x.dtype)
    return "reshape", (), {"shape": list(out.shape[1:])}


READINGS: dict[str, Callable[..., Reading]] = {
    "conv2d": _convolution,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "relu": _pointwise("relu"),
    "gelu": _pointwise("gelu", approximate="none"),
    "silu": _pointwise("silu"),
    "sigmoid": _pointwise("sigmoid"),
    "tanh": _pointwise("tanh"),
    "leaky_relu": _pointwise("leaky_relu", negative_slope=0.01),
    "elu": _pointwise("elu", alpha=1.0),
    "hardtanh": _pointwise("clip", min_val=-1.0, max_val=1.0),
    "prelu": _prelu,
    "permute": _permute,
    "max_pool2d": _max_pool,
    "avg_pool2d": _mean_pool,
    "adaptive_avg_pool2d": _adaptive,
    "mean": _over_places("mean"),
    "amax": _over_places("most"),
    "linear": _linear,
    **dict.fromkeys(("add", "iadd", "radd"), _add),
    "sub": _subtract,
    "rsub": lambda out, tracked, x, y, alpha=1: _subtract(out, tracked, y, x, alpha),
    "mul": _multiply,
    "div": _divide,
    **dict.fromkeys(("flatten", "view", "reshape", "contiguous", "clone"), _reshape),
    "dropout": _dropout,
}
"""How the arguments of each torch function that the page knows are read, by its name."""
