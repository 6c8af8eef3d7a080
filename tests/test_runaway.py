"""A generator that ran away from its transformer is told from one that did not."""

import pytest
import torch
from torch import Tensor, nn

import filtergan as fg
from filtergan.natural.runaway import runaway

IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Brighter(nn.Module):
    """Filters times exp(z0): a known change, which images times exp(-z0) undo."""

    def __init__(self, real: Tensor) -> None:
        super().__init__()
        self.real, self.latent = real, 3

    def forward(self, z: Tensor) -> Tensor:
        return self.real * z[:, 0].exp()[:, None, None, None, None]


class Darker(nn.Module):
    """What undoes it."""

    def forward(self, x: Tensor, z: Tensor, z_k: Tensor) -> Tensor:
        return x * (z - z_k)[:, 0].exp()[:, None, None, None]


@pytest.fixture
def gan() -> fg.NaturalGAN:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    site = fg.Site(network, "0", IMAGES)
    config = fg.joint_config(fg.GanConfig(), fg.NaturalConfig(latent=(3,)))
    return fg.NaturalGAN.new(site, site.input(IMAGES), config, seed=0)


def test_small_changes_have_not_run_away_whatever_undoes_them(gan: fg.NaturalGAN) -> None:
    assert runaway(gan, IMAGES) is None


def test_large_changes_that_nothing_undoes_have(gan: fg.NaturalGAN) -> None:
    with torch.no_grad():
        gan.generator.directions.mul_(100)
    said = runaway(gan, IMAGES)
    assert said is not None
    assert "Lower natural.generator_rate, as to 0.0001, and" in said


def test_large_changes_that_images_undo_have_not(
    gan: fg.NaturalGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan, "generator", Brighter(gan.site.filters))
    assert runaway(gan, IMAGES) is not None
    monkeypatch.setattr(gan, "transformer", Darker())
    assert runaway(gan, IMAGES) is None


@pytest.mark.parametrize(
    ("rate", "tried", "told"), [(1e-3, 2, False), (1.0, 2, True), (1.0, 3, False)]
)
def test_learning_tells_of_it_unless_it_was_too_short_to_say(
    gan: fg.NaturalGAN,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rate: float,
    tried: int,
    told: bool,
) -> None:
    monkeypatch.setattr("filtergan.natural.runaway.TRIED", tried)
    config = fg.NaturalConfig(
        latent=(3,), steps=2, null_steps=1, generator_rate=rate, average=0.0, decay=False
    )
    fg.learn(gan.site, IMAGES, config)
    assert ("they ran away from the transformer" in capsys.readouterr().err) == told
