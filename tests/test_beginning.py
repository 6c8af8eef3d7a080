"""Beginning with the spectrum: the first step already undoes what can be undone wholly."""

import pytest
import torch
from torch import Tensor, nn

import filtergan as fg
from filtergan.config.fields import joint_config
from filtergan.errors import UserError
from filtergan.machine.storage import rows_of
from filtergan.natural.beginning import begin_with_spectrum
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.terms import STEP

GAIN = fg.NaturalConfig(start="spectrum", latent=(1,), fields=("gain",), grid=2, size=0.2, steps=2)


@pytest.fixture
def images() -> Tensor:
    return 0.2 + 0.6 * torch.rand(200, 1, 8, 8)


@pytest.fixture
def site(images: Tensor) -> fg.Site:
    """Of a network in which nothing is added: a factor of the filters undoes one of the images."""
    convs = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 5, 3, bias=False)
    last = nn.Flatten(), nn.Linear(180, 2)
    network = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), *last)
    return fg.Site(network.eval(), "2", images[:2])


def begun(site: fg.Site, images: Tensor, config: fg.NaturalConfig) -> NaturalGAN:
    gan = NaturalGAN.new(site, site.input(images[:9]), joint_config(fg.GanConfig(), config), 0)
    begin_with_spectrum(gan, rows_of(images), 0)
    return gan


def test_what_can_be_undone_wholly_is_undone_before_training(site: fg.Site, images: Tensor) -> None:
    gan, x = begun(site, images, GAIN), images[:50]
    here, there = torch.zeros(50, 1), torch.full((50, 1), 0.5 * STEP)
    torch.testing.assert_close(gan.draw(here[:1])[0], site.filters)
    inputs, filters = site.input(x), gan.draw(there[:1])[0]
    before = site.respond(inputs, filters) - site.respond(inputs)
    moved = gan.transform(x, here, there)
    after = site.respond(site.input(moved), filters) - site.respond(inputs)
    assert float(after.square().sum() / before.square().sum()) < 0.05
    assert float((moved - x).norm() / x.norm()) == pytest.approx(0.5 * GAIN.size, rel=0.3)


def test_it_is_a_start_of_learn(site: fg.Site, images: Tensor) -> None:
    config = GAIN.model_copy(update={"null_steps": 1, "generator_rate": 1e-9})
    gan = fg.learn(site, images, config)
    expected = begun(site, images, config).generator.directions
    torch.testing.assert_close(gan.generator.directions, expected, rtol=1e-3, atol=1e-5)


def test_more_latents_than_directions_are_refused(site: fg.Site, images: Tensor) -> None:
    with pytest.raises(UserError, match=r"has 4 directions, and natural\.latent asks for 5"):
        begun(site, images, GAIN.model_copy(update={"latent": (5,)}))
