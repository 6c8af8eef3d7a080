"""Augerino (Benton et al. 2020): affine maps whose widths are learned with a network.

The loss is the cross-entropy less a weight times the norm of the widths, which therefore grow
where the labels allow it. Two things differ from the original: widths are learned with a network
of their own, as long as the fresh one is trained, which then sees them as they came out; and their
rate follows the number of steps, which are few here.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from filtergan.benchmark.affine_maps import COPIES, UniformAffine
from filtergan.benchmark.subject import BATCH, Factory, Subject
from filtergan.machine import runtime
from filtergan.sites.wrappers import output_of

START = -3.0  # before softplus: widths of 0.05
REACH = 12.0  # how far a width can go in all steps, before softplus


def augerino(subject: Subject) -> Factory:
    """The strength is the weight of the widths; the original tries 0.01, 0.05 and 0.1."""

    def made(
        images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], strength: float, seed: int
    ) -> nn.Module:
        if not strength:  # no width has a reason to grow
            return UniformAffine(torch.zeros(6), COPIES)
        return UniformAffine(widths(subject, images, labels, strength, seed), COPIES)

    return made


def widths(
    subject: Subject,
    images: Float[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    weight: float,
    seed: int,
    start: float = START,
) -> Float[Tensor, " 6"]:
    """The widths learned on labelled images, by reparametrisation.

    Args:
        subject: Whose networks, steps and rate.
        images: Pixels in [0, 1].
        labels: Their classes.
        weight: Of the norm of the widths.
        seed: Of the network, the minibatches and the maps.
        start: Of every width, before softplus.
    """
    network = subject.fresh(seed).to(subject.device).train()
    images, labels = images.to(subject.device), labels.to(subject.device)
    raw = torch.full((6,), start, device=subject.device, requires_grad=True)
    steps = subject.passes(len(images)) * max(1, len(images) // BATCH)
    own = {"params": [raw], "lr": REACH / steps, "weight_decay": 0.0}
    others = {"params": list(network.parameters()), "lr": subject.config.rate}
    optimizer = torch.optim.AdamW([others, own], weight_decay=subject.config.weight_decay)
    order = runtime.generator(seed, "augerino")
    with runtime.own_randomness(seed), torch.enable_grad():
        for _ in range(steps):
            index = torch.randperm(len(images), generator=order)[:BATCH].to(subject.device)
            found = F.softplus(raw)
            moved = UniformAffine(found).to(subject.device)(images[index])
            loss = F.cross_entropy(output_of(network, moved), labels[index])
            optimizer.zero_grad()
            (loss - weight * found.norm()).backward()
            optimizer.step()
    return F.softplus(raw).detach()
