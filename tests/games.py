"""A small game of a small network (images of 1x6x6)."""

from typing import Any

import torch
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Game
from filtergan.sites.site import Site

LAMBDA = 3.0


def config(**changes: Any) -> GanConfig:
    small = GanConfig(
        latent=3,
        hidden=8,
        discriminator_channels=4,
        steps=12,
        batch=6,
        information=LAMBDA,
        checkpoint_every=5,
        log_every=4,
    )
    return GanConfig.model_validate(small.model_dump() | changes)


def site() -> Site:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 6 * 6, 3),
    ).requires_grad_(False)
    return Site(network, "2", torch.rand(2, 1, 6, 6))


def inputs(site: Site) -> Tensor:
    return site.input(torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1)))


def new_game(
    site: Site, inputs: Tensor, chosen: GanConfig, kind: type[FilterGAN] = FilterGAN
) -> Game:
    return Game(kind.new(site, inputs, chosen, 7), chosen, 7)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
