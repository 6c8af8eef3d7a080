"""Augmentations of kornia's: RandAugment and elastic distortions."""

import importlib.util
import math

from torch import nn

from filtergan.benchmark.subject import Factory, Subject
from filtergan.errors import UserError

OPERATIONS = 2  # of RandAugment, one after the other, as Cubuk et al. mostly have them
MAGNITUDE = 30  # the end of kornia's scale, which it leaves out
SIGMA, ALPHA = 1 / 7, 34 / 14
"""The distortion of Simard et al. (2003) at a strength of 1: a Gaussian of 4 pixels in 28,
displacements of 34 before it; in sides of the image, and in half sides as kornia has them."""


def _check() -> None:
    if importlib.util.find_spec("kornia") is None:
        raise UserError(
            "RandAugment and elastic distortions are kornia's; install it with `pip install "
            "'filtergan[benchmark]'`, or leave both out with --methods."
        )


def randaugment(subject: Subject) -> Factory:
    """RandAugment (Cubuk et al. 2020), kornia's policy; a batch shares its two operations.

    Grey images go without the one that changes saturation.
    """
    _check()
    from kornia.augmentation.auto import RandAugment
    from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

    grey = subject.gan.site.image_shape[0] == 1
    policy = [one for one in default_policy if not (grey and one[0][0] == "color")]

    def made(images: object, labels: object, strength: float, seed: int) -> nn.Module:
        if not strength:  # its operations without a magnitude would remain
            return nn.Identity()
        return RandAugment(n=OPERATIONS, m=MAGNITUDE * strength, policy=policy)  # pyright: ignore[reportArgumentType]

    return made


def elastic(subject: Subject) -> Factory:
    """Elastic distortions (Simard et al. 2003), of every image."""
    _check()
    from kornia.augmentation import RandomElasticTransform

    sigma = SIGMA * max(subject.gan.site.image_shape[1:])
    size = 2 * math.ceil(3 * sigma) + 1

    def made(images: object, labels: object, strength: float, seed: int) -> nn.Module:
        return RandomElasticTransform(
            (size, size), (sigma, sigma), (ALPHA * strength, ALPHA * strength), p=1.0
        )

    return made
