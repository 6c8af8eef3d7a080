"""A site: one convolution inside any network, and the point where its response is read.

Every pass leaves the network as it was found: weights, buffers, hooks, training flags, gradients.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from filtergan.config.site_names import SiteName, is_depth
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.machine.storage import RowsLike, rows_of
from filtergan.sites.convolution import Backend, Geometry, convolutions, convolve
from filtergan.sites.first_pass import convolution_of, first_pass
from filtergan.sites.tracing import Follower, Operation, behind, channels_first, cut, settled
from filtergan.sites.wrappers import classifier_in, output_of, untouched, unwrapped

Part = Callable[[Tensor], Tensor]
SHOWN = 12  # readings that an error names


class _Stop(Exception):
    """Ends a forward pass as soon as what was wanted has been seen."""


class Site:
    """One convolution of a network and its response point.

    The network may take any batch: images [n, c, h, w], or signals [n, c, l], volumes
    [n, c, d, h, w], tokens; the convolution may have one, two or three dimensions. A compiled
    network, or one wrapped for several devices, is unwrapped first; of a `Classifier`, which takes
    pixels, the site takes pixels too.

    Args:
        images: As `rows_of` makes rows; the first two are run through the network once.

    Attributes:
        network: The network, unwrapped.
        classifier: The `Classifier` that it came in; None: it came without.
        layer: Dotted name of the convolution.
        point: `conv`, `activation`, or the dotted name of a later module; a depth (`+1`, `+2`, ...)
            that was given has become the module where that many convolutions more have run.
        image_shape: Shape of one input of the network.
        filters: The real filters W [o, i, *k], shared with the network, without gradient.
        tail: The site's normalisation and activation function, where the response is read behind
            them, and what moves channels to the end for these.
        order: How a response is permuted to the layout that the network has there; empty where it
            has channels first itself. A response at `conv` or `activation` is always
            [n, channels, ...].
        backend: How filters of its own for every sample are applied.
        straight: Whether everything after the response depends on the input only through it
            (verified on the example), so that `output` needs no images.

    Raises:
        UserError: The layer is none of the network's convolutions, does not run exactly once, once
            for each image, with its weights as they are; the response point cannot be reached from
            it alone; or the network is of a kind that has no convolutions to exchange.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> network = fg.ResNet(fg.tiny().cnn, (3, 8, 8), 10)
        >>> fg.Site(network, "stage1.0.conv1", torch.rand(2, 3, 8, 8))
        Site('stage1.0.conv1' of ResNet, activation, 8x8x3x3)
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        images: RowsLike,
        point: str = "activation",
    ) -> None:
        self.network, self.classifier = unwrapped(network), classifier_in(network)
        self.layer, self.point = layer, point
        self.conv = convolution_of(self.network, layer)
        example = rows_of(images)[:2].to(next(self.network.parameters()).device)
        self.image_shape = tuple(example.shape[1:])
        self.bias = None if self.conv.bias is None else self.conv.bias.detach()
        self.geometry = Geometry.of(self.conv)
        most = None if point == "activation" else 0
        operations, backend = first_pass(self.network, layer, example, self._passed, most)
        self.backend: Backend = backend
        # Weights that are computed are up to date after a pass; in training mode, reading them may
        # change them.
        with untouched(self.network):
            self.filters = self.conv.weight.detach()
        self.tail, self.order = settled(operations, self.filters.ndim)
        self._between: Part | None = None
        if point not in ("conv", "activation"):
            self._between = self._later(example)
        self._suffix = self._cut(example, source="response", target=None)
        self.straight = self._suffix is not None

    @property
    def name(self) -> SiteName:
        """Layer and response point, as records have them.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> print(site.name)
            conv2@activation
        """
        return SiteName(self.layer, self.point)

    def __repr__(self) -> str:
        """Layer, network, response point and shape of the filters."""
        shape = "x".join(map(str, self.filters.shape))
        return f"Site({self.layer!r} of {type(self.network).__name__}, {self.point}, {shape})"

    @classmethod
    def of_shape(
        cls, network: nn.Module, layer: str, image: tuple[int, ...], point: str = "activation"
    ) -> "Site":
        """A site where no images are at hand: the example is noise.

        Args:
            network: The network.
            layer: Dotted name of the convolution.
            image: Shape of one input of the network.
            point: Where the response is read.

        Raises:
            UserError: As for any site.

        Examples:
            >>> import filtergan as fg
            >>> network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10)
            >>> fg.Site.of_shape(network, "conv2", (1, 8, 8))
            Site('conv2' of PaperCNN, activation, 8x8x3x3)
        """
        rng = torch.Generator().manual_seed(0)
        weight = next(network.parameters())
        return cls(network, layer, torch.rand(2, *image, generator=rng).to(weight), point)

    def input(self, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n i *k"]:
        """h(I): what the convolution receives for these images (eq. 2).

        Raises:
            UserError: The network fails on inputs of this shape.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.input(images).shape
            torch.Size([2, 8, 8, 8])
        """
        seen: list[Tensor] = []

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(args[0] if args else kwargs["input"])
            raise _Stop

        with untouched(self.network), ExitStack() as stack:
            handle = self.conv.register_forward_pre_hook(before, with_kwargs=True)
            stack.callback(handle.remove)
            with suppress(_Stop):
                self._passed(images)
        return seen[0]

    def respond(
        self,
        inputs: Float[Tensor, "n i *k"],
        filters: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """R(h, F) of eq. 2: the response to site inputs under given filters.

        Args:
            inputs: h, as `input` gives it.
            filters: One set [o, j, *k], a set per sample [n, o, j, *k], or None for W.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.respond(site.input(images), 0.9 * site.filters).shape
            torch.Size([2, 8, 8, 8])
        """
        filters = self.filters if filters is None else filters
        return self.answer(convolve(inputs, filters, self.bias, self.geometry, self.backend))

    def answer(self, convolved: Float[Tensor, "n o *l"]) -> Float[Tensor, "n ..."]:
        """The response that an output of the convolution leads to, which itself stays as it is.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.answer(torch.randn(2, 8, 8, 8)).min() >= 0  # behind a ReLU
            tensor(True)
        """
        response = self._ended(convolved)
        return response if self._between is None else self._run(self._between, response.clone())

    def output(
        self,
        images: Shaped[Tensor, "n ..."] | None = None,
        *,
        filters: Float[Tensor, "..."] | None = None,
        response: Float[Tensor, "n ..."] | None = None,
    ) -> Tensor:
        """The network's output with other filters at the site, or with a given response there.

        Args:
            images: The network's input; may be left out where `straight` and a response is given.
            filters: One set or one per sample; None for W.
            response: Takes the place of the response; beside filters, what these lead to.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.output(images, filters=0.9 * site.filters).shape
            torch.Size([2, 10])
        """
        if response is not None:
            response = response.clone()  # what follows may work in place
        if response is not None and self._suffix is not None:
            return self._run(self._suffix, response)
        assert images is not None, "this site is not straight: its output needs the images"
        return self._hooked(images, filters, response if filters is None else None)

    def restored(self, response: Tensor) -> Tensor:
        """A response in the network's own layout, permuted to channels first.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.restored(torch.rand(2, 8, 8, 8)).shape  # channels are first already
            torch.Size([2, 8, 8, 8])
        """
        return channels_first(response, self.order)

    @property
    def suffix(self) -> nn.Module | None:
        """Maps response to output, a module that shares the network's layers, where `straight`.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(2, 1, 8, 8)
            >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
            >>> site.suffix(site.respond(site.input(images))).shape
            torch.Size([2, 10])
        """
        return self._suffix

    def _hooked(self, images: Tensor, filters: Tensor | None, response: Tensor | None) -> Tensor:
        """A whole forward pass in which the filters or the response are exchanged."""
        later = self._between is not None
        if response is not None and self.order and not later:
            response = response.permute(self.order)
        follower = Follower(len(self.tail), None if later else response)

        def after(
            _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
        ) -> Tensor:
            if filters is not None:
                inputs = args[0] if args else kwargs["input"]
                output = convolve(inputs, filters, self.bias, self.geometry, self.backend)
            return follower.start(output)

        with untouched(self.network), ExitStack() as stack:
            handle = self.conv.register_forward_hook(after, with_kwargs=True)
            stack.callback(handle.remove)
            if later and response is not None:
                module = self.network.get_submodule(self.point)
                hook = module.register_forward_hook(lambda *_: response)
                stack.callback(hook.remove)
            stack.enter_context(follower)
            return output_of(self._passed, images)

    def _passed(self, images: Tensor) -> Any:
        """An ordinary pass; bytes stand for pixels."""
        if images.dtype == torch.uint8:
            images = to_float(images)
        if self.classifier is not None:
            images = self.classifier.domain.to_network(images)
        try:
            return self.network(images)
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or images.shape[1:] == self.image_shape:
                raise
            given, known = ("x".join(map(str, s)) for s in (images.shape[1:], self.image_shape))
            told = f"The network fails on inputs of {given}; the site was made with some of {known}"
            raise UserError(f"{told}: {str(error).partition(chr(10))[0]}") from error

    def _run(self, part: Part, tensor: Tensor) -> Tensor:
        with untouched(self.network):
            return output_of(part, tensor)

    def _later(self, example: Tensor) -> Part:
        """What leads to the later module at which the response is read; a depth becomes that."""
        given, there = self.point, behind(self.network, self.image_shape, self.layer)
        for point in self._at_depth(example, there) if is_depth(given) else (given,):
            self.point = point
            part = self._cut(example, source="tail", target=self.point)
            if part is not None:
                return part
        known = ("conv", "activation", *(name for name, _ in there))
        if len(known) > SHOWN:
            known = (*known[:SHOWN], "...")
        what = (
            f"The response point {given} is none, since no module at this depth depends"
            if is_depth(given)
            else f"The response point {given!r} is not a module that depends"
        )
        raise UserError(
            f"{what} on the images through {self.layer!r} alone; read it at {', '.join(known)}."
        )

    def _at_depth(self, example: Tensor, there: list[tuple[str, int]]) -> list[str]:
        """Modules so many convolutions behind the site, the end of such a convolution first."""
        found = [name for name, depth in there if f"+{depth}" == self.point]
        convolution = next((name for name in found if name in convolutions(self.network)), None)
        if convolution is None:
            return []
        tail: list[Operation] = []
        with suppress(UserError):  # it may be read all the same
            tail = Site(self.classifier or self.network, convolution, example).tail
        end = [op.module for op in reversed(tail) if op.module in found]
        return list(dict.fromkeys([*filter(None, end[:1]), convolution, *found]))

    def _cut(self, example: Tensor, *, source: str, target: str | None) -> nn.Module | None:
        """The part of the network from `source` to module `target` (None: its output).

        Returns None where there is no such part, or where it does not reproduce the hooked pass on
        the example.
        """
        at_later = source == "response" and self._between is not None
        with untouched(self.network), torch.no_grad():
            start, steps, order = self.layer, len(self.tail), self.order
            if at_later:
                start, steps, order = self.point, 0, ()
            whole = (self.layer, self.point)
            part = cut(self.network, self.image_shape, start, steps, target, whole, order)
            if part is None:
                return None
            inputs = self.input(example)
            value = self._plain(inputs, self.filters)
            if at_later:
                value = self.respond(inputs)
            try:
                got = output_of(part, value)
            except Exception:  # cut at a place that the trace does not describe
                return None
            want = self._seen(example, target)
        same = isinstance(want, Tensor) and got.shape == want.shape
        return part if same and torch.allclose(got, want, rtol=1e-4, atol=1e-5) else None

    def _plain(self, inputs: Tensor, filters: Tensor) -> Tensor:
        """The response at the end of the site's own operations, before any later module."""
        return self._ended(convolve(inputs, filters, self.bias, self.geometry, self.backend))

    def _ended(self, value: Tensor) -> Tensor:
        """What the site's own operations make of an output of the convolution."""
        for operation in self.tail:
            value = operation(value)
        return self.restored(value)

    def _seen(self, images: Tensor, module: str | None) -> Any:
        """What a module (None: the network) puts out in an ordinary pass."""
        if module is None:
            return output_of(self._passed, images)
        seen: list[Any] = []
        with ExitStack() as stack:
            hook = self.network.get_submodule(module).register_forward_hook(
                lambda _m, _a, out: seen.append(out.clone())  # a later layer may work in place
            )
            stack.callback(hook.remove)
            self._passed(images)
        return seen[0] if len(seen) == 1 else None


def require_images(site: Site) -> None:
    """Refuse convolutions of signals and volumes.

    Raises:
        UserError: It is one.
    """
    if site.filters.ndim != 4:
        raise UserError(
            f"{site.layer!r} is a convolution of {site.filters.ndim - 2} dimensions; what filters "
            "can undo is asked of networks of images, whose convolutions have two."
        )
