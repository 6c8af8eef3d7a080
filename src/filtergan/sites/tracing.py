"""Following a tensor through a network: what happens to it next, and what depends on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

NORMALISATIONS = {F.batch_norm, F.instance_norm, F.group_norm, F.layer_norm}
ACTIVATIONS = {
    getattr(owner, name)
    for owner in (F, torch, Tensor)
    for name in (
        *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *("sigmoid", "tanh", "softplus", "hardswish", "hardsigmoid", "hardtanh", "prelu"),
    )
    if hasattr(owner, name)
}

RELU = {F.relu, torch.relu, Tensor.relu}
# By those that work in place; others have an argument for it.
OUT_OF_PLACE = {torch.relu_: torch.relu, Tensor.relu_: torch.relu}

Shape = tuple[int, ...]

# They move dimensions and change no value; around a normalisation of channels that come last.
LAYOUTS = {
    *(Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, Tensor.contiguous),
    *(Tensor.movedim, torch.movedim, Tensor.moveaxis, torch.moveaxis),
}


@dataclass(frozen=True)
class Operation:
    """One operation between a convolution's output and the response, replayable.

    Attributes:
        func: The torch function.
        args: Its arguments after the first, parameters detached but not copied.
        kwargs: Its named arguments.
        module: Dotted name of the module that called it, where that is used once.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: str | None

    def __call__(self, tensor: Tensor) -> Tensor:
        """Apply it, never in place."""
        return self.func(tensor, *self.args, **self.kwargs)


class Follower(TorchFunctionMode):
    """Follows the convolution's output through its normalisation and activation function.

    It sees calls of torch functions, so modules and functional code look alike. `length` limits
    how many operations are followed (None: as many as there are); `replacement` takes the place
    of the last one's result.
    """

    def __init__(self, length: int | None, replacement: Tensor | None = None) -> None:
        super().__init__()
        self.length, self.replacement = length, replacement
        self.current: Tensor | None = None
        self.operations: list[Operation] = []
        self.open = False  # whether the next use of `current` may still belong to the site
        self.caller: Callable[[], str | None] = lambda: None

    def start(self, output: Tensor) -> Tensor:
        """Begin with the convolution's output; returns what is to go on in its place."""
        self.current, self.open = output, True
        return self._arrive()

    def _arrive(self) -> Tensor:
        assert self.current is not None
        if self.length is not None and len(self.operations) == self.length:
            self.open = False
            if self.replacement is not None:
                self.current = self.replacement
        return self.current

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Perform one call of a torch function, and see whether it continues the site."""
        kwargs = kwargs or {}
        uses = self.open and any(a is self.current for a in (*args, *kwargs.values()))
        if not uses or func.__name__ in ("__get__", "size", "dim"):
            return func(*args, **kwargs)
        first = all(operation.func in LAYOUTS for operation in self.operations)
        fits = func in LAYOUTS or func in ACTIVATIONS or (func in NORMALISATIONS and first)
        if not fits or not args or args[0] is not self.current:
            self.open = False
            return func(*args, **kwargs)
        self.operations.append(_record(func, args, kwargs, self.caller()))
        self.current = func(*args, **kwargs)
        result = self._arrive()
        self.open = self.open and func not in ACTIVATIONS
        return result


def _record(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], module: str | None
) -> Operation:
    def fixed(value: Any) -> Any:
        return value.detach() if isinstance(value, Tensor) else value

    named = {k: False if k == "inplace" else fixed(v) for k, v in kwargs.items()}
    func = OUT_OF_PLACE.get(func, func)
    return Operation(func, tuple(fixed(a) for a in args[1:]), named, module)


def settled(operations: list[Operation], dims: int) -> tuple[list[Operation], tuple[int, ...]]:
    """End a site's operations where they changed values last, or have channels first again.

    Args:
        operations: As they were followed; some only move dimensions.
        dims: Number of dimensions of the convolution's output.

    Returns:
        The operations, and the order (as for `permute`) in which they leave the dimensions; empty
        where they leave them as they were.
    """
    kept, same = list(operations), tuple(range(dims))
    while (order := _order(kept, dims)) != same and kept[-1].func in LAYOUTS:
        kept.pop()
    return kept, () if order == same else order


def _order(operations: list[Operation], dims: int) -> tuple[int, ...]:
    tensor = torch.empty(tuple(range(dims)), device="meta")  # its shape numbers its dimensions
    for operation in operations:
        if operation.func in LAYOUTS:
            tensor = operation(tensor)
    return tuple(tensor.shape)


def channels_first(response: Tensor, order: tuple[int, ...]) -> Tensor:
    """Undo the order that `settled` gives."""
    return response.permute([order.index(dim) for dim in range(len(order))]) if order else response


def cut(
    network: nn.Module,
    image: Shape,
    start: str,
    steps: int,
    target: str | None,
    whole: tuple[str, ...],
    order: tuple[int, ...] = (),
) -> fx.GraphModule | None:
    """The part of a network behind a module, as a module that shares the network's layers.

    Args:
        network: The network; it is traced symbolically.
        image: Shape of one input of it.
        start: Dotted name of the module.
        steps: So many operations behind its output the part begins.
        target: Dotted name of the module whose output ends the part; None: the network's output.
        whole: Modules not to be looked into.
        order: The part's input is permuted so, before all else.

    Returns:
        None where the network cannot be traced, or where that part needs other inputs as well.
    """
    traced = _traced(network, image, start, whole)
    if traced is None:
        return None
    root, graph, node = traced
    for _ in range(steps):
        if len(node.users) != 1:
            return None
        node = next(iter(node.users))
    return _subgraph(root, graph, node, None if target is None else _inside(target), order)


def behind(network: nn.Module, image: Shape, layer: str) -> list[tuple[str, int]]:
    """Modules whose output depends on the network's input through a convolution alone.

    Args:
        network: The network; it is traced symbolically.
        image: Shape of one input of it.
        layer: Dotted name of the convolution.

    Returns:
        Dotted names in the order in which they run, each with the largest number of convolutions
        on a way to it from the layer's output; none where the network cannot be traced.
    """
    traced = _traced(network, image, layer, (layer,))
    if traced is None:
        return []
    root, graph, start = traced
    depths, constant, found = {start: 0}, set[fx.Node](), list[tuple[str, int]]()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "get_attr" or (inputs and constant.issuperset(inputs)):
            constant.add(node)
        ways = [depths[n] for n in inputs if n in depths]
        if not ways or any(n not in depths and n not in constant for n in inputs):
            continue
        depths[node] = max(ways)
        if node.op == "call_module":
            module = root.get_submodule(str(node.target))
            depths[node] += isinstance(module, nn.modules.conv._ConvNd)
            found.append((str(node.target), depths[node]))
    runs = [node.target for node in graph.nodes if node.op == "call_module"]
    return [(name[len(_inside("")) :], depth) for name, depth in found if runs.count(name) == 1]


def _traced(
    network: nn.Module, image: Shape, start: str, whole: tuple[str, ...]
) -> tuple[nn.Module, fx.Graph, fx.Node] | None:
    """The graph of a network in `_Whole`, and the one call of a module; None: there is none."""
    root, own = _Whole(network), [own for m in network.modules() for own in _owned(m)]
    before = list(map(dict, own))
    try:
        graph = _Tracer(image, *map(_inside, whole)).trace(root)
    except Exception:  # any network may refuse to be traced, in its own way
        return None
    finally:  # what a forward has kept in its module are stand-ins
        for things, kept in zip(own, before, strict=True):
            things.clear()
            things.update(kept)
    nodes = [node for node in graph.nodes if node.target == _inside(start)]
    return (root, graph, nodes[0]) if len(nodes) == 1 else None


def _owned(module: nn.Module) -> tuple[Any, ...]:
    """The dictionaries of all that a module has of its own."""
    return vars(module), module._buffers, module._modules, module._parameters


class _Whole(nn.Module):
    """A network as a function of images alone, whatever else it may be given, to logits alone.

    The network has a name in it, since `code`, for one, is fx's own.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @no_type_check  # torch.fx traces it with a stand-in that is no Tensor
    def forward(self, images: Tensor) -> Any:
        output = self.network(images)
        return output if isinstance(output, fx.Proxy) else getattr(output, "logits", output)


def _inside(name: str) -> str:
    """What `_Whole` calls a module of its network."""
    return f"network.{name}"


class _Tracer(fx.Tracer):
    """Knows the shape of images, and does not look into the named modules, of whatever kind."""

    def __init__(self, image: Shape, *whole: str) -> None:
        super().__init__()
        self.image, self.whole = image, whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        name = module_qualified_name
        return name in self.whole or (name != "network" and super().is_leaf_module(m, name))

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Images(node, self) if node.op == "placeholder" else super().proxy(node)


class _Images(fx.Proxy):
    """Images whose number is open and whose shape is known: networks of others check that."""

    @property
    def shape(self) -> tuple[Any, ...]:
        assert isinstance(self.tracer, _Tracer)
        return (self.size(0), *self.tracer.image)


def _subgraph(
    root: nn.Module,
    graph: fx.Graph,
    start: fx.Node,
    target: str | None,
    order: tuple[int, ...],
) -> fx.GraphModule | None:
    """Copy what depends on `start`, up to the module `target`; None where it needs other inputs."""
    new = fx.Graph()
    begin = new.placeholder("response")
    if order:
        begin = new.call_method("permute", (begin, order))
    copies: dict[fx.Node, fx.Node] = {start: begin}
    for node in graph.nodes:
        if node in copies or not any(n in copies for n in node.all_input_nodes):
            continue
        for needed in node.all_input_nodes:
            if needed in copies:
                continue
            if needed.op != "get_attr":
                return None
            copies[needed] = new.node_copy(needed)
        if node.op == "output":
            new.output(copies[node.args[0]] if isinstance(node.args[0], fx.Node) else None)
            return fx.GraphModule(root, new) if target is None else None
        copies[node] = new.node_copy(node, lambda n: copies[n])
        if target is not None and node.op == "call_module" and node.target == target:
            new.output(copies[node])
            return fx.GraphModule(root, new)
    return None
