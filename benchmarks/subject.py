"""What is timed: the paper's network on MNIST, its layer conv4, and a generator of its filters."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from filtergan import study
from filtergan.config.presets import preset
from filtergan.game.gan import FilterGAN
from filtergan.sites.site import Site
from filtergan.study.materials import Materials
from filtergan.walks.search import PixelSearch

SITE = "conv4@activation"
KEPT = 5000  # training images, and at most as many test images


@dataclass(frozen=True)
class Subject:
    """A trained network with images, and the trained generator of one site."""

    network: torch.nn.Module
    gan: FilterGAN
    search: PixelSearch
    train: Tensor
    test: Tensor
    labels: Tensor

    @property
    def site(self) -> Site:
        """The site."""
        return self.gan.site


def subject(data: str, out: Path, device: torch.device) -> Subject:
    """Train network and generator by a short study (`ablation`), or take them from its folder."""
    config = preset("ablation").model_copy(update={"data": data, "device": device.type})
    run = study.run(config, out, until="train-gan", resume=out.exists())
    materials = Materials(config)
    materials.load_trained(run)
    images = materials.dataset
    train, test = (s.pixels(slice(KEPT)).to(device) for s in (images.train, images.test))
    search = PixelSearch.measured(train, config.traversal)
    labels = images.test.labels[:KEPT].to(device)
    return Subject(materials.network, materials.gan(SITE, run), search, train, test, labels)
