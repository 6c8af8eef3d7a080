"""Small generators to be handed on, and what their folders hold then."""

from pathlib import Path

import torch
from torch import nn

import filtergan as fg
from filtergan.classifiers import networks
from filtergan.config.fields import CnnConfig

GAN = fg.GanConfig(latent=3, hidden=8, discriminator_channels=4)
NATURAL = fg.NaturalConfig(latent=(3,), channels=4, grid=3)
IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PLAIN = {"filtergan.json", "generator.safetensors", "discriminator.safetensors"}
SHARED = {*PLAIN, "network.safetensors", "README.md"}


def network_of(architecture: str = "paper", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    values = {"architecture": architecture, "channels": (4, 5), "pool_after": (1,)}
    network = networks.make(CnnConfig.model_validate(values), (1, 8, 8), 3)
    network(IMAGES)  # so that batch norm has statistics of its own
    return network.eval()


def gan_of(network: nn.Module, layer: str = "conv2", natural: bool = False) -> fg.FilterGAN:
    site = fg.Site(network, layer, IMAGES[:2])
    inputs = site.input(IMAGES)
    if natural:
        return fg.NaturalGAN.new(site, inputs, fg.joint_config(GAN, NATURAL), 4)
    return fg.FilterGAN.new(site, inputs, GAN, 4)


def own_network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}
