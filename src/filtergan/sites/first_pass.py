"""What one pass over an example shows of a layer: whether it can be a site, and what follows it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.sites.convolution import (
    Backend,
    Convolution,
    Geometry,
    convolutions,
    convolve,
    fastest,
)
from filtergan.sites.tracing import Follower, Operation
from filtergan.sites.wrappers import untouched


def convolution_of(network: nn.Module, layer: str) -> Convolution:
    """The convolution of a name.

    Raises:
        UserError: The network has no such layer, or it is something else.
    """
    known = convolutions(network)
    if layer in known:
        return known[layer]
    names = ", ".join(known) or "none"
    if layer in dict(network.named_modules()):
        kind = type(network.get_submodule(layer)).__name__
        raise UserError(f"Layer {layer!r} is a {kind}, not a convolution; those are: {names}.")
    raise UserError(f"The network has no layer {layer!r}; its convolutions are: {names}.")


def first_pass(
    network: nn.Module,
    layer: str,
    example: Tensor,
    run: Callable[[Tensor], Any],
    most: int | None = None,
) -> tuple[list[Operation], Backend]:
    """Run an example once; see that the convolution runs once, and what follows it.

    Args:
        network: The network, unwrapped.
        layer: Dotted name of the convolution.
        example: Some inputs.
        run: An ordinary pass through the network.
        most: Operations to follow; None: as many as there are.

    Returns:
        The operations, and how filters of its own for every sample are best applied.

    Raises:
        UserError: The layer does not run exactly once, once for each image, with its own weights.
    """
    conv, follower, backends = convolution_of(network, layer), Follower(most), list[Backend]()
    calls: list[str] = []
    running: list[str] = []

    def enter(name: str) -> None:
        calls.append(name)
        running.append(name)

    def leave(_: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if running.pop() != layer:
            return None
        if calls.count(layer) == 1:
            inputs = args[0] if args else kwargs["input"]
            backends.append(_checked(layer, conv, len(example), inputs, output))
        return follower.start(output)

    follower.caller = lambda: running[-1] if running else None
    with untouched(network), torch.no_grad(), ExitStack() as stack:
        for name, module in network.named_modules():
            if name == layer or next(module.children(), None) is None:
                before = module.register_forward_pre_hook(lambda _m, _a, name=name: enter(name))
                stack.callback(before.remove)
                after = module.register_forward_hook(leave, with_kwargs=True)
                stack.callback(after.remove)
        stack.enter_context(follower)
        run(example)
    runs = calls.count(layer)
    if runs != 1:
        raise UserError(
            f"Layer {layer!r} runs {runs} times in one forward pass; a site must run exactly once: "
            "choose another layer, or give each use a convolution of its own."
        )
    operations = [
        op if op.module is None or calls.count(op.module) == 1 else replace(op, module=None)
        for op in follower.operations
    ]
    return operations, backends[0]


def _checked(layer: str, conv: Convolution, images: int, inputs: Tensor, output: Tensor) -> Backend:
    """The fastest backend of a layer, if it is a convolution with its own weights, once an image.

    Raises:
        UserError: It is not.
    """
    if inputs.ndim != conv.weight.ndim or len(inputs) != images:
        raise UserError(
            f"Layer {layer!r} receives {list(inputs.shape)} for {images} images; a site needs one "
            "input for each, behind a batch dimension: choose another layer."
        )
    geometry = Geometry.of(conv)
    got = convolve(inputs, conv.weight, conv.bias, geometry)
    if got.shape != output.shape or (got - output).abs().max() > 0.01 * output.abs().max():
        raise UserError(
            f"Layer {layer!r}, a {type(conv).__name__}, computes something else than a convolution "
            "with its weights, so other filters cannot take their place: choose another layer."
        )
    return fastest(tuple(conv.weight.shape), got.shape[2:].numel(), geometry)
