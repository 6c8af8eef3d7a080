"""What the training of a site takes, by arithmetic and a rate measured on a small game."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from filtergan.config.fields import GanConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.players import players_of
from filtergan.game.training import Game
from filtergan.machine import runtime
from filtergan.machine.storage import MIB
from filtergan.sites.site import Site

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
    n = config.batch
    with torch.device("meta"):  # neither memory nor time
        gan = FilterGAN.built(site, config, tuple(response.shape[1:]))
        players = players_of(gan, config)
    z = torch.empty(n, config.latent, device="meta")
    responses = torch.empty(n, *response.shape[1:], device="meta")
    parts = (
        n * convolution_flop(tuple(site.filters.shape), places_of(site, inputs)),
        flop(lambda: gan.generator(z)),
        flop(lambda: gan.discriminator(responses)),
        flop(lambda: gan.discriminator.trunk[0](responses)),
    )
    total = sum(k * f for k, f in zip(PASSES[config.updates], parts, strict=True))

    moved = [weight for player in players for weight in player.weights]
    states, gradients = numbers_of(moved), numbers_of(set(moved))
    held = sum(numbers_of(module.parameters()) for module in players.modules().values())
    draws, seen = n * site.filters.numel(), responses.numel()
    one = inputs[0].numel() * FLOAT
    cached = max(config.cache_mib * MIB // one, n)
    cached = min(cached, images) if images is not None else cached
    kept = saved(gan.generator, z) + 3 * saved(gan.discriminator, responses)
    numbers = held + gradients + states + 3 * draws + 4 * seen
    touched = TOUCHES * states + 6 * draws
    return Cost(total, FLOAT * touched, (cached * one + kept + FLOAT * numbers) / MIB)


def numbers_of(weights: Iterable[Tensor]) -> int:
    """How many numbers some tensors hold."""
    return sum(weight.numel() for weight in weights)


def convolution_flop(filters: tuple[int, ...], places: int) -> int:
    """Operations of one set of filters [o, i, *k] on one image: two for each weight and place."""
    return 2 * math.prod(filters) * places


def places_of(site: Site, inputs: Tensor) -> int:
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


def saved(work: Callable[..., object], *inputs: Tensor, weights_of: nn.Module | None = None) -> int:
    """Bytes that work keeps for the backward pass beside weights, each tensor once.

    Args:
        work: A module, or what passes through a part of one.
        *inputs: Of it.
        weights_of: The module whose weights are not counted; by default `work`.
    """
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work(*inputs)
    module = work if weights_of is None else weights_of
    assert isinstance(module, nn.Module)
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
    with runtime.own_randomness(0):
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
