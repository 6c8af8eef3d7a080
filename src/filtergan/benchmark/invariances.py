"""Augmentation by what the run's network ignores, alone and with affine maps, and by its null."""

from torch import nn

from filtergan.augmentation.augment import InvarianceAugment
from filtergan.benchmark.affine_maps import hand
from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.subject import Factory, Subject
from filtergan.natural.natural_gan import NaturalGAN, null_of

FARTHEST = METHODS["ours"].strengths(1)[-1]


def ours(subject: Subject) -> Factory:
    """T(x, z, z'); the strength is the length of the way from z to z'."""
    return _alone(subject.gan)


def null(subject: Subject) -> Factory:
    """What T of the null does: it was trained alike, against random directions of the filters."""
    return _alone(null_of(subject.gan))


def ours_and_affine(subject: Subject) -> Factory:
    """One dial for both, up to the largest value of each."""
    return _with_affine(subject.gan)


def null_and_affine(subject: Subject) -> Factory:
    """The same of the null."""
    return _with_affine(null_of(subject.gan))


def _alone(gan: NaturalGAN) -> Factory:
    return lambda images, labels, strength, seed: InvarianceAugment(gan, strength)


def _with_affine(gan: NaturalGAN) -> Factory:
    """T comes first: it was trained on images that stand upright."""
    return lambda images, labels, strength, seed: nn.Sequential(
        InvarianceAugment(gan, FARTHEST * strength), hand(strength)
    )
