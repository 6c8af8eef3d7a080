"""Random affine maps: by hand, and in copies of each test image."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.benchmark.subject import Factory, Subject
from filtergan.families.transformations import affine

COPIES = 4  # of a test image, as Augerino has them
SHIFT = 0.05  # of the image's side: what a width of 1 moves it by, from end to end
BY_HAND = (6.0, 6.0, 1.05, 0.5, 0.3, 0.5)
"""Widths at a strength of 1: shifts of up to 15 % of the side, turns of up to 30 degrees, sizes of
78 to 128 %, stretched by up to 16 %, sheared by up to a quarter."""


def _generators() -> Float[Tensor, "6 2 3"]:
    """Horizontal and vertical shift, rotation, scale, stretch, shear (Augerino, eq. 8)."""
    rows = [
        [[0, 0, 1], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 1]],
        [[0, -1, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0]],
        [[1, 0, 0], [0, -1, 0]],
        [[0, 1, 0], [1, 0, 0]],
    ]
    return torch.tensor(rows, dtype=torch.float32)


class UniformAffine(nn.Module):
    """exp of a sum of generators, each with a weight uniform from minus to plus half its width.

    Args:
        widths: Of the six; radians for the rotation, `SHIFT` of the side for shifts.
        copies: Of a test image; 0: images are tested as they are.
    """

    generators: Tensor

    def __init__(self, widths: Float[Tensor, " 6"], copies: int = 0) -> None:
        super().__init__()
        self.widths, self.copies = widths, copies
        self.register_buffer("generators", _generators())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images, each mapped in its own way; 0 from outside."""
        weights = (torch.rand(len(x), 6, device=x.device) - 0.5) * self.widths.to(x)
        velocity = x.new_zeros(len(x), 3, 3)
        velocity[:, :2] = torch.einsum("nk,kij->nij", weights, self.generators)
        matrices = torch.linalg.matrix_exp(velocity)[:, :2]
        shifts = matrices[:, :, 2:] * (SHIFT * max(x.shape[2:]))
        return affine(x, torch.cat([matrices[:, :, :2], shifts], dim=2))


def hand(strength: float, copies: int = 0) -> UniformAffine:
    """The affine maps that one would choose for images of objects that stand upright."""
    return UniformAffine(strength * torch.tensor(BY_HAND), copies)


def unchanged(subject: Subject) -> Factory:
    """No augmentation."""
    return lambda images, labels, strength, seed: nn.Identity()


def by_hand(subject: Subject) -> Factory:
    """Fixed widths."""
    return lambda images, labels, strength, seed: hand(strength)


def by_hand_in_copies(subject: Subject) -> Factory:
    """Fixed widths, and at the test as many copies as Augerino averages over.

    Its users ask for it: averaging may be all that Augerino gains.
    """
    return lambda images, labels, strength, seed: hand(strength, COPIES)
