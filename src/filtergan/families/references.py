"""Transformations of known nature, made as large as a traversal's.

A traversal's numbers are read beside those of these references, which go through the same code at
the same image change: what a measure says of a known transformation is what it can be believed for.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.catalogue import references
from filtergan.machine.runtime import generator as seeded

BLACK = 0.03  # norm, over that of others, below which no relative change of an image is told
_HALVINGS = 14  # of the interval that holds a strength


def reference(
    name: str,
    x: Float[Tensor, "n c h w"],
    change: Float[Tensor, " n"],
    groups: Int64[Tensor, " n"],
    seed: int,
) -> Float[Tensor, "n c h w"]:
    """Transform images in a known way, by as much as they are wanted to change.

    The images of a group undergo one transformation, in direction and strength (noise: the same
    strength), as those of a traversal do that share z and z_k. The strength is the smallest that
    gives the root mean square over the group of ||x' - x|| / ||x|| that `change` has. Where there
    is none (a stroke cannot be made thinner than its skeleton), the largest one tried is used.

    Args:
        name: Of the reference, as in the record: a key of `catalogue.references`, whose file tells
            what it does.
        x: Images in [0, 1].
        change: Wanted ||x' - x|| / ||x|| of each.
        groups: Which images belong together.
        seed: Of all that is random.

    Returns:
        Transformed images; all but those of `noise` in [0, 1].

    Raises:
        UserError: The images are in colour, or they are grey, and it is no change of such.
    """
    family = references()[name]
    assert family.reference is not None
    family.require(x.shape[1])
    _, member = torch.unique(groups, return_inverse=True)
    generator = seeded(seed, "reference", name)
    transform, first = family.reference.direction(x, member, generator)
    norm = x.flatten(1).norm(dim=1)
    told = norm > BLACK * norm.square().mean().sqrt()

    def over_group(ratio: Float[Tensor, " n"]) -> Float[Tensor, " groups"]:
        """Root mean square over those images of each group that are not all but black."""
        sums = torch.zeros(2, int(member.max()) + 1, dtype=x.dtype)
        sums[0].index_add_(0, member, torch.where(told, ratio**2, 0))
        sums[1].index_add_(0, member, told.to(x))
        return (sums[0] / sums[1].clamp(min=1)).sqrt()

    def changed(strength: Float[Tensor, " groups"]) -> Float[Tensor, " groups"]:
        moved = (transform(strength[member]) - x).flatten(1).norm(dim=1)
        return over_group(moved / norm.clamp(min=1e-12))

    return transform(_strength(changed, over_group(change), first)[member])


def _strength(
    changed: Callable[[Tensor], Tensor], wanted: Float[Tensor, " groups"], first: float
) -> Float[Tensor, " groups"]:
    """The smallest strengths that change as much as wanted, by doubling and then halving."""
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, first)
    for _ in range(6):
        short = changed(high) < wanted
        if not short.any():
            break
        low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = changed(middle) < wanted
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (low + high) / 2
