"""Which images stand for all where only some are shown."""

import torch
from jaxtyping import Int64
from torch import Tensor

from filtergan.images.splits import Split


def one_of_each_class(split: Split, n: int) -> Int64[Tensor, " n"]:
    """The first image of each class in turn, then the second of each, until there are n."""
    ranks = torch.zeros(len(split), dtype=torch.long)
    for label in split.labels.unique():
        of_class = (split.labels == label).nonzero()[:, 0]
        ranks[of_class] = torch.arange(len(of_class))
    order = sorted(range(len(split)), key=lambda i: (int(ranks[i]), int(split.labels[i])))
    return torch.tensor(order[:n])
