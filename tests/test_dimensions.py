"""The game and what follows from it in one and three dimensions, and on tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import traces
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.figures.filter_sets import filters_figure
from filtergan.game.ablated import FiltersShown, as_images
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.training import train
from filtergan.pooling.pool import FilterPool2d
from filtergan.sites.site import Site
from filtergan.walks.points import matched_noise

CONFIG = GanConfig(latent=2, hidden=8, discriminator_channels=4, steps=4, batch=6, log_every=1)


class Tokens(nn.Module):
    """Patches as tokens [n, l, c], normalised, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 5, 2, 2), nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x).flatten(2).transpose(1, 2)).mean(1))


def signals() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 6, 5, stride=2, padding=2, groups=2),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Conv1d(6, 4, 3, padding="same", padding_mode="circular"),
        nn.ELU(),
        nn.Flatten(),
        nn.Linear(40, 3),
    )


def volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 4, (1, 2, 3), padding=1, padding_mode="replicate"),
        nn.InstanceNorm3d(4),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.LazyLinear(3),
    )


NETWORKS = {
    "signals": (signals, (2, 20), "0", "activation", (6, 10)),
    "signals, later": (signals, (2, 20), "3", "activation", (4, 10)),
    "volumes": (volumes, (1, 5, 5, 5), "0", "activation", (4, 7, 6, 5)),
    "tokens": (Tokens, (1, 8, 8), "conv", "norm", (16, 5)),
    "flat": (signals, (2, 20), "0", "6", (3,)),
}


def made(name: str) -> tuple[Site, Tensor, tuple[int, ...]]:
    torch.manual_seed(0)
    make, shape, layer, point, response = NETWORKS[name]
    network, x = make(), torch.rand(10, *shape)
    network(x)
    network.eval().requires_grad_(False)
    return Site(network, layer, x[:2], point), x, response


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (FilterGAN, {}),
        (FilterGAN, {"updates": "algorithm1", "head": "dense"}),
        (FiltersShown, {"spectral_norm": False}),
    ],
    ids=["summed", "algorithm1", "filters"],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_game(
    name: str, kind: type[FilterGAN], changes: dict[str, Any], tmp_path: Path
) -> None:
    site, x, response = made(name)
    before = traces(site.network)
    inputs, config = site.input(x), CONFIG.model_copy(update=changes)
    losses: list[dict[str, float]] = []
    gan = train(site, inputs, config, kind=kind, log=lambda _, values: losses.append(values))
    assert len(losses) == 4
    assert traces(site.network) == before

    start = kind.new(site, inputs, config, 0)
    assert not torch.equal(gan.generator.mean, start.generator.mean)
    z = gan.latents(10)
    filters = gan.draw(z)
    assert filters.shape == (10, *site.filters.shape)
    assert gan.predict(inputs, z).shape == (10, 2)
    with torch.no_grad():
        responses = gan.respond(inputs, z)
        assert responses.shape == (10, *response)
        want = torch.stack([site.respond(inputs[i : i + 1], filters[i])[0] for i in range(10)])
        torch.testing.assert_close(responses, want)
        want = torch.cat([site.output(x[i : i + 1], filters=filters[i]) for i in range(10)])
        torch.testing.assert_close(site.output(x, filters=filters), want)

    gan.save(tmp_path)
    again = kind.load(tmp_path, site.network)
    assert torch.equal(again.draw(z), filters)


@pytest.mark.parametrize("name", ["signals", "signals, later", "volumes"])
def test_pooling(name: str) -> None:
    site, x, _ = made(name)
    noise = torch.randn(2, *site.filters.shape)
    with torch.no_grad():
        pooled = FilterPool2d.into(site, noise)(x)
        responses = [site.respond(site.input(x), filters) for filters in noise]
        want = site.output(x, response=torch.stack(responses).mean(0))
        torch.testing.assert_close(pooled, want)


@pytest.mark.parametrize("kernel", [(5,), (3, 2), (2, 3, 4)])
def test_noise_as_large_as_a_walk_s(kernel: tuple[int, ...]) -> None:
    base, moved = torch.randn(2, 3, 4, 2, *kernel)
    noisy = matched_noise(base, moved, [torch.Generator().manual_seed(i) for i in range(3)])
    for got, want in zip((noisy - base).flatten(0, 1), (moved - base).flatten(0, 1), strict=True):
        torch.testing.assert_close(got.norm(), want.norm())


@pytest.mark.parametrize("kernel", [(5,), (3, 2), (2, 3, 4)])
def test_filters_as_images_and_in_a_figure(kernel: tuple[int, ...]) -> None:
    filters = torch.randn(2, 3, 4, *kernel)
    images = as_images(filters)
    assert images.shape == (2, 3, 4, torch.Size(kernel).numel())
    assert torch.equal(images.flatten(2), filters.flatten(2))
    filters_figure(filters[0], filters)


def test_a_response_of_too_many_dimensions() -> None:
    with pytest.raises(UserError, match="choose another response point"):
        Discriminator((3, 4, 4, 4, 4), latent=2)
