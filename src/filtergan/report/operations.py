"""A network as the list of operations that a page can run: few kinds, for one image.

One image goes through the network, and every call of a torch function that it takes part in is one
operation, in the network's modules and outside of them alike. What has nothing to do with the image
(weights that are computed, say) is a constant.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filtergan.report.calls import READINGS, Other
from filtergan.report.packing import packed
from filtergan.sites.site import Site
from filtergan.sites.wrappers import output_of, untouched


class Unknown(Exception):
    """A network that the page cannot run; its text says why, as a clause."""


@dataclass(frozen=True)
class Operation:
    """One step.

    Attributes:
        kind: Which; None: one that the page does not know.
        name: Of the torch function.
        inputs: Numbers of the steps whose values it takes.
        value: What came out for the image that was shown, [1, ...].
        weights: Constants that it takes.
        how: All else that it needs, as JSON has it.
    """

    kind: str | None
    name: str
    inputs: tuple[int, ...]
    value: Tensor
    weights: tuple[Tensor | None, ...] = ()
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> int:
        """Multiplications, of those kinds that have many."""
        if self.kind not in ("convolution", "linear") or self.weights[0] is None:
            return 0
        return self.value.numel() * self.weights[0][0].numel()


def operations_of(network: nn.Module, image: Float[Tensor, "1 c h w"]) -> list[Operation]:
    """The steps from an image to the logits, in order; the first is the image, the last the logits.

    They are listed for another image as well: what hangs on the image in a way that was not
    followed, as a number that was read from it, is another there.

    Args:
        network: In evaluation mode, as it takes images itself, without a domain around it.
        image: As the network takes it.

    Raises:
        Unknown: An operation is of another kind, or the network works in place on part of what
            another operation needs.
    """
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    listed, other = (_listed(network, one) for one in (image.clone(), 0.7 * image + 0.3 * noise))
    if len(listed) != len(other) or not all(map(_same, listed, other)):
        raise Unknown("what the network does hangs on the image in a way that cannot be followed")
    return listed


def _listed(network: nn.Module, image: Tensor) -> list[Operation]:
    with untouched(network), torch.no_grad(), _Recorder(image) as recorder:
        logits = output_of(network, recorder.image)
    last = recorder.step(logits)
    needed, found = {last}, recorder.operations
    for step in range(last, -1, -1):
        if step in needed:
            needed |= set(found[step].inputs)
    for step in sorted(needed):
        if found[step].kind is None:
            what = "the network has an operation that the page does not know"
            raise Unknown(f"{what}, {found[step].name}")
    place = {step: i for i, step in enumerate(sorted(needed))}
    return [
        Operation(
            op.kind, op.name, tuple(place[i] for i in op.inputs), op.value, op.weights, op.how
        )
        for op in (found[step] for step in sorted(needed))
    ]


def steps_of(site: Site, operations: list[Operation], image: Tensor) -> tuple[int, int]:
    """The steps of a site: its convolution, and its response.

    Args:
        site: The site.
        operations: Of its network, as found with the image.
        image: Pixels.

    Raises:
        Unknown: One of them is not among the operations.
    """
    with torch.no_grad():
        inputs = site.input(image)
        response = site.respond(inputs)
    matching = (
        step
        for step, op in enumerate(operations)
        if op.kind == "convolution"
        and _alike(op.weights[0], site.filters)
        and _alike(operations[op.inputs[0]].value, inputs)
    )
    convolution = next(matching, None)
    if convolution is None:
        raise Unknown("the convolution was not found among the operations of the network")
    for step, op in enumerate(operations[convolution:], convolution):
        if _alike(op.value, response):
            return convolution, step
    raise Unknown("its response was not found among the operations of the network")


def program(operations: list[Operation], bits: int) -> dict[str, Any]:
    """Operations and weights as JSON has them; each array of weights stands there once."""
    weights: list[Tensor] = []
    listed = []
    for op in operations:
        places = []
        for tensor in op.weights:
            if tensor is None:
                places.append(None)
            else:
                places.append(len(weights))
                weights.append(tensor)
        listed.append({"kind": op.kind, "inputs": op.inputs, "weights": places, "how": op.how})
    return {"operations": listed, "weights": [packed(w, bits) for w in weights]}


def _same(one: Operation, other: Operation) -> bool:
    """Whether two steps do the same, each to its own image."""
    does = [(op.kind, op.inputs, op.how, len(op.weights)) for op in (one, other)]
    return does[0] == does[1] and all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one.weights, other.weights, strict=True)
    )


def _alike(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and one.shape == other.shape and torch.allclose(one, other, 1e-4, 1e-5)


class _Recorder(TorchFunctionMode):
    """Lists what happens to an image and to what is made of it."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = image
        self.operations: list[Operation] = []
        self._steps: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._held: list[Tensor] = []  # as long as it is, no other has its id
        self._add(image, Operation("input", "input", (), image))

    def step(self, tensor: Any) -> int:
        """The step that a tensor came out of.

        Raises:
            Unknown: None did, or it was changed since.
        """
        if id(tensor) not in self._steps:
            raise Unknown("its logits are made in a way that cannot be followed")
        if tensor._version != self._versions[id(tensor)]:
            raise Unknown("the network works in place on what it needs elsewhere")
        return self._steps[id(tensor)]

    def _add(self, tensor: Tensor, operation: Operation) -> None:
        self._held.append(tensor)
        self._steps[id(tensor)] = len(self.operations)
        self._versions[id(tensor)] = tensor._version
        self.operations.append(operation)

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Perform one call, and note it where the image has to do with it."""
        kwargs = kwargs or {}
        tracked = [a for a in _flat((*args, *kwargs.values())) if id(a) in self._steps]
        steps = tuple(self.step(a) for a in tracked)  # before it may work in place
        result = func(*args, **kwargs)
        made = [r for r in _flat((result,)) if isinstance(r, Tensor)]
        if not tracked or func.__name__ in SILENT:
            return result
        for tensor in made:
            name = func.__name__.strip("_")  # relu_ and __add__ alike
            value = tensor.clone()  # a later operation may work in place
            kind, weights, how = None, (), {}
            try:
                reading = READINGS[name](tensor, tracked, *args, **kwargs)
            except (KeyError, TypeError, Other):
                pass
            else:
                kind, weights, how = reading
            self._add(tensor, Operation(kind, name, steps, value, weights, how))
        return result


SILENT = {"size", "dim", "numel", "stride", "is_contiguous"}


def _flat(values: Any) -> list[Any]:
    return [
        inner
        for value in values
        for inner in (_flat(value) if isinstance(value, tuple | list) else [value])
    ]
