"""How time grows with the size of what is worked on, against the arithmetic it takes."""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from subject import Subject
from timing import Times, Work, operations
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, TraversalConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Game
from filtergan.sites.site import Site
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import walk

BATCHES = (32, 64, 128, 256)
SIDES = (7, 10, 14, 20)  # of the response
FILTERS = (32, 64, 128, 256)  # of a layer of 32 channels
POINTS = (16, 36, 81, 196)  # of a grid, for one image
IMAGES = (2, 4, 8, 16)  # with 49 points each


class _Minimal(nn.Module):
    """A convolution with batch norm and ReLU, and one linear layer."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
        self.bn, self.fc = nn.BatchNorm2d(filters), nn.Linear(filters, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


def run(subject: Subject) -> dict[str, Any]:
    """For each size that grows: the sizes, seconds, operations, and the exponent of time."""
    device = subject.train.device
    return {
        "step, batch": _grown(BATCHES, lambda n: _step(device, batch=n)),
        "step, side of the response": _grown(SIDES, lambda n: _step(device, side=n)),
        "step, filters": _grown(FILTERS, lambda n: _step(device, filters=n)),
        "traversal, points": _grown(POINTS, lambda n: _walk(subject, 1, n)),
        "traversal, images": _grown(IMAGES, lambda n: _walk(subject, n, 49)),
    }


def _grown(sizes: Sequence[int], make: Callable[[int], Work]) -> dict[str, Any]:
    works = {str(n): make(n) for n in sizes}
    times = Times(works, rounds=5)
    flop = [operations(works[str(n)]) for n in sizes]
    seconds = [times.of(str(n)) for n in sizes]
    return {
        "sizes": list(sizes),
        "flop": flop,
        "seconds": [one.as_record() for one in seconds],
        "exponent": slope(flop, [one.median for one in seconds]),
        "exponent_of_size": slope(sizes, [one.median for one in seconds]),
    }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent of y over x: the slope of their logarithms."""
    logs = ([math.log(v) for v in values] for values in (x, y))
    return statistics.linear_regression(*logs).slope


def _step(device: torch.device, batch: int = 64, side: int = 7, filters: int = 64) -> Work:
    torch.manual_seed(0)
    network = _Minimal(32, filters).eval().to(device)
    inputs = torch.rand(2 * batch, 32, side, side, device=device)
    site, config = Site(network, "conv", inputs[:2]), GanConfig(batch=batch, steps=10**6)
    game = Game(FilterGAN.new(site, inputs, config, 0), config, 0)
    return lambda: game.play(inputs)


def _walk(subject: Subject, images: int, points: int) -> Work:
    gan = subject.gan
    search = PixelSearch(subject.search.prior, TraversalConfig(evaluations=4))
    x, z = subject.test[:images], gan.latents(images)
    targets = z[:, None] + torch.randn(images, points, gan.latent).to(z)
    return lambda: walk(gan, search, x, z, targets)


def draw(found: dict[str, Any], path: Path) -> None:
    """A figure: seconds over operations, a line for each size that grows."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for name, one in found.items():
        x, y = [f / 1e9 for f in one["flop"]], [s[0] for s in one["seconds"]]
        axes.loglog(x, y, "o-", ms=4, lw=1.2, label=f"{name}: {one['exponent']:.2f}")
    axes.set(xlabel="GFLOP", ylabel="seconds")
    axes.legend(frameon=False, fontsize=8, title="exponent of time over arithmetic")
    figure.savefig(path, dpi=150)
    plt.close(figure)
