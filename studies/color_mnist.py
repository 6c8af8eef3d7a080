"""Coloured digits as InvarianceAuditing has them, and networks of them.

Every channel's background is drawn from a mixture of three Gaussians, the strokes stand half the
range away from it, around the circle, and a digit's grey level mixes the two. Source: Rousselot,
Wendebourg and Koethe 2026 (arXiv 2603.21782), section 4.1 and appendix B.1; the numbers are those
of their code, whose second ones are standard deviations.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

import filtergan as fg
from filtergan.images.splits import Split
from filtergan.machine import runtime
from filtergan.machine.files import load_tensors, save_tensors

WEIGHTS, CENTRES, SPREADS = (0.6, 0.35, 0.05), (0.7, 0.5, 0.1), (0.08, 0.015, 0.02)
BINS = 100  # of a colour, from 0 to 1
AROUND = 0.03  # standard deviation of the colours of one class around that class's own
FAR = 1000  # colours among which a palette's are chosen
CODE = "last"
"""Where a layer is read at the code."""


def colours(n: int, rng: torch.Generator) -> Float[Tensor, "n 3"]:
    """Background colours, every channel's drawn by itself from the mixture; a few exceed 1."""
    kind = torch.multinomial(torch.tensor(WEIGHTS), 3 * n, replacement=True, generator=rng)
    centre, spread = torch.tensor(CENTRES)[kind], torch.tensor(SPREADS)[kind]
    return (centre + spread * torch.randn(3 * n, generator=rng)).view(n, 3)


def true_shares() -> Float[Tensor, " bins"]:
    """The share of each bin of a channel: the mixture's density at its middle."""
    x = (torch.arange(BINS, dtype=torch.float64)[:, None] + 0.5) / BINS
    weights, centres, spreads = (
        torch.tensor(part, dtype=torch.float64) for part in (WEIGHTS, CENTRES, SPREADS)
    )
    dense = weights / spreads * torch.exp(-((x - centres) ** 2) / (2 * spreads**2))
    return dense.sum(1) / dense.sum()


def coloured(
    grey: Float[Tensor, "n 1 h w"], background: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3 h w"]:
    """Digits on a background, their strokes of the colour half the range away from it."""
    back = background[:, :, None, None]
    return (back + grey * ((back + 0.5) % 1 - back)).clamp(0, 1)


def background_of(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"]:
    """The background of coloured digits: the mean of their first column of pixels."""
    return x[:, :, :, 0].mean(2)


def decoloured(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """The grey digit in every channel: how far a pixel is from the background, over one half."""
    return 2 * (x - background_of(x)[:, :, None, None]).abs()


def palette(count: int, seed: int) -> Float[Tensor, "count 3"]:
    """Colours far from each other: each the farthest of many from those chosen before it."""
    rng = runtime.generator(seed, "palette")
    many = 0.1 + 0.8 * torch.rand(FAR, 3, generator=rng)
    chosen = many[:1]
    while len(chosen) < count:
        nearest = torch.cdist(many, chosen).amin(1)
        chosen = torch.cat([chosen, many[nearest.argmax()][None]])
    return chosen


def of_palette(
    known: Float[Tensor, "k 3"], which: Int64[Tensor, " n"], rng: torch.Generator
) -> Float[Tensor, "n 3"]:
    """Colours around some of a palette's."""
    return known[which] + AROUND * torch.randn(len(which), 3, generator=rng)


class ColourCNN(nn.Module):
    """Three convolutions, a code of 48 numbers and logits; it may drop the colour before all else.

    Args:
        drops: Whether images are decoloured first.
        channels: Of the convolutions.
        code: Numbers of the code.
    """

    def __init__(
        self, drops: bool, channels: tuple[int, int, int] = (8, 16, 32), code: int = 48
    ) -> None:
        super().__init__()
        self.drops = drops
        first, second, third = channels
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(third)
        self.last = nn.Linear(third * 49, code)
        self.fc = nn.Linear(code, 10)

    def encode(self, x: Float[Tensor, "n 3 28 28"]) -> Float[Tensor, "n code"]:
        """The code phi(x)."""
        x = decoloured(x) if self.drops else x
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.conv3(x)))
        return self.last(x.flatten(1))

    def forward(self, x: Float[Tensor, "n 3 28 28"]) -> Float[Tensor, "n 10"]:
        """Logits."""
        return self.fc(F.relu(self.encode(x)))


@dataclass(frozen=True)
class Digits:
    """Grey digits, of which coloured ones are made.

    Attributes:
        grey: [n, 1, 28, 28], pixels in [0, 1].
        labels: Their classes.
    """

    grey: Float[Tensor, "n 1 28 28"]
    labels: Int64[Tensor, " n"]

    def __getitem__(self, part: slice) -> "Digits":
        """Some of them."""
        return Digits(self.grey[part], self.labels[part])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.labels)

    def mixed(self, rng: torch.Generator) -> Float[Tensor, "n 3 28 28"]:
        """Coloured by the mixture."""
        return coloured(self.grey, colours(len(self), rng))

    def painted(
        self, known: Float[Tensor, "k 3"], own: bool, rng: torch.Generator
    ) -> Float[Tensor, "n 3 28 28"]:
        """Coloured by a palette: every class its own colour, or any for any."""
        free = torch.randint(len(known), (len(self),), generator=rng)
        return coloured(self.grey, of_palette(known, self.labels if own else free, rng))


def digits_of(split: Split) -> Digits:
    """The digits of a split."""
    return Digits(split.pixels(), split.labels)


def trained(
    drops: bool,
    x: Float[Tensor, "n 3 28 28"],
    labels: Int64[Tensor, " n"],
    seed: int,
    epochs: int,
    kept: Path,
) -> ColourCNN:
    """A network trained on coloured digits, or the one that is kept."""
    with runtime.own_randomness(runtime.derive_seed(seed, "weights")):
        network = ColourCNN(drops)
    if kept.exists():
        network.load_state_dict(load_tensors(kept))
    else:
        fg.fit(network, network.parameters(), x, labels, epochs=epochs, seed=seed)
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(kept, network.state_dict())
    return network.eval().requires_grad_(False)


def accuracy(
    network: nn.Module, x: Float[Tensor, "n 3 28 28"], labels: Int64[Tensor, " n"]
) -> float:
    """The share that a network labels right."""
    return float((fg.predict(network, x).argmax(1) == labels).float().mean())
