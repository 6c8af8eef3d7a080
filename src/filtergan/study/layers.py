"""The sites of a network, and an estimate of what a study of each would cost."""

import math
import re
from dataclasses import dataclass

import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor, nn

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.game.cost import Cost, Rate, calibrated, estimate
from filtergan.machine.wording import count_of
from filtergan.sites.convolution import Convolution, convolutions
from filtergan.sites.site import Site
from filtergan.sites.wrappers import unwrapped


@dataclass(frozen=True)
class Layer:
    """A convolution and a reading as a site.

    Attributes:
        name: Layer and reading; a depth is the module that it stands for, where it can be studied.
        kind: conv1d, conv2d or conv3d, and its groups.
        filters: Shape [o, i, *k].
        weights: Number of weights.
        response: Shape of one image's response; None where the site cannot be studied.
        straight: Whether what follows depends on the images through the response alone.
        refusal: Why it cannot be studied, in a phrase; None where it can.
        cost: Of its training.
        seconds: Of its training, estimated.
    """

    name: SiteName
    kind: str
    filters: tuple[int, ...]
    weights: int
    response: tuple[int, ...] | None = None
    straight: bool | None = None
    refusal: str | None = None
    cost: Cost | None = None
    seconds: float | None = None


def layers(
    network: nn.Module,
    example: Float[Tensor, "n ..."],
    config: StudyConfig,
    images: int | None = None,
) -> list[Layer]:
    """Every convolution of a network, in the order of its modules, at every reading of a config.

    Nothing is trained.

    Args:
        network: The network, trained or not.
        example: Two inputs of it or more, on its device.
        config: Where the response is read, and the game to be played.
        images: Number of training images; by default as many as fill the cache.

    Raises:
        UserError: The network is of a kind that has no convolutions to exchange.
    """
    rate = calibrated(config.gan, example.device)
    return [
        _layer(network, SiteName(layer, point), module, example, config, images, rate)
        for layer, module in unwrapped(network).named_modules()
        if isinstance(module, Convolution | nn.modules.conv._ConvTransposeNd)
        for point in config.response
    ]


def _layer(
    network: nn.Module,
    name: SiteName,
    module: nn.modules.conv._ConvNd,
    example: Tensor,
    config: StudyConfig,
    images: int | None,
    rate: Rate,
) -> Layer:
    shape = tuple(module.weight.shape)
    kind = ("transposed " if module.transposed else "") + f"conv{len(shape) - 2}d"
    if module.groups > 1:
        depthwise = module.groups == module.in_channels
        kind += " depthwise" if depthwise else f" in {module.groups} groups"
    plain = Layer(name, kind, shape, math.prod(shape))
    if name.layer not in convolutions(network):
        return _refused(plain, "a transposed convolution")
    try:
        site = Site(network, name.layer, example, name.point)
        with torch.no_grad():
            inputs = site.input(example)
            response = site.respond(inputs)
        cost = estimate(site, inputs, response, config.gan, images)
    except UserError as error:
        # The sentence's first part, without the layer's name.
        phrase = re.split(r"[;:]|, so ", str(error).removeprefix(f"Layer {name.layer!r}"))[0]
        return _refused(plain, phrase.strip(" ,."))
    return Layer(
        site.name,
        kind,
        shape,
        math.prod(shape),
        tuple(response.shape[1:]),
        site.straight,
        cost=cost,
        seconds=rate.seconds(cost, config.gan.steps),
    )


def _refused(layer: Layer, phrase: str) -> Layer:
    return Layer(layer.name, layer.kind, layer.filters, layer.weights, refusal=phrase)


def table(rows: list[Layer], config: StudyConfig) -> Table:
    """The rows as a table for the terminal."""
    steps = count_of(config.gan.steps, "step")
    found = Table(
        *("site", "kind", "filters", "weights", "response", "straight"),
        *("MiB", "time"),
        title="Sites",
        caption=f"MiB and time of {steps} of {config.gan.batch} are estimates.",
    )
    for row in rows:
        first = (row.name, row.kind, _size(row.filters), f"{row.weights:,}")
        if row.cost is None or row.response is None or row.seconds is None:
            found.add_row(*first, f"not studied: {row.refusal}")
            continue
        straight = "yes" if row.straight else "no"
        cost = (f"{row.cost.memory:,.0f}", _duration(row.seconds))
        found.add_row(*first, _size(row.response), straight, *cost)
    return found


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
