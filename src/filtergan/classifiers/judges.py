"""Independent classifiers that judge recovered images: trained once per dataset, and kept."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from filtergan.classifiers.fitting import augmented, channels_last, fit, predict, steps_of
from filtergan.config.fields import JudgeConfig
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.images.splits import Dataset
from filtergan.machine import runtime, telling
from filtergan.machine.distributed import lead
from filtergan.machine.files import load_metadata, load_tensors, save_tensors, writing
from filtergan.machine.storage import Rows, Subset, cache_folder

SEED = 0
"""Of all judges: they belong to the dataset, not to a study, so that seeds compare."""
VERSION = 3
"""Of the architectures and their training; a change makes every kept judge another."""
LARGEST = 64
"""Larger images are averaged down by the least whole factor to so many pixels a side."""
WIDTH = 128
"""Values that a judge's last layer reads."""
SHRINKAGE = 0.05
"""Of the mean variance, added to every direction's when features are whitened."""
WHITENED_ON = 20000
"""Training images that the whitening is taken from."""


class Judges:
    """Classifiers of different makes, in evaluation mode and frozen.

    Attributes:
        networks: Each a body, from images to `WIDTH` values, and a head, from these to logits. The
            first is a `Vgg`.
        correct: Which test images each classifies correctly.
        whitening: What is taken from the first one's statistics, and the matrix that then makes
            them features; `mean` [d] and `matrix` [d, d].
        seconds: What their training took.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        correct: Bool[Tensor, "judges n"],
        whitening: dict[str, Tensor],
        seconds: float,
        device: torch.device | str = "cpu",
    ) -> None:
        """Move the networks to the device and freeze them."""
        self.networks = [n.to(device).eval().requires_grad_(False) for n in networks]
        self.correct = correct
        self.whitening = whitening
        self.seconds = seconds
        self.device = device

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each."""
        return self.correct.float().mean(dim=1).tolist()

    def logits(self, images: Rows) -> Float[Tensor, "judges n classes"]:
        """Logits of each judge for images [n, c, h, w] (bytes, or in [0, 1]), on the CPU."""
        return torch.stack([predict(n, images, device=self.device) for n in self.networks])

    def features(self, images: Rows) -> Float[Tensor, "n d"]:
        """Features psi of images, as `logits` takes them, in which distances mean something.

        Mean and standard deviation over places of every map of the first judge, whitened on the
        training images: distances are Mahalanobis's over all layers (after Lee et al. 2018).
        Usual is what a classifier's last layer reads, but that is trained to ignore noise: white
        noise of a quarter of a digit's norm left most of MNIST's images among the 95 % nearest, by
        any judge. By these features it leaves none, and so small changes of shape leave nine in
        ten. Without the first maps it depended on the training whether noise was seen at all.
        """
        found = predict(_vgg(self.networks).statistics, images, device=self.device)
        return (found - self.whitening["mean"]) @ self.whitening["matrix"]

    def save(self, path: Path) -> None:
        """Write them as one safetensors file, whole or not at all.

        Raises:
            UserError: The file could not be written (exit code 1).
        """
        tensors = {
            f"{i}.{name}": value
            for i, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        tensors |= {f"whitening.{name}": value for name, value in self.whitening.items()}
        save_tensors(path, tensors | {"correct": self.correct}, {"seconds": str(self.seconds)})

    @classmethod
    def load(
        cls, path: Path, dataset: Dataset, config: JudgeConfig, device: torch.device | str = "cpu"
    ) -> "Judges":
        """Read what `save` wrote.

        Args:
            path: The file.
            dataset: Gives the shape of an image and the number of classes.
            config: Gives the number of networks.
            device: Where they are to compute.

        Raises:
            UserError: The file is missing or damaged, or holds something else.
        """
        tensors, words = load_tensors(path), load_metadata(path)
        networks = untrained(dataset, config)
        try:
            for i, network in enumerate(networks):
                own = {k: tensors[f"{i}.{k}"] for k in network.state_dict()}
                network.load_state_dict(own)
            correct, seconds = tensors["correct"], float(words["seconds"])
            # Copies lie where torch's own tensors do: last bits of a product depend on that.
            whitening = {name: tensors[f"whitening.{name}"].clone() for name in ("mean", "matrix")}
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{path} holds other judges than these; remove it.") from error
        if correct.dtype != torch.bool or correct.shape != (len(networks), len(dataset.test)):
            raise UserError(f"{path} holds the judges of another dataset; remove it.")
        return cls(networks, correct, whitening, seconds, device)


def get_judges(dataset: Dataset, config: JudgeConfig, device: torch.device | str = "cpu") -> Judges:
    """The judges of a dataset: from the cache if they are there and whole, else trained and kept.

    Two processes may do this at once: each trains its own, which are the same, and whichever file
    is written last stays. Those just trained are read back: they are to be, to the last bit, what
    the next study finds, and in all processes of a study the same.

    Args:
        dataset: Its training images teach them, its test images examine them.
        config: How many, and their training.
        device: Where to train, and where they are to compute.

    Raises:
        UserError: The cache folder cannot be written, or the training diverged (exit code 1).
    """
    path = judges_file(dataset, config)
    with suppress(UserError):  # missing or damaged: trained again
        return Judges.load(path, dataset, config, device)
    try:
        lead(lambda: _make_folder(path))  # before the work is done
        judges = train_judges(dataset, config, device)
        judges.save(path)
        return Judges.load(path, dataset, config, device)
    except UserError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise UserError(
            f"{error} Or keep the judges elsewhere: name a folder in FILTERGAN_CACHE.", exit_code=1
        ) from error


def _make_folder(path: Path) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def train_judges(
    dataset: Dataset, config: JudgeConfig, device: torch.device | str = "cpu"
) -> Judges:
    """Train the judges of a dataset, with a progress bar, and examine them.

    Args:
        dataset: Its training images teach them, its test images examine them.
        config: How many, and their training.
        device: Where to train, and where they are to compute.

    Raises:
        UserError: The loss of one is not finite (exit code 1).
    """
    train, test, started = dataset.train, dataset.test, time.monotonic()
    networks = untrained(dataset, config)
    steps = config.networks * steps_of(len(train), config.epochs, config.batch)

    def prepare(images: Tensor) -> Tensor:
        return augmented(to_float(images), config.flip, config.shift)

    with telling.progress(steps, "judges", "steps") as advance:
        for i, network in enumerate(networks):
            fit(
                network,
                network.parameters(),
                train.images,
                train.labels,
                epochs=config.epochs,
                batch=config.batch,
                rate=config.rate,
                seed=runtime.derive_seed(SEED, "judge", i),
                device=device,
                prepare=prepare,
                mixed=config.mixed,
                on_step=lambda *_: advance(),
            )
    logits = torch.stack([predict(network, test.images, device=device) for network in networks])
    correct = logits.argmax(dim=2) == test.labels
    part = Subset(train.images, torch.arange(min(WHITENED_ON, len(train))))
    for network in networks:
        network.eval()
    whitening = _whiten(predict(_vgg(networks).statistics, part, device=device))
    return Judges(networks, correct, whitening, round(time.monotonic() - started, 3), device)


def untrained(dataset: Dataset, config: JudgeConfig) -> list[nn.Module]:
    """The judges of a dataset before their training."""
    return [_make(i, dataset, config) for i in range(config.networks)]


def judges_file(dataset: Dataset, config: JudgeConfig) -> Path:
    """Where the judges of a dataset are kept: named by the dataset's content and the config."""
    key = json.dumps([VERSION, SEED, dataset.fingerprint, config.model_dump()])
    return cache_folder() / f"judges-{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"


def _vgg(networks: Sequence[nn.Module]) -> "Vgg":
    """The body whose statistics are the features."""
    body = networks[0].get_submodule("body")
    assert isinstance(body, Vgg)
    return body


def _whiten(values: Float[Tensor, "n d"]) -> dict[str, Tensor]:
    """What turns values into uncorrelated ones of about unit variance: `mean` and `matrix`.

    Each is scaled to unit variance first; a constant one is left out (its row is zero).
    """
    mean, sd = values.double().mean(0), values.double().std(0, correction=0)
    scale = torch.where(sd > 1e-6, 1 / sd, 0)
    scaled = (values - mean) * scale
    variance, directions = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
    floor = SHRINKAGE * variance.mean() + 1e-12
    matrix = scale[:, None] * directions / (variance.clamp_min(0) + floor).sqrt()
    return {"mean": mean.float(), "matrix": matrix.float()}


# ------------------------------------------------------------------------------ architectures


def _make(i: int, dataset: Dataset, config: JudgeConfig) -> nn.Module:
    """The i-th judge, its weights drawn from a seed of its own."""
    body = BODIES[i % len(BODIES)]
    with runtime.own_randomness(runtime.derive_seed(SEED, "judge weights", i)):
        head = nn.Linear(WIDTH, len(dataset.classes))
        made = body(*dataset.shape, config.width, config.depth)
        network = nn.Sequential(OrderedDict(body=made, head=head))
        return channels_last(network)


def _down(height: int, width: int) -> nn.Module:
    """Average large images down, so that a judge's cost has a bound."""
    factor = -(-max(height, width) // LARGEST)
    return nn.AvgPool2d(factor, ceil_mode=True) if factor > 1 else nn.Identity()


def _standard(channels: int, height: int, width: int) -> nn.Sequential:
    """Images not too large, standardised by channel over the training images."""
    return nn.Sequential(_down(height, width), nn.BatchNorm2d(channels, affine=False))


def _flat(shape: tuple[int, int, int], layers: nn.Module) -> nn.Linear:
    """From what layers make of images of this shape, flattened, to the values of a body."""
    with torch.no_grad():
        size = layers.eval()(torch.zeros(1, *shape)).numel()
    layers.train()
    return nn.Linear(size, WIDTH)


def lenet(channels: int, height: int, width: int, times: int, _depth: int) -> nn.Module:
    """5x5 convolutions, tanh and average pooling, after LeNet-5 (LeCun et al. 1998); never deep."""
    first, second = 8 * times, 24 * times
    layers = nn.Sequential(
        _standard(channels, height, width),
        nn.Conv2d(channels, first, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Conv2d(first, second, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2, ceil_mode=True),
    )
    flat = _flat((channels, height, width), layers)
    return nn.Sequential(layers, nn.Flatten(), flat, nn.Tanh())


class Vgg(nn.Module):
    """3x3 convolutions, batch norm, ReLU, max-pooling (Simonyan and Zisserman 2015)."""

    def __init__(self, channels: int, height: int, width: int, times: int, depth: int) -> None:
        """Make the layers."""
        super().__init__()
        self.standard = _standard(channels, height, width)
        widths = (channels, 8 * times, 24 * times, 48 * times)
        self.blocks = nn.Sequential(*(self._block(a, b, depth) for a, b in pairwise(widths)))
        whole = nn.Sequential(self.standard, self.blocks)
        self.flat = _flat((channels, height, width), whole)

    @staticmethod
    def _block(before: int, after: int, depth: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in (before, *[after] * (depth - 1)):
            layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers.append(nn.ReLU())
        # Behind the first convolution it costs half of what it would in its usual place.
        layers.insert(1, nn.MaxPool2d(2, ceil_mode=True))
        return nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the values [n, WIDTH] that the head reads."""
        return self.flat(self.blocks(self.standard(images)).flatten(1)).relu()

    def statistics(self, images: Tensor) -> Tensor:
        """Return mean and standard deviation over places of every map that a ReLU gives."""
        x, found = self.standard(images), []
        for layer in (layer for block in self.blocks.children() for layer in block.children()):
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(torch.cat([x.mean((2, 3)), x.std((2, 3), correction=0)], dim=1))
        return torch.cat(found, dim=1)


class Residual(nn.Module):
    """Two convolutions with a way around them, GELU and group norm before each."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        """Make the layers; the way around is a convolution where the shape changes."""
        super().__init__()
        self.way = nn.Sequential(
            nn.GroupNorm(4, before),
            nn.GELU(),
            nn.Conv2d(before, after, 3, stride, padding=1),
            nn.GroupNorm(4, after),
            nn.GELU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        same = stride == 1 and before == after
        self.around = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways."""
        return self.around(x) + self.way(x)


def resnet(channels: int, height: int, width: int, times: int, depth: int) -> nn.Module:
    """Pre-activation residual blocks (He et al. 2016) with group norm and GELU."""
    first, second = 16 * times, 40 * times
    layers = nn.Sequential(
        _standard(channels, height, width),
        nn.Conv2d(channels, first, 5, stride=2, padding=2),
        *(Residual(first, first, 1) for _ in range(depth)),
        Residual(first, second, 2),
        *(Residual(second, second, 1) for _ in range(depth - 1)),
        nn.GroupNorm(4, second),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
    )
    flat = _flat((channels, height, width), layers)
    return nn.Sequential(layers, nn.Flatten(), flat, nn.GELU())


BODIES: tuple[Callable[[int, int, int, int, int], nn.Module], ...] = (Vgg, resnet, lenet)
