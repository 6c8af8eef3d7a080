"""Augmentation by what the run's network ignores, alone and with affine maps."""

from torch import nn

from filtergan.augmentation.augment import InvarianceAugment
from filtergan.benchmark.affine_maps import hand
from filtergan.benchmark.subject import Factory, Subject


def ours(subject: Subject) -> Factory:
    """T(x, z, z'); the strength is the length of the way from z to z'."""
    return lambda images, labels, strength, seed: InvarianceAugment(subject.gan, strength)


def ours_and_affine(subject: Subject) -> Factory:
    """One dial for both. T comes first: it was trained on images that stand upright."""
    return lambda images, labels, strength, seed: nn.Sequential(
        InvarianceAugment(subject.gan, strength), hand(strength)
    )
