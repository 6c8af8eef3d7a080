"""The public object: a site, its generator and its discriminator."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.discriminator import Discriminator
from filtergan.game.generator import Generator
from filtergan.machine.files import load_tensors, save_tensors
from filtergan.machine.runtime import generator as random_generator
from filtergan.sites.site import Site, untouched

AT_ONCE = 2**26  # weights drawn at once: 256 MiB, of which what uses them makes several copies


class FilterGAN:
    """A generator of a site's filters, with the discriminator and Q that it was trained against.

    Attributes:
        site: The site whose filters are generated.
        generator: z -> filters.
        discriminator: response -> (score, predicted z).
        judged: What the discriminator is shown, `responses` or (an ablation) `filters`.
    """

    def __init__(
        self,
        site: Site,
        generator: Generator,
        discriminator: Discriminator,
        judged: str = "responses",
    ) -> None:
        self.site, self.generator, self.discriminator = site, generator, discriminator
        self.judged = judged

    @classmethod
    def new(
        cls, site: Site, inputs: Float[Tensor, "n i *k"], config: GanConfig, seed: int
    ) -> "FilterGAN":
        """Build an untrained one.

        Args:
            site: The site.
            inputs: Some site inputs, from whose real responses the discriminator takes its scale
                (from the real filters where it judges those).
            config: Sizes and choices.
            seed: Seed of the initial weights; torch's global generator is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape = tuple(site.filters.shape)
            start = site.filters if config.start == "real" else None
            generator = Generator(shape, config.latent, config.hidden, config.head, start)
            with torch.no_grad():
                judges_filters = config.judged == "filters"
                real = as_images(site.filters[None]) if judges_filters else site.respond(inputs)
            discriminator = Discriminator(
                real.cpu(), config.latent, config.discriminator_channels, config.spectral_norm
            )
        device = inputs.device
        return cls(site, generator.to(device), discriminator.to(device), config.judged)

    @property
    def latent(self) -> int:
        """Dimension of z."""
        return self.generator.latent

    @property
    def at_once(self) -> int:
        """Sets of filters to work on at once, so that a large site stays within some GiB."""
        return max(1, AT_ONCE // self.site.filters.numel())

    def latents(self, n: int, seed: int = 0, *parts: str | int) -> Float[Tensor, "n latent"]:
        """Draw n latents from the standard normal, the same for the same seed and parts."""
        z = torch.randn(n, self.latent, generator=random_generator(seed, "latents", *parts))
        return z.to(self.site.filters.device)

    @torch.no_grad()
    def draw(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n o i *k"]:
        """The filters of each z, without gradient."""
        return self.generator(z)

    def respond(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n ..."]:
        """Responses R(h, G(z)), each sample under the filters of its own z (eq. 2)."""
        return self.site.respond(inputs, self.generator(z))

    def shown(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"] | None = None
    ) -> Float[Tensor, "m ..."]:
        """What the discriminator is shown of a minibatch.

        Args:
            inputs: Site inputs h, one for each sample.
            z: A latent for each sample, for what is generated; None for what is real.

        Returns:
            Responses (eq. 2), under G(z) or W. Where filters are judged: those of each z, laid out
            by `as_images`; or the one real set, once, since losses are means over samples, which
            copies of it would not change.
        """
        if self.judged == "responses":
            return self.site.respond(inputs) if z is None else self.respond(inputs, z)
        return as_images(self.site.filters[None] if z is None else self.generator(z))

    @torch.no_grad()
    def predict(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n latent"]:
        """What Q makes of the responses (or filters): its estimate of each z (eq. 3)."""
        # Else a look would move the estimates of spectral normalisation.
        with untouched(self.discriminator):
            return self.discriminator(self.shown(inputs, z))[1]

    def save(self, folder: Path) -> None:
        """Write generator.safetensors and discriminator.safetensors into a folder."""
        for name, part in self._parts():
            save_tensors(folder / f"{name}.safetensors", part.state_dict())

    def load(self, folder: Path) -> "FilterGAN":
        """Read what `save` wrote.

        Raises:
            UserError: A file is missing, damaged, or of another configuration.
        """
        for name, part in self._parts():
            path = folder / f"{name}.safetensors"
            load_weights(part, load_tensors(path), path)
        return self

    def _parts(self) -> list[tuple[str, nn.Module]]:
        return [("generator", self.generator), ("discriminator", self.discriminator)]


def as_images(filters: Float[Tensor, "n o i *k"]) -> Float[Tensor, "n o i positions"]:
    """Sets of filters laid out as the discriminator takes responses: a channel for each filter.

    The plane of a channel has the filter's input channels as rows and the positions of its kernel
    as columns, so that each filter is standardised by its own mean and scale.
    """
    return filters.flatten(3)


def load_weights(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put tensors into a module that they must fit exactly.

    Raises:
        UserError: They do not.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit this configuration; the run directory was changed by hand or "
            "made by another version: run the study again with --overwrite."
        ) from error
