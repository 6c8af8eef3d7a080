"""Networks as others hand them over: their domain and classes, what is unwrapped and refused.

And how they are run, so that they stay as they were.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from filtergan.errors import UserError
from filtergan.images.domain import Domain


class Classifier(nn.Module):
    """A network that takes pixels in [0, 1], whatever it takes itself; it stays as it is.

    It goes wherever a network goes. Layers keep the names that they have in the network.

    Attributes:
        network: Maps normalised images [n, c, h, w] to logits [n, classes].
        domain: How it wants pixels normalised.
        classes: Their names, in the order of its logits; empty where they are not known.

    Raises:
        UserError: The network is of a kind that cannot be studied, or a `Classifier` already.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> resnet = fg.ResNet(fg.tiny().cnn, (3, 8, 8), 10)
        >>> network = fg.Classifier(resnet, fg.Domain((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        >>> fg.Site(network, "stage1.0.conv1", torch.rand(2, 3, 8, 8))
        Site('stage1.0.conv1' of ResNet, activation, 8x8x3x3)
    """

    def __init__(
        self, network: nn.Module, domain: Domain = Domain(), classes: Sequence[str] = ()
    ) -> None:
        super().__init__()
        unwrapped(network)  # refuses what is no network
        if classifier_in(network) is not None:
            raise UserError("The network is a Classifier already, and normalises pixels itself.")
        self.network, self.domain, self.classes = network, domain, tuple(classes)

    def forward(self, pixels: Tensor) -> Any:
        """What the network puts out for pixels.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10)
            >>> fg.Classifier(network, fg.Domain(0.5, 0.5))(torch.rand(2, 1, 8, 8)).shape
            torch.Size([2, 10])
        """
        return self.network(self.domain.to_network(pixels))

    def around(self, network: nn.Module) -> "Classifier":
        """Another network of the same domain and classes.

        Examples:
            >>> import filtergan as fg
            >>> network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10)
            >>> classifier = fg.Classifier(network, fg.Domain(0.5, 0.5))
            >>> classifier.around(fg.ResNet(fg.tiny().cnn, (1, 8, 8), 10)).domain
            Domain(mean=(0.5,), std=(0.5,))
        """
        return Classifier(network, self.domain, self.classes)

    def extra_repr(self) -> str:
        """What is printed beside the network.

        Examples:
            >>> import filtergan as fg
            >>> network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10)
            >>> fg.Classifier(network, fg.Domain(0.5, 0.5)).extra_repr()
            'domain=Domain(mean=(0.5,), std=(0.5,)), classes=()'
        """
        return f"domain={self.domain}, classes={self.classes}"


def classifier_in(network: Any) -> Classifier | None:
    """The `Classifier` that a network is, or that is wrapped in it."""
    if network is None or isinstance(network, Classifier):
        return network
    return classifier_in(_inner(network))


def unwrapped(network: Any) -> nn.Module:
    """The module itself, where it comes compiled, in a wrapper for several devices, or classifying.

    A compiled or distributed network computes what the module in it does; a `Classifier` computes
    what the module in it does with normalised images.

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
    if (inner := _inner(network)) is not None:
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


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Run the network in evaluation mode and without parameter gradients, then put all back."""
    training = [m for m in network.modules() if m.training]
    wanting = [p for p in network.parameters() if p.requires_grad]
    try:
        if training:
            network.eval()
        for p in wanting:
            p.requires_grad_(False)
        with uncompiled(network):
            yield
    finally:
        for m in training:
            m.training = True
        for p in wanting:
            p.requires_grad_(True)


def output_of(network: Callable[[Tensor], Any], images: Tensor) -> Any:
    """Run a network; of an object that holds logits among other things, take those."""
    output = network(images)
    return output if isinstance(output, Tensor) else getattr(output, "logits", output)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 over a network's weights and buffers (names, types, shapes, bytes) and its domain.

    It does not depend on the device, the layout in memory, or a wrapper that changes nothing.
    """
    digest, classifier = hashlib.sha256(), classifier_in(network)
    if classifier is not None and classifier.domain != Domain():
        digest.update(f"{classifier.domain}\n".encode())
    for name, value in sorted(unwrapped(network).state_dict().items()):
        if isinstance(value, Tensor):  # a module may add more of its own
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _inner(network: Any) -> nn.Module | None:
    """What a wrapper holds; None for what is none."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return network.module
    if isinstance(network, Classifier):
        return network.network
    if isinstance(network, nn.Module) and _is_compiled(network):
        return network._modules["_orig_mod"]
    return None


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


def centred(logits: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
    """Logits less their mean over classes, on which no label depends."""
    return logits - logits.mean(1, keepdim=True)


def require_logits(output: object) -> Tensor:
    """What a network puts out for images, if that is a logit for each of two classes or more.

    Raises:
        UserError: It is something else.
    """
    if isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1:
        return output
    given = list(output.shape[1:]) if isinstance(output, Tensor) else type(output).__name__
    raise UserError(
        f"The network puts out {given} for an image, not a logit for each of two classes or more, "
        "so there are no labels to be kept; give it a head of classes."
    )
