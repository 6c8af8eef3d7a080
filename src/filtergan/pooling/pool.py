"""Pooling over draws: the responses to several sets of filters as one layer of any network."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.machine.runtime import generator
from filtergan.pooling.draws import FreshDraws
from filtergan.sites.convolution import Geometry, convolve_each
from filtergan.sites.site import Site
from filtergan.sites.tracing import LAYOUTS, RELU, channels_first
from filtergan.sites.wrappers import output_of, untouched

Reduction = Literal["mean", "max", "attention"]


def pooled_response(
    site: Site, inputs: Float[Tensor, "n i *k"], filters: Float[Tensor, "k o j *d"]
) -> Float[Tensor, "n ..."]:
    """Eq. 9: the mean over K sets of filters of R(h, F_k), for cached site inputs."""
    total = site.respond(inputs, filters[0])
    for one in filters[1:]:
        total = total + site.respond(inputs, one)
    return total / len(filters)


class FilterPool2d(nn.Module):
    """Takes the place of a convolution, its normalisation and its activation function (eq. 9).

    It convolves with each of K sets of filters, all in one convolution, applies the rest of the
    site to each, and reduces over the sets. Averaging before a nonlinearity would be one
    convolution with the mean filters, so the activation is part of it. `FilterPool2d.into` drops
    it into a copy of a network. One class serves one, two and three dimensions.

    Reductions: "mean" (eq. 9); "max", of each number of the response; "attention", a mean whose
    weights are the softmax over the sets of a learned linear score of each response, averaged over
    positions. The score begins at zero, where this is the mean. It is learned also where all else
    is frozen.

    Args:
        filters: K sets, which stay fixed; or draws that are fresh in each step of training.
        bias: The convolution's.
        geometry: Its stride, padding, dilation, groups and padding mode.
        tail: Copies of the modules that follow it within the site; they keep its channels.
        reduction: Over the sets.
        freeze: Whether filters (or their generator), bias and tail stay as they are. If not, they
            are trained, but for the statistics of the tail's normalisation.

    Raises:
        UserError: There is no such reduction.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.train(site, site.input(images), fg.GanConfig(latent=3, steps=2))
        >>> pooled = fg.FilterPool2d.into(site, gan.draw(10))  # fixed
        >>> pooled(images).shape
        torch.Size([32, 10])
        >>> fresh = fg.FilterPool2d.into(site, gan, 10, antithetic=True, reduction="attention")
        >>> fresh.train()(images).shape
        torch.Size([32, 10])
    """

    filters: Tensor | FreshDraws
    bias: Tensor | None

    def __init__(
        self,
        filters: Float[Tensor, "k o i *d"] | FreshDraws,
        bias: Float[Tensor, " o"] | None,
        geometry: Geometry,
        tail: nn.Module,
        *,
        reduction: Reduction = "mean",
        freeze: bool = True,
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            known = ", ".join(get_args(Reduction))
            raise UserError(f"There is no reduction {reduction!r} over draws; use {known}.")
        self.geometry, self.tail, self.reduction = geometry, tail, reduction
        self._hold("filters", filters, freeze)
        self._hold("bias", bias, freeze)
        tail.requires_grad_(not freeze)
        if reduction == "attention":
            one = filters[0] if isinstance(filters, Tensor) else filters.generator.mean
            self.score = nn.Parameter(one.new_zeros(len(one)))
        self.train(self.training)

    def _hold(self, name: str, value: Tensor | nn.Module | None, freeze: bool) -> None:
        """Keep a part as a buffer, or as what is trained."""
        if isinstance(value, nn.Module):
            self.add_module(name, value.requires_grad_(not freeze))
            return
        value = None if value is None else value.detach().clone()
        if freeze or value is None:
            self.register_buffer(name, value)
        else:
            self.register_parameter(name, nn.Parameter(value))

    def extra_repr(self) -> str:
        """What is printed beside its parts.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> pooled = fg.FilterPool2d.into(gan.site, gan.draw(10), reduction="max")
            >>> pooled.network.conv2.extra_repr()
            'reduction=max'
        """
        return f"reduction={self.reduction}"

    def train(self, mode: bool = True) -> "FilterPool2d":
        """As any module's, but the site's normalisation stays as it was studied.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> pool = fg.FilterPool2d.into(gan.site, gan.draw(10)).network.conv2
            >>> pool.train().tail.training
            False
        """
        super().train(mode)
        self.tail.eval()
        return self

    def forward(self, input: Float[Tensor, "n c *d"]) -> Float[Tensor, "n o *e"]:
        """The pooled response; the name of its argument is the convolution's.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> pool = fg.FilterPool2d.into(gan.site, gan.draw(10)).network.conv2
            >>> pool(gan.site.input(torch.rand(2, 1, 8, 8))).shape
            torch.Size([2, 8, 8, 8])
        """
        filters = self.filters if isinstance(self.filters, Tensor) else self.filters()
        responses = self._ended(convolve_each(input, filters, self.bias, self.geometry))
        if self.reduction == "mean":
            return responses.mean(1)
        if self.reduction == "max":
            return responses.amax(1)
        weights = (responses.flatten(3).mean(3) @ self.score).softmax(1)
        return torch.einsum("nk,nk...->n...", weights, responses)

    def _ended(self, convolved: Float[Tensor, "n k o *e"]) -> Float[Tensor, "n k o *f"]:
        """What the rest of the site makes of each set's output."""
        if any(_of_the_batch(module) for module in self.tail.modules()):
            return torch.stack([self.tail(one) for one in convolved.unbind(1)], dim=1)
        return self.tail(convolved.flatten(0, 1)).unflatten(0, (-1, convolved.shape[1]))

    @staticmethod
    def into(
        site: Site,
        filters: Float[Tensor, "k o i *d"] | FilterGAN,
        draws: int | None = None,
        *,
        antithetic: bool = False,
        reduction: Reduction = "mean",
        freeze: bool = True,
    ) -> nn.Module:
        """A copy of the site's network in which its convolution pools over sets of filters.

        The site's normalisation, and an activation that is a module of its own, move into the
        pooling; a ReLU may stay where it is, since it leaves pooled ReLUs as they are. Of a site
        in a `Classifier`, which takes pixels, the copy comes in one too.

        Args:
            site: The site; its network stays as it is.
            filters: K sets, which stay fixed; or a generator, which draws fresh ones in each step
                of training. In evaluation mode these are always those of `gan.latents(draws)`.
            draws: How many a generator draws.
            antithetic: Whether it draws them in pairs, z and -z. Fixed pairs are
                `gan.draw(gan.latents(10, antithetic=True))`.
            reduction: Over the sets: "mean", "max" or "attention".
            freeze: Whether all but the score of the attention stays as it is. If not, the filters
                are trained, or a copy of the generator, with the site's bias and normalisation.

        Raises:
            UserError: The response is read behind the activation, or the site cannot be taken out
                because its normalisation or activation is no module used once; the filters do not
                fit the site; a generator is given without a number of draws, filters with one, or
                an odd number is to be in pairs; there is no such reduction.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> pooled = fg.FilterPool2d.into(gan.site, gan.draw(10))
            >>> pooled(torch.rand(2, 1, 8, 8)).shape
            torch.Size([2, 10])
        """
        if site.point not in ("conv", "activation"):
            raise UserError(
                f"Pooling takes the place of a site; the response point {site.point!r} lies "
                "beyond it. Use `activation` or `conv`."
            )
        if not site.straight:
            _require_whole(site, _pooled(site, site.filters[None], "mean", True))
        return _pooled(site, _drawn(site, filters, draws, antithetic), reduction, freeze)


def _pooled(
    site: Site, drawn: Tensor | FreshDraws, reduction: Reduction, freeze: bool
) -> nn.Module:
    """A copy of the site's network with a pooling in the place of its convolution."""
    network = copy.deepcopy(site.network)
    tail = _tail_out_of(network, site)
    pool = FilterPool2d(drawn, site.bias, site.geometry, tail, reduction=reduction, freeze=freeze)
    pool.to(site.filters.device).train(network.get_submodule(site.layer).training)
    _exchange(network, site.layer, pool)
    return network if site.classifier is None else site.classifier.around(network)


@torch.no_grad()
def _require_whole(site: Site, of_real: nn.Module) -> None:
    """Refuse a site around which the convolution acts: the pooling would hide its output there.

    Args:
        site: The site.
        of_real: Its network, pooled over the real filters alone, which changes nothing if all that
            the convolution does passes through the response.

    Raises:
        UserError: Something changes.
    """
    images = torch.rand(4, *site.image_shape, generator=generator(0, "pooled"))
    images = images.to(site.filters)
    with untouched(of_real):
        found, known = output_of(of_real, images), site.output(images)
    if not torch.allclose(found, known, rtol=1e-3, atol=1e-3 * float(known.abs().max())):
        raise UserError(
            f"{site.layer!r} cannot be pooled at {site.point!r}: what the convolution puts out "
            "also goes another way. Read the response at `conv`."
        )


def _of_the_batch(module: nn.Module) -> bool:
    """Whether a normalisation goes by the batch at hand even in evaluation mode."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None


def _drawn(
    site: Site, filters: Tensor | FilterGAN, draws: int | None, antithetic: bool
) -> Tensor | FreshDraws:
    """What a site's pooling draws from."""
    fixed = isinstance(filters, Tensor)
    found, wanted = filters.shape[1:] if fixed else filters.generator.shape, site.filters.shape
    if tuple(found) != tuple(wanted):
        raise UserError(
            f"Filters of {site.layer!r} are {list(wanted)} each; these are {list(found)}."
        )
    if fixed:
        if draws is not None or antithetic:
            raise UserError(
                "Filters that are given stay as they are, so neither their number nor pairs can be "
                "chosen here: choose them as in gan.draw(gan.latents(10, antithetic=True)), or "
                "hand over the generator."
            )
        return filters
    if draws is None or draws < 1:
        raise UserError("Say how many sets of filters the generator is to draw, as in draws=10.")
    latents = filters.latents(draws, antithetic=antithetic)
    return FreshDraws(filters.generator, latents, antithetic).to(site.filters)


def _tail_out_of(network: nn.Module, site: Site) -> nn.Sequential:
    """Take the site's normalisation and activation out of a copy of its network."""
    tail: list[nn.Module] = []
    taken: list[str] = []
    for operation in site.tail:
        if operation.func in RELU:
            tail.append(nn.ReLU())
        elif operation.func in LAYOUTS and _moves_only(operation.module, site):
            tail.append(_Apply(operation))  # it stays in the network, and does no harm there
        elif operation.module in taken:
            continue  # one module may do several operations
        elif operation.module is None:
            raise UserError(
                f"{site.layer!r} cannot be pooled: {operation.func.__name__} behind it is not "
                "a module of its own that is used once. Make it one, or read the response "
                "at `conv`."
            )
        else:
            taken.append(operation.module)
            tail.append(network.get_submodule(operation.module))
            _exchange(network, operation.module, nn.Identity())
    if site.order:
        tail.append(_Apply(partial(channels_first, order=site.order)))
    return nn.Sequential(*tail)


def _moves_only(module: str | None, site: Site) -> bool:
    """Whether all that a module does behind the site is to move dimensions; so is what has none."""
    if module is None:
        return True
    return all(operation.func in LAYOUTS for operation in site.tail if operation.module == module)


class _Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, tensor: Tensor) -> Tensor:
        return self.function(tensor)


def _exchange(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
