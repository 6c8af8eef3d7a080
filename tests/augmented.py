"""What augmentations are compared on, as if a run had learned it."""

import torch
from movable import PAPER, RESIDUAL, gan, images, network
from torch import Tensor

from filtergan.benchmark.subject import Subject
from filtergan.config.fields import CnnConfig


def subject(channels: int = 1, steps: int = 3) -> Subject:
    """Images of 8x8, a network of a few hundred weights, and transformers that do much."""
    data, cnn = images(channels, 8, 80), PAPER if channels == 1 else RESIDUAL
    classifier = network(cnn, data)
    made = gan(classifier, data, cnn)
    made.null = gan(classifier, data, cnn, "activation")
    return Subject(
        *(classifier, made, data.train, data.test, CnnConfig(), steps, torch.device("cpu"))
    )


def some(one: Subject, n: int = 12) -> tuple[Tensor, Tensor]:
    """Images and their labels."""
    return one.train.pixels(slice(n)), one.train.labels[:n]
