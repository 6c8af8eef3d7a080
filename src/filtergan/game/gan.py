"""The public object: a site, its generator and its discriminator."""

import os
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.classifiers import saving
from filtergan.config.fields import GanConfig, Shown
from filtergan.config.site_names import PAPER, Recipe, SiteName
from filtergan.errors import UserError
from filtergan.game.description import Description
from filtergan.game.discriminator import Discriminator
from filtergan.game.generator import Generator, paired
from filtergan.game.sharing import Shared
from filtergan.machine import runtime
from filtergan.machine.files import load_tensors, load_weights, save_tensors, sha256
from filtergan.machine.provenance import versions
from filtergan.machine.runtime import generator as random_generator
from filtergan.sites.site import Site
from filtergan.sites.wrappers import fingerprint, untouched

AT_ONCE = 2**26  # weights drawn at once: 256 MiB, of which what uses them makes several copies
Made = TypeVar("Made", bound="FilterGAN")


class FilterGAN(Shared):
    """A generator of a site's filters, with the discriminator and Q that it was trained against.

    Attributes:
        site: The site whose filters are generated.
        generator: z -> filters.
        discriminator: response -> (score, predicted z).
        config: Sizes and choices of both.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.train(site, site.input(images), fg.GanConfig(latent=3, steps=2))
        >>> gan.draw(10).shape  # ten sets of filters
        torch.Size([10, 8, 8, 3, 3])
    """

    shows: ClassVar[Shown] = "responses"
    recipe: ClassVar[Recipe] = PAPER
    meaning: ClassVar[str] = (
        "Filters are judged by the responses that they cause, never directly: a discriminator was "
        "shown these and the responses of the real ones, and also has to tell z from them."
    )

    def __init__(
        self, site: Site, generator: Generator, discriminator: Discriminator, config: GanConfig
    ) -> None:
        self.site, self.generator, self.discriminator = site, generator, discriminator
        self.config = config

    def __repr__(self) -> str:
        """Its site, and the dimension of z."""
        return f"{type(self).__name__}({self.site!r}, latent {self.latent})"

    @classmethod
    def new(
        cls: type[Made], site: Site, inputs: Float[Tensor, "n i *k"], config: GanConfig, seed: int
    ) -> Made:
        """Build an untrained one.

        Args:
            site: The site.
            inputs: Some site inputs, from whose real responses the discriminator takes its scale.
            config: Sizes and choices.
            seed: Seed of the initial weights; torch's global generator is left as it was.

        Raises:
            UserError: As for `built`.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> inputs = gan.site.input(torch.rand(32, 1, 8, 8))
            >>> fg.FilterGAN.new(gan.site, inputs, fg.GanConfig(latent=3), seed=0)
            FilterGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3)
        """
        with torch.no_grad():
            real = cls.real(site, inputs).cpu()
        start = site.filters if config.start == "real" else None
        with runtime.own_randomness(seed):
            gan = cls.built(site, config, tuple(real.shape[1:]), start)
        gan.discriminator.standardise(real)
        return gan._to(inputs.device)

    @classmethod
    def built(
        cls: type[Made],
        site: Site,
        config: GanConfig,
        response: tuple[int, ...],
        start: Float[Tensor, "o i *k"] | None = None,
    ) -> Made:
        """Build one from shapes, on torch's default device, its weights of torch's own generator.

        Args:
            site: The site.
            config: Sizes and choices.
            response: Shape of one response, which the discriminator takes as it is: unlike `new`,
                this does not know how real ones are scaled.
            start: Mean filters at the start; by default at random.

        Raises:
            UserError: The network computes in other numbers than torch's default, float32.

        Examples:
            >>> import filtergan as fg
            >>> site = fg.NaturalGAN.load("digits-conv2").site
            >>> fg.FilterGAN.built(site, fg.GanConfig(latent=3), response=(8, 8, 8))
            FilterGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3)
        """
        shape, kind = tuple(site.filters.shape), torch.get_default_dtype()
        if site.filters.dtype is not kind:
            raise UserError(
                f"The network computes in {site.filters.dtype}, but filters are generated in "
                f"{kind}; bring it to that first, as in network.to({kind})."
            )
        generator = Generator(shape, config.latent, config.hidden, config.head, start)
        discriminator = Discriminator(
            response, config.latent, config.discriminator_channels, config.spectral_norm
        )
        return cls(site, generator, discriminator, config)

    @property
    def name(self) -> SiteName:
        """Its site's, and its recipe.

        Examples:
            >>> import filtergan as fg
            >>> print(fg.NaturalGAN.load("digits-conv2").name)
            conv2@activation/natural
        """
        return self.site.name.under(self.recipe)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what was trained, each of which `save` writes to a file of that name.

        Examples:
            >>> import filtergan as fg
            >>> fg.NaturalGAN.load("digits-conv2").parts
            ('generator', 'discriminator', 'transformer', 'reader')
        """
        return tuple(name for name, _ in self._parts())

    @property
    def whole_network(self) -> nn.Module:
        """The network as it was handed over: the `Classifier`, where it came in one.

        Examples:
            >>> import filtergan as fg
            >>> type(fg.NaturalGAN.load("digits-conv2").whole_network).__name__
            'Classifier'
        """
        return self.site.classifier or self.site.network

    @property
    def latent(self) -> int:
        """Dimension of z.

        Examples:
            >>> import filtergan as fg
            >>> fg.NaturalGAN.load("digits-conv2").latent
            3
        """
        return self.generator.latent

    @property
    def at_once(self) -> int:
        """Sets of filters to work on at once, so that a large site stays within some GiB.

        Examples:
            >>> import filtergan as fg
            >>> fg.NaturalGAN.load("digits-conv2").at_once  # of 8x8x3x3 weights each
            116508
        """
        return max(1, AT_ONCE // self.site.filters.numel())

    def latents(
        self, n: int, seed: int = 0, *parts: str | int, antithetic: bool = False
    ) -> Float[Tensor, "n latent"]:
        """Draw n latents from the standard normal, the same for the same seed and parts.

        Args:
            n: How many.
            seed: Of the draws.
            *parts: What they are for.
            antithetic: In pairs: behind the first half stand their negatives, so that the mean
                over all is zero.

        Raises:
            UserError: An odd number is to be in pairs.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")
            >>> gan.latents(5).shape
            torch.Size([5, 3])
        """
        z = torch.randn(n, self.latent, generator=random_generator(seed, "latents", *parts))
        return (paired(z) if antithetic else z).to(self.site.filters.device)

    @torch.no_grad()
    def draw(self, z: Float[Tensor, "n latent"] | int, seed: int = 0) -> Float[Tensor, "n o i *k"]:
        """The filters of each z, without gradient.

        Args:
            z: Latents; or how many to draw, those that `latents` gives for the seed.
            seed: Of these; the same seed gives the same filters.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")
            >>> gan.draw(5).shape[:1]
            torch.Size([5])
        """
        return self.generator(self.latents(z, seed) if isinstance(z, int) else z)

    def respond(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n ..."]:
        """Responses R(h, G(z)), each sample under the filters of its own z (eq. 2).

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> inputs = gan.site.input(torch.rand(5, 1, 8, 8))
            >>> gan.respond(inputs, gan.latents(5)).shape
            torch.Size([5, 8, 8, 8])
        """
        return self.site.respond(inputs, self.generator(z))

    @staticmethod
    def real(site: Site, inputs: Float[Tensor, "n i *k"]) -> Float[Tensor, "m ..."]:
        """What the discriminator is to take for real: responses under W (eq. 2).

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> fg.FilterGAN.real(gan.site, gan.site.input(torch.rand(5, 1, 8, 8))).shape
            torch.Size([5, 8, 8, 8])
        """
        return site.respond(inputs)

    def shown(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"] | None = None
    ) -> Float[Tensor, "m ..."]:
        """What the discriminator is shown of a minibatch: responses (eq. 2).

        Args:
            inputs: Site inputs h, one for each sample.
            z: A latent for each sample, for what is generated; None for what is real.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan.shown(gan.site.input(torch.rand(5, 1, 8, 8)), gan.latents(5)).shape
            torch.Size([5, 8, 8, 8])
        """
        return self.real(self.site, inputs) if z is None else self.respond(inputs, z)

    @torch.no_grad()
    def predict(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n latent"]:
        """What Q makes of the responses: its estimate of each z (eq. 3).

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan.predict(gan.site.input(torch.rand(5, 1, 8, 8)), gan.latents(5)).shape
            torch.Size([5, 3])
        """
        # Else a look would move the estimates of spectral normalisation.
        with untouched(self.discriminator):
            return self.discriminator(self.shown(inputs, z))[1]

    def save(self, folder: str | os.PathLike[str], *, network: bool = False) -> None:
        """Write weights, and filtergan.json with all else that `load` needs, into a folder.

        Args:
            folder: The folder.
            network: Whether the network goes along, which must be one of this package's kinds.

        Raises:
            UserError: A file could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")
            >>> gan.save("kept", network=True)
        """
        folder = Path(folder)
        weights: dict[str, str] = {}
        for name, part in self._parts():
            path = folder / f"{name}.safetensors"
            save_tensors(path, part.state_dict())
            weights[path.name] = sha256(path)
        if network:
            saving.save_network(folder / saving.FILE, self.whole_network)
            weights[saving.FILE] = sha256(folder / saving.FILE)
        Description(
            filtergan=versions().get("filtergan", "unknown"),
            network=fingerprint(self.whole_network),
            image=self.site.image_shape,
            layer=self.site.layer,
            point=self.site.point,
            filters=tuple(self.site.filters.shape),
            shows=self.shows,
            response=self.discriminator.shape,
            convolution=self.site.backend,
            config=self.config,
            weights=weights,
        ).save(folder)

    @classmethod
    def load(
        cls: type[Made],
        folder: str | os.PathLike[str],
        network: nn.Module | None = None,
        *,
        device: str = "auto",
    ) -> Made:
        """Read what `save` wrote, on the network's device.

        Args:
            folder: The folder.
            network: The network that it was trained for, with the same weights; by default the one
                in the folder.
            device: Where the one in the folder is to lie: auto, cpu, cuda, or one as in cuda:1.

        Raises:
            UserError: A file is missing, damaged or of a newer version; or the network is another,
                or none is given and none is there.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan.latent
            3
        """
        folder = Path(folder)
        said = Description.load(folder)
        if network is None:
            if saving.FILE not in said.weights:
                raise UserError(
                    f"{folder} does not hold the network that its generator is for (whose SHA-256 "
                    f"begins with {said.network[:8]}); give it with network=... ."
                )
            file = said.checked(folder / saving.FILE)
            network = saving.load_network(file, runtime.device(device))
        if said.network != fingerprint(network):
            raise UserError(
                f"{folder} holds a generator for another network, or for other weights or another "
                f"normalisation of this one (SHA-256 began with {said.network[:8]}); load that "
                "network first."
            )
        if said.shows != cls.shows:
            raise UserError(
                f"The discriminator in {folder} was shown {said.shows}, not {cls.shows}; that is "
                "an ablation, whose object is in filtergan.game.ablated."
            )
        site = Site.of_shape(network, said.layer, said.image, said.point)
        site.backend = said.convolution
        with runtime.own_randomness(0):  # of weights that are replaced
            gan = cls.built(site, said.config, said.response)
        for name, part in gan._parts():
            path = said.checked(folder / f"{name}.safetensors")
            load_weights(part, load_tensors(path), path)
        return gan._to(site.filters.device)

    def _parts(self) -> list[tuple[str, nn.Module]]:
        return [("generator", self.generator), ("discriminator", self.discriminator)]

    def _to(self: Made, device: torch.device) -> Made:
        for _, part in self._parts():
            part.to(device)
        return self
