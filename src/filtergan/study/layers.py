"""The sites of a network, and an estimate of what a study of each would cost."""

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.config.fields import StudyConfig, joint_config
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.game.cost import Cost, Rate, calibrated, estimate
from filtergan.machine.sheets import Sheet
from filtergan.machine.wording import count_of
from filtergan.natural.joint_cost import joint_estimate
from filtergan.sites.convolution import Convolution, convolutions
from filtergan.sites.site import Site
from filtergan.sites.wrappers import unwrapped

SCHEMA = "filtergan-layers-1"


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
        cost: Of the paper's game.
        seconds: Of that game, estimated.
        joint_cost: Of the natural recipe's training; None where it cannot be.
        joint_seconds: Of that training and its null's, estimated.
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
    joint_cost: Cost | None = None
    joint_seconds: float | None = None


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
    joint = _joint(site, example, config, rate)
    return Layer(
        site.name,
        kind,
        shape,
        math.prod(shape),
        tuple(response.shape[1:]),
        site.straight,
        cost=cost,
        seconds=rate.seconds(cost, config.gan.steps),
        joint_cost=joint and joint[0],
        joint_seconds=joint and joint[1],
    )


def _joint(
    site: Site, example: Tensor, config: StudyConfig, rate: Rate
) -> tuple[Cost, float] | None:
    """What the natural recipe takes at a site, and its seconds; None: it is not for such images."""
    chosen, natural = joint_config(config.gan, config.natural), config.natural
    if example.ndim != 4:
        return None
    joint = joint_estimate(site, example, chosen)
    null = joint_estimate(site, example, chosen, fixed=True)
    seconds = rate.seconds(joint, natural.steps) + rate.seconds(null, natural.null_steps)
    return joint, seconds


def _refused(layer: Layer, phrase: str) -> Layer:
    return Layer(layer.name, layer.kind, layer.filters, layer.weights, refusal=phrase)


def sheet(rows: list[Layer], config: StudyConfig) -> Sheet:
    """The rows as a table for the terminal."""
    game, natural = count_of(config.gan.steps, "step"), config.natural
    lines = []
    for row in rows:
        first = [row.name, row.kind, _size(row.filters), f"{row.weights:,}"]
        if row.response is None:
            lines.append([*first, f"not studied: {row.refusal}", *[""] * 5])
            continue
        costs = [*_told(row.cost, row.seconds), *_told(row.joint_cost, row.joint_seconds)]
        lines.append([*first, _size(row.response), "yes" if row.straight else "no", *costs])
    return Sheet(
        "Sites",
        (
            *("site", "kind", "filters", "weights", "response", "straight"),
            *("MiB", "time", "natural MiB", "natural time"),
        ),
        lines,
        f"MiB and time of {game} of {config.gan.batch} are estimates; natural: of "
        f"{natural.steps:,} steps of {natural.batch}, and {natural.null_steps:,} of its null.",
        words=(1, 4),
    )


def document(rows: list[Layer], config: StudyConfig) -> dict[str, Any]:
    """The rows as plain values."""
    return {
        "schema": SCHEMA,
        "steps": config.gan.steps,
        "natural_steps": config.natural.steps,
        "natural_null_steps": config.natural.null_steps,
        "sites": [
            {
                "layer": row.name.layer,
                "reading": row.name.point,
                "kind": row.kind,
                "filters": row.filters,
                "weights": row.weights,
                "response": row.response,
                "straight": row.straight,
                "refusal": row.refusal,
                "memory_mib": row.cost and row.cost.memory,
                "seconds": row.seconds,
                "natural_memory_mib": row.joint_cost and row.joint_cost.memory,
                "natural_seconds": row.joint_seconds,
            }
            for row in rows
        ],
    }


def _told(cost: Cost | None, seconds: float | None) -> tuple[str, str]:
    if cost is None or seconds is None:
        return "-", "-"
    return f"{cost.memory:,.0f}", _roughly(seconds)


def _roughly(seconds: float) -> str:
    """Three digits at most: it is an estimate."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
