"""The sites of a network, and an estimate of what a study of each would cost."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from filtergan.config.fields import GanConfig, StudyConfig
from filtergan.errors import UserError
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.game.training import Game
from filtergan.machine.wording import count_of
from filtergan.sites.convolution import Convolution, convolutions
from filtergan.sites.site import Site
from filtergan.sites.wrappers import unwrapped

MIB = 2**20
# How often a step passes a minibatch forward, or at the same cost back, through convolution,
# generator, and discriminator; and how often it need not pass back through the discriminator's
# first layer. Site inputs need no gradient; where the generator moves alone, nor do other weights.
PASSES = {"summed": (3, 3, 10, -3), "algorithm1": (5, 6, 11, -2)}
TOUCHES = 10  # reads and writes of a weight by gradient, RMSProp and moving average
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Cost:
    """What one site's training takes.

    Attributes:
        flop: Of one step.
        bytes: Read and written in one step beside the arithmetic: weights and draws.
        memory: Peak in MiB, beyond the network and the images: cached site inputs, weights with
            their states, and what a step keeps.
    """

    flop: int
    bytes: int
    memory: float


@dataclass(frozen=True)
class Rate:
    """What a machine does: seconds of an empty step; in a second, operations and bytes moved."""

    step: float
    flop: float
    bytes: float

    def seconds(self, cost: Cost, steps: int) -> float:
        """Time of so many steps."""
        return steps * (self.step + cost.flop / self.flop + cost.bytes / self.bytes)


@dataclass(frozen=True)
class Layer:
    """A convolution as a site.

    Attributes:
        name: Dotted name.
        kind: conv1d, conv2d or conv3d, and its groups.
        filters: Shape [o, i, *k].
        weights: Number of weights.
        response: Shape of one image's response; None where the layer cannot be studied.
        straight: Whether what follows depends on the images through the response alone.
        refusal: Why it cannot be studied, in a phrase; None where it can.
        cost: Of its training.
        seconds: Of its training, estimated.
    """

    name: str
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
    """Every convolution of a network, in the order of its modules; nothing is trained.

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
        _layer(network, name, module, example, config, images, rate)
        for name, module in unwrapped(network).named_modules()
        if isinstance(module, Convolution | nn.modules.conv._ConvTransposeNd)
    ]


def _layer(
    network: nn.Module,
    name: str,
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
    if name not in convolutions(network):
        return _refused(plain, "a transposed convolution")
    try:
        site = Site(network, name, example, config.response)
        with torch.no_grad():
            inputs = site.input(example)
            response = site.respond(inputs)
        cost = estimate(site, inputs, response, config.gan, images)
    except UserError as error:
        # The sentence's first part, without the layer's name.
        phrase = re.split(r"[;:]|, so ", str(error).removeprefix(f"Layer {name!r}"))[0]
        return _refused(plain, phrase.strip(" ,."))
    return Layer(
        name,
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
        *("layer", "kind", "filters", "weights", f"response ({config.response})", "straight"),
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


def estimate(
    site: Site,
    inputs: Float[Tensor, "n i *k"],
    response: Float[Tensor, "n ..."],
    config: GanConfig,
    images: int | None = None,
) -> Cost:
    """What a step at a site takes, by arithmetic; no step is made.

    Args:
        site: The site.
        inputs: Some of its inputs.
        response: The responses to them.
        config: The game.
        images: Number of training images; by default as many as fill the cache.
    """
    n, shape = config.batch, tuple(site.filters.shape)
    with torch.device("meta"):  # neither memory nor time
        generator = Generator(shape, config.latent, config.hidden, config.head)
        discriminator = Discriminator(
            tuple(response.shape[1:]),
            config.latent,
            config.discriminator_channels,
            config.spectral_norm,
        )
    z = torch.empty(n, config.latent, device="meta")
    responses = torch.empty(n, *response.shape[1:], device="meta")
    generating, telling = flop(lambda: generator(z)), flop(lambda: discriminator(responses))
    convolving = n * convolution_flop(shape, _places(site, inputs))
    first = flop(lambda: discriminator.trunk[0](responses))
    parts = (convolving, generating, telling, first)
    total = sum(k * f for k, f in zip(PASSES[config.updates], parts, strict=True))

    mine = sum(p.numel() for p in generator.parameters())
    others = sum(p.numel() for p in discriminator.parameters())
    draws, seen = n * math.prod(shape), responses.numel()
    one = inputs[0].numel() * FLOAT
    cached = max(config.cache_mib * MIB // one, n)
    cached = min(cached, images) if images is not None else cached
    kept = saved(generator, z) + 3 * saved(discriminator, responses)
    weights = FLOAT * ((5 if config.updates == "algorithm1" else 4) * mine + 3 * others)
    memory = cached * one + weights + kept + FLOAT * (3 * draws + 4 * seen)
    moved = FLOAT * (TOUCHES * (mine + others) + 6 * draws)
    return Cost(total, moved, memory / MIB)


def convolution_flop(filters: tuple[int, ...], places: int) -> int:
    """Operations of one set of filters [o, i, *k] on one image: two for each weight and place."""
    return 2 * math.prod(filters) * places


def _places(site: Site, inputs: Tensor) -> int:
    """Positions of the convolution's output, which a later response point does not show."""
    geometry, kernel = site.geometry, site.filters.shape[2:]
    padded = torch.tensor(inputs.shape[2:])
    sides = torch.tensor(geometry.padding[::-1]).reshape(-1, 2).sum(1)
    reach = torch.tensor(geometry.dilation) * (torch.tensor(kernel) - 1)
    return int(((padded + sides - reach - 1) // torch.tensor(geometry.stride) + 1).prod())


def flop(work: Callable[[], object]) -> int:
    """Operations of some work, counted by torch; on the meta device they cost nothing."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def saved(module: nn.Module, inputs: Tensor) -> int:
    """Bytes that a module keeps for the backward pass beside its weights, each tensor once."""
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(inputs)
    for weight in module.parameters():
        kept.pop(weight.untyped_storage()._cdata, None)
    return sum(t.numel() * t.element_size() for t in kept.values())


def calibrated(config: GanConfig, device: torch.device) -> Rate:
    """What this machine does in a second: a few steps of the game at a site of middle size.

    A game so small that it is nothing but overhead tells what every step costs beside.
    """
    overhead, _ = _played(config, 2, 2, device)
    step, cost = _played(config, 32, 14, device)
    block = torch.zeros(4 * MIB, device=device)
    bandwidth = 2 * FLOAT * block.numel() / _seconds(lambda: block.add_(1), device)
    # A machine that is busy may turn times around: something must be left for the arithmetic.
    left = max(step - overhead - cost.bytes / bandwidth, 0.2 * step)
    return Rate(overhead, cost.flop / left, bandwidth)


def _played(
    config: GanConfig, channels: int, side: int, device: torch.device
) -> tuple[float, Cost]:
    """Seconds of a step at a site of that size, and its cost by arithmetic."""
    sizes = {"batch": channels, "latent": 8, "hidden": 2 * channels}
    small = config.model_copy(update=sizes | {"discriminator_channels": 2 * channels})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()).to(device)
        images = torch.rand(channels, channels, side, side).to(device)
    site = Site(network.requires_grad_(False), "0", images[:2])
    game = Game(FilterGAN.new(site, images, small, 0), small, 0)
    seconds = _seconds(lambda: game.play(images), device)
    return seconds, estimate(site, images, site.respond(images), small)


def _seconds(work: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """The shortest of a few runs, after one that is not counted."""
    found: list[float] = []
    for _ in range(1 + times):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return min(found[1:])
