"""One training of the comparison: a fresh network, one augmentation, one strength."""

import base64
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.subject import BATCH, Factory, Subject
from filtergan.classifiers.fitting import fit, predict, steps_of
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.machine import runtime
from filtergan.machine.storage import Rows, Subset


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        method: One of `METHODS`.
        size: Labelled images.
        seed: Of which images are labelled, and of the network's first weights.
        strength: Of the augmentation.
    """

    method: str
    size: int
    seed: int
    strength: float


def planned(
    methods: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], budget: int
) -> list[Trial]:
    """All trainings, in their order: all of a seed, then the next.

    Args:
        methods: Some of `METHODS`.
        sizes: Numbers of labelled images.
        seeds: Each with images and first weights of its own, the same for all methods.
        budget: Values of its dial that each method is given.

    Raises:
        UserError: There is no such method, or a number is below 1.
    """
    for name in methods:
        if name not in METHODS:
            raise UserError(f"There is no method {name!r}; there are {', '.join(METHODS)}.")
    if min(*sizes, budget) < 1:
        raise UserError("Sizes and the budget are numbers from 1 on.")
    if min(seeds) < 0:
        raise UserError("Seeds are numbers from 0 on.")
    return [
        Trial(name, size, seed, strength)
        for seed in dict.fromkeys(seeds)
        for size in sorted(set(sizes))
        for name in METHODS
        if name in methods
        for strength in METHODS[name].strengths(budget)
    ]


def perform(trial: Trial, subject: Subject, factory: Factory, largest: int) -> dict[str, Any]:
    """Train a fresh network, and examine it.

    Images, first weights and minibatches are those of all trials of this size and seed.

    Args:
        trial: Which.
        subject: What it is done on.
        factory: What makes the method's augmentations.
        largest: Most images that are labelled in any trial.

    Returns:
        The trial's own fields; `steps`; `validation`, the accuracy that strengths are chosen by;
        `test`, that on the test images; `correct`, which of them are classified correctly, as
        `packed` has it; `seconds`.
    """
    begun = time.monotonic()
    network, transform, steps = trained(trial, subject, factory)
    index = subject.validation(largest, trial.seed)
    validation, test = (
        correct(network, transform, images, labels, subject.device, trial.seed)
        for images, labels in (
            (Subset(subject.train.images, index), subject.train.labels[index]),
            (subject.test.images, subject.test.labels),
        )
    )
    return asdict(trial) | {
        "steps": steps,
        "validation": validation.float().mean().item(),
        "test": test.float().mean().item(),
        "correct": packed(test),
        "seconds": round(time.monotonic() - begun, 2),
    }


def trained(trial: Trial, subject: Subject, factory: Factory) -> tuple[nn.Module, nn.Module, int]:
    """A fresh network trained with an augmentation, which it saw, and the number of steps.

    Args:
        trial: Which.
        subject: What it is done on.
        factory: What makes the method's augmentations.
    """
    seed = runtime.derive_seed(trial.seed, "augmented", trial.size)
    chosen = subject.labelled(trial.size, trial.seed)
    rows, labels = Subset(subject.train.images, chosen), subject.train.labels[chosen]
    transform = factory(to_float(rows[:]), labels, trial.strength, seed).to(subject.device)
    network, passes = subject.fresh(seed), subject.passes(trial.size)

    @torch.no_grad()
    def prepare(images: Tensor) -> Tensor:
        return transform(to_float(images))

    fit(
        network,
        network.parameters(),
        rows,
        labels,
        epochs=passes,
        batch=BATCH,
        rate=subject.config.rate,
        weight_decay=subject.config.weight_decay,
        seed=seed,
        device=subject.device,
        prepare=prepare,
    )
    return network, transform, steps_of(trial.size, passes, BATCH)


def correct(
    network: nn.Module,
    transform: nn.Module,
    images: Rows,
    labels: Int64[Tensor, " n"],
    device: torch.device,
    seed: int,
) -> Bool[Tensor, " n"]:
    """Which images are classified correctly.

    Args:
        network: Trained.
        transform: Of the method. Where it has `copies`, so many transformed copies of an image are
            classified, and the logarithms of the probabilities averaged.
        images: As a `Split` has them.
        labels: Their classes.
        device: Where to compute.
        seed: Of the copies.
    """
    return _logits(network, transform, images, device, seed).argmax(1) == labels


def _logits(
    network: nn.Module, transform: nn.Module, images: Rows, device: torch.device, seed: int
) -> Float[Tensor, "n classes"]:
    copies = getattr(transform, "copies", 0)
    if not copies:
        return predict(network, images, device=device)
    with runtime.own_randomness(seed):
        return sum(
            predict(network, images, device=device, prepare=lambda x: transform(to_float(x)))
            .log_softmax(1)
            .div(copies)
            for _ in range(copies)
        )  # pyright: ignore[reportReturnType]


def packed(correct: Bool[Tensor, " n"]) -> str:
    """Truth values as text: their number, then eight to a byte in base64."""
    data = np.packbits(correct.numpy()).tobytes()
    return f"{len(correct)}:{base64.b64encode(data).decode()}"


def unpacked(text: str) -> Bool[Tensor, " n"]:
    """What `packed` packed."""
    count, _, data = text.partition(":")
    bits = np.frombuffer(base64.b64decode(data), dtype=np.uint8)
    return torch.from_numpy(np.unpackbits(bits, count=int(count)).astype(bool))
