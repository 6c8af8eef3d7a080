"""Algorithm 1 as it is written down first: the reference for what speed is worth.

A dense head as in the paper; the network run again on the images wherever responses are needed;
a loop over the samples, each convolved with its filters; optimisers one tensor at a time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import RMSprop

from filtergan.config.fields import GanConfig
from filtergan.game.discriminator import Discriminator
from filtergan.game.generator import Generator
from filtergan.game.objectives import discriminator_loss, generator_loss, information_loss
from filtergan.sites.site import Site


class PlainGame:
    """The three updates of Algorithm 1 on minibatches of images.

    Args:
        site: A site without a bias whose convolution keeps the side.
        images: Training images, from 0 to 1.
        config: Sizes and rates.
    """

    def __init__(self, site: Site, images: Tensor, config: GanConfig) -> None:
        self.site, self.images, self.config = site, images, config
        self.generator = Generator(
            tuple(site.filters.shape), config.latent, config.hidden, "dense"
        ).to(images.device)
        with torch.no_grad():
            real = site.respond(site.input(images[:1000]))
        self.discriminator = Discriminator(
            tuple(real.shape[1:]),
            config.latent,
            config.discriminator_channels,
            config.spectral_norm,
        ).to(images.device)
        self.discriminator.standardise(real)
        trunk, latent = self.discriminator.trunk, self.discriminator.latent
        self.of_d = [*trunk.parameters(), *self.discriminator.score.parameters()]
        self.of_q = [*trunk.parameters(), *latent.parameters()]
        self.of_g = list(self.generator.parameters())
        self.optimisers = {
            "d": _rmsprop(self.of_d, config.discriminator_rate),
            "g": _rmsprop(self.of_g, config.generator_rate),
            "q": _rmsprop(self.of_q, config.information_rate),
            "g of q": _rmsprop(self.of_g, config.information_rate),
        }
        self.step = 0

    def real(self, images: Tensor) -> Tensor:
        """R(I, W)."""
        with torch.no_grad():
            return self.site.respond(self.site.input(images))

    def generated(self, images: Tensor, z: Tensor) -> Tensor:
        """R(I, G(z))."""
        with torch.no_grad():
            inputs = self.site.input(images)
        filters = self.generator(z)
        response = torch.cat(
            [F.conv2d(h[None], f, padding="same") for h, f in zip(inputs, filters, strict=True)]
        )
        if self.site.bias is not None:
            response = response + self.site.bias[:, None, None]
        for operation in self.site.tail:
            response = operation(response)
        return response

    def play(self) -> None:
        """One step."""
        config, device = self.config, self.images.device
        chosen = torch.randint(len(self.images), (config.batch,))
        images, z = self.images[chosen], torch.randn(config.batch, config.latent, device=device)
        left = 1 - self.step / config.steps
        for optimiser in self.optimisers.values():
            group = optimiser.param_groups[0]
            group["lr"] = group["initial_lr"] * (min(1.0, 2 * left) if config.decay else 1.0)

        on_real, _ = self.discriminator(self.real(images))
        on_generated, _ = self.discriminator(self.generated(images, z).detach())
        self._move(("d",), discriminator_loss(on_real, on_generated))

        scores, _ = self.discriminator(self.generated(images, z))
        self._move(("g",), generator_loss(scores, config.loss))

        _, predicted = self.discriminator(self.generated(images, z))
        self._move(("q", "g of q"), config.information * information_loss(z, predicted))
        self.step += 1

    def _move(self, names: tuple[str, ...], loss: Tensor) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        for name in names:
            self.optimisers[name].step()


def _rmsprop(weights: list[nn.Parameter], rate: float) -> RMSprop:
    optimiser = RMSprop(weights, rate, alpha=0.9, foreach=False)
    optimiser.param_groups[0]["initial_lr"] = rate
    return optimiser
