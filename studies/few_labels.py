"""What fresh networks gain by an augmentation, on few labelled images.

The trainings are those of `filtergan benchmark augment`, without its tuning: what is carried has no
labelled images to be tuned on, so its strength is 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import filtergan as fg
from filtergan.benchmark.subject import Subject
from filtergan.benchmark.trials import Trial, correct, packed, trained, unpacked
from filtergan.images.splits import Dataset
from filtergan.machine import runtime
from filtergan.measures.contrasts import crossed_interval

LABELLED, STEPS, SEEDS = 100, 200, range(5)
FRESH = fg.CnnConfig(channels=(16, 32, 32), pool_after=(1, 2))


def trainings(data: Dataset, gan: fg.NaturalGAN, augment: nn.Module) -> list[str]:
    """Which test images fresh networks get right that few augmented images trained, by seed.

    Args:
        data: The images.
        gan: Any, which augments nothing.
        augment: What does.
    """
    device = torch.device("cpu")
    subject = Subject(fresh(FRESH, data, 0), gan, data.train, data.test, FRESH, STEPS, device)
    found = []
    for seed in SEEDS:
        trial = Trial("carried", LABELLED, seed, 1.0)
        trained_one, _, _ = trained(trial, subject, lambda *_: augment)
        given = data.test.images, data.test.labels, device, seed
        found.append(packed(correct(trained_one, augment, *given)))
    return found


def compared(right: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Accuracies, and those less that without augmentation, in pairs.

    Args:
        right: By method and seed what was classified correctly, `none` among them.
    """
    matrices = {
        name: torch.stack([unpacked(one) for one in by_seed]).float()
        for name, by_seed in right.items()
    }

    def told(matrix: Tensor, least: float) -> dict[str, Any]:
        return {"value": float(matrix.mean()), "ci95": list(crossed_interval(matrix, least, 1.0))}

    return {
        name: {"accuracy": told(matrix, 0.0), "gain": told(matrix - matrices["none"], -1.0)}
        for name, matrix in matrices.items()
    }


def fresh(cnn: fg.CnnConfig, data: Dataset, seed: int) -> nn.Module:
    """A network of the paper's make, of weights that a seed gives."""
    with runtime.own_randomness(seed):
        return fg.PaperCNN(cnn, data.shape, len(data.classes))
