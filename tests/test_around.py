"""Sites around which the convolution acts as well: what drawn filters do there, and pooling."""

import pytest
import torch
from networks import images
from test_pooling import CPU, dataset, draws
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.natural.joint import JointGame
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.pairs import Pairs
from filtergan.natural.terms import logits_loss
from filtergan.pooling.pool import FilterPool2d
from filtergan.pooling.retraining import draw_accuracy
from filtergan.sites.site import Site


class Around(nn.Module):
    """The first block of a network whose activations come before its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()
        self.next, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.stem(x)
        return self.fc((shortcut + self.next(self.relu(shortcut))).mean((2, 3)))


@pytest.fixture
def site() -> Site:
    torch.manual_seed(0)
    return Site(Around().eval().requires_grad_(False), "stem", images(2))


def test_what_goes_another_way_is_not_pooled(site: Site) -> None:
    with pytest.raises(UserError, match="also goes another way"):
        FilterPool2d.into(site, draws(site))
    whole = Site(site.network, "stem", images(2), "conv")
    x = images(5)
    with torch.no_grad():
        pooled = FilterPool2d.into(whole, whole.filters[None])(x)
        torch.testing.assert_close(pooled, site.network(x))


def test_single_draws_take_the_place_of_all_that_the_filters_do(site: Site) -> None:
    pixels, labels = dataset(60)
    filters, x = 3 * draws(site, 5), to_float(pixels)
    got = draw_accuracy(site, pixels, labels, filters, device=CPU).single
    with torch.no_grad():
        for one, right in zip(filters, got, strict=True):
            assert torch.equal(site.output(x, filters=one).argmax(1) == labels, right)


def test_what_the_training_asks_of_draws_is_what_they_do(site: Site) -> None:
    x = images(12)
    natural = NaturalConfig(latent=(2,), pairs=3, pair_images=4, channels=4, grid=3, draws=1.0)
    gan = NaturalGAN.new(site, site.input(x), joint_config(GanConfig(), natural), 0)
    gan.generator.directions.data.mul_(30)
    z, z_k = gan.latents(3, 1), gan.latents(3, 2)
    pairs, game = Pairs(x, z, z_k, 1.0), JointGame(gan, 0)
    with torch.no_grad():
        found = float(game._asked(pairs, game._undo(pairs)[1])["draws"])
        known = site.output(x)
        drawn = site.output(x, filters=gan.draw(z_k).repeat_interleave(4, 0))
    unit = float((known - known.mean(1, keepdim=True)).square().sum(1).mean())
    assert found == pytest.approx(float(logits_loss(known, drawn)) / unit, rel=1e-4)
    assert found > 0.005
