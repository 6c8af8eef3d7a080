"""Networks as others hand them over: what is unwrapped, what is refused, where their logits are."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from filtergan.errors import UserError


def unwrapped(network: Any) -> nn.Module:
    """The module itself, where it comes compiled or in a wrapper for several devices.

    Unwrapping is exact: a compiled or distributed network computes what the module in it does.

    Raises:
        UserError: It has no convolutions that could be exchanged (TorchScript, torch.export), or
            layers without weights yet; or it is no network.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UserError(
            "The network is a TorchScript module, whose convolutions cannot be exchanged; use the "
            "network that was scripted or traced, with its weights (state_dict)."
        )
    if _is_exported(network):
        raise UserError(
            "The network comes from torch.export, which keeps no convolutions, only calls in a "
            "graph; use the network that was exported, with its weights."
        )
    if not isinstance(network, nn.Module):
        raise UserError(f"The network is a {type(network).__name__}, no torch.nn.Module.")
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(network.module)
    if _is_compiled(network) and isinstance(inner := network._modules["_orig_mod"], nn.Module):
        return unwrapped(inner)
    for name, module in network.named_modules():
        tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(is_lazy(t) for t in tensors):
            raise UserError(
                f"Layer {name!r} of the network is lazy and has no weights yet; run the network "
                "once on images, or load its weights, before it is handed over."
            )
    return network


@contextmanager
def uncompiled(network: nn.Module) -> Iterator[None]:
    """Run compiled parts of a network as the plain modules they are: hooks reach into those."""
    if any(_is_compiled(m) or m._compiled_call_impl is not None for m in network.modules()):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def output_of(network: Callable[[Tensor], Any], images: Tensor) -> Any:
    """Run a network; of an object that holds logits among other things, take those."""
    output = network(images)
    return output if isinstance(output, Tensor) else getattr(output, "logits", output)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 over a network's weights and buffers: names, types, shapes and bytes.

    It does not depend on the device, the layout in memory, or a wrapper.
    """
    digest = hashlib.sha256()
    for name, value in sorted(unwrapped(network).state_dict().items()):
        if isinstance(value, Tensor):  # a module may add more of its own
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_compiled(module: nn.Module) -> bool:
    return "_orig_mod" in module._modules  # to import the class would cost seconds


def _is_exported(network: Any) -> bool:
    """Whether it runs graphs of torch's own operators, as torch.export makes them."""
    if isinstance(network, torch.export.ExportedProgram):
        return True
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    graphs = [graph for m in modules if isinstance(graph := getattr(m, "graph", None), fx.Graph)]
    operators = (isinstance(n.target, torch._ops.OpOverload) for g in graphs for n in g.nodes)
    return any(operators) and not any(isinstance(m, nn.modules.conv._ConvNd) for m in modules)
