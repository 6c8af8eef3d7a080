"""Filters of known effect, so that the images which keep their profiles are known too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.sites.site import Site
from filtergan.walks.points import latent_grid
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import gaussian_blur

NO_PRIOR = NaturalImagePrior(1.0, 1.0, 0.0, 0.0)


class Planted(Generator):
    """Filters of known effect: z0 scales by exp(z0), z1 moves them by so many pixels.

    So the image that keeps its profile is the image times exp(-z0), moved the other way.
    """

    def __init__(self, filters: Tensor) -> None:
        o, i, kh, kw = filters.shape
        super().__init__((o, i, kh, kw), latent=2, hidden=1)
        self.real = filters

    def forward(self, z: Tensor) -> Tensor:
        moved = [torch.roll(self.real, round(float(shift)), dims=3) for _, shift in z]
        return torch.stack(moved) * z[:, 0].exp()[:, None, None, None, None]


def planted(point: str = "activation") -> FilterGAN:
    """A convolution whose 3x3 filters stand in the middle of 5x5, so that they can move."""
    rng = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(1, 8, 5, padding=2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.zero_()[..., 1:4, 1:4] = torch.randn(8, 1, 3, 3, generator=rng)
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 144, 3).double())
    site = Site(network, "0", smooth_images(1), point)
    real = site.respond(site.input(smooth_images(8)))
    discriminator = Discriminator(tuple(real.shape[1:]), latent=2, channels=4)
    return FilterGAN(site, Planted(site.filters), discriminator, GanConfig(latent=2))


def smooth_images(n: int) -> Tensor:
    """Images of 12x12 from 0 to 0.6, dark at the border."""
    noise = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    x = gaussian_blur(F.pad(noise, (2, 2, 2, 2)), 0.6)
    x = x * F.pad(torch.ones(1, 1, 8, 8), (2, 2, 2, 2))
    return 0.6 * x / x.amax((1, 2, 3), keepdim=True)


def grids_of(z: Tensor, extent: float, side: int) -> Tensor:
    offsets = torch.linspace(-extent, extent, side)
    return torch.stack([latent_grid(one, (0, 1), offsets) for one in z])
