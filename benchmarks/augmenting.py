"""Images moved by `InvarianceAugment` in a second, beside the transformer's pass itself."""

from typing import Any

import torch
from timing import Times

from filtergan.augmentation.augment import InvarianceAugment
from filtergan.classifiers.networks import PaperCNN
from filtergan.config.fields import joint_config
from filtergan.config.presets import preset
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.site import Site

BATCH = 512
SHAPE = (1, 28, 28)


def run(device: torch.device) -> dict[str, Any]:
    """Of MNIST's size, by a transformer as the preset has it; what it learned changes no time."""
    config = preset("mnist")
    torch.manual_seed(0)
    images = torch.rand(BATCH, *SHAPE, device=device)
    site = Site(PaperCNN(config.cnn, SHAPE, 10).to(device), "conv4", images)
    chosen = joint_config(config.gan, config.natural)
    gan = NaturalGAN.new(site, site.input(images), chosen, 0)
    augment = InvarianceAugment(gan)
    z, z_k = augment.latents(BATCH)

    def passed() -> None:
        with torch.no_grad():
            augment.transformer(images, z, z_k)

    times = Times({"augment": lambda: augment(images), "pass": passed})
    return {
        "batch": BATCH,
        "seconds": times.of("augment").as_record(),
        "over_pass": times.ratio("augment", "pass").as_record(),
    }
