"""The object of the natural recipe: a `FilterGAN` with the transformer that undoes it."""

import os
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, JointConfig
from filtergan.config.natural_fields import NaturalConfig
from filtergan.config.site_names import NATURAL, Recipe
from filtergan.errors import UserError
from filtergan.game.description import FILE
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.images.domain import as_pixels
from filtergan.images.image_fields import FieldSpace
from filtergan.machine.distributed import lead
from filtergan.natural.readers import ImageReader
from filtergan.natural.transformer import Transformer
from filtergan.sites.site import Site

BATCH = 256  # images transformed at once
NULL = "null"
"""Folder of the null, within that of the generator."""
Made = TypeVar("Made", bound="NaturalGAN")


class NaturalGAN(FilterGAN):
    """A `FilterGAN` with an image transformer T that undoes its changes of filters.

    Attributes:
        transformer: T(x, z, z') -> x', whose response under G(z') is to be that of x under G(z).
        reader: (x, x') -> z' - z.
        null: Random directions of the filters, with a transformer trained alike, beside which all
            that this one does is to be read; None: it has none.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> z, z_k = gan.latents(32, seed=1), gan.latents(32, seed=2)
        >>> gan.transform(images, z, z_k).shape
        torch.Size([32, 1, 8, 8])
    """

    config: JointConfig
    recipe: ClassVar[Recipe] = NATURAL
    meaning = (
        "Together with it an image transformer T(x, z, z') was trained, which changes an image so "
        "that the filters of z' make of the changed one what those of z made of x. What T undoes "
        "so, the network does not notice; how much that is, a study measures."
    )
    example = (
        "z, z_k = gan.latents(2).split(1)\n"
        "x_k = gan.transform(x, z, z_k)  # of an image x [1, c, h, w], the one that undoes z -> z_k"
    )

    def __init__(
        self,
        site: Site,
        generator: Generator,
        discriminator: Discriminator,
        config: JointConfig,
        transformer: Transformer,
        reader: ImageReader,
    ) -> None:
        super().__init__(site, generator, discriminator, config)
        self.transformer, self.reader = transformer, reader
        self.null: NaturalGAN | None = None

    @classmethod
    def built(
        cls: type[Made],
        site: Site,
        config: GanConfig,
        response: tuple[int, ...],
        start: Float[Tensor, "o i *k"] | None = None,
    ) -> Made:
        """Build one from shapes, as `FilterGAN.built` does.

        Raises:
            UserError: The config is that of a generator without a transformer.

        Examples:
            >>> import filtergan as fg
            >>> site = fg.NaturalGAN.load("digits-conv2").site
            >>> config = fg.joint_config(fg.GanConfig(), fg.NaturalConfig(latent=(4,)))
            >>> fg.NaturalGAN.built(site, config, response=(8, 8, 8)).latent
            4
        """
        if not isinstance(config, JointConfig):
            raise UserError(
                "By this config a generator has no transformer, as by the paper's recipe: load it "
                "with FilterGAN, or make another config with `joint_config`."
            )
        plain, natural = FilterGAN.built(site, config, response, start), config.natural
        space = space_of(site, natural)
        transformer = Transformer(space, config.latent, natural.channels)
        reader = ImageReader(space.shape[0], config.latent, natural.channels)
        return cls(site, plain.generator, plain.discriminator, config, transformer, reader)

    @torch.no_grad()
    def transform(
        self,
        x: Shaped[Tensor, "n c h w"],
        z: Float[Tensor, "n latent"],
        z_k: Float[Tensor, "n latent"],
    ) -> Float[Tensor, "n c h w"]:
        """T(x, z, z'), without gradient.

        Args:
            x: Images, pixels in [0, 1] or bytes, on the device of the site.
            z: The latent whose filters saw x.
            z_k: That whose filters are to see the result.

        Raises:
            UserError: The images are no pixels, or of another shape than those T was trained on.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> z, z_k = gan.latents(5, seed=1), gan.latents(5, seed=2)
            >>> gan.transform(torch.rand(5, 1, 8, 8), z, z_k).shape
            torch.Size([5, 1, 8, 8])
        """
        x = as_pixels(x)
        parts = zip(x.split(BATCH), z.split(BATCH), z_k.split(BATCH), strict=True)
        return torch.cat([self.transformer(*part) for part in parts])

    def save(self, folder: str | os.PathLike[str], *, network: bool = False) -> None:
        """Write it as `FilterGAN.save` does, and its null into a folder within.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan.save("kept-natural")
            >>> fg.NaturalGAN.load("kept-natural", gan.whole_network).draw(2).equal(gan.draw(2))
            True
        """
        super().save(folder, network=network)
        null = Path(folder) / NULL
        if self.null is not None:
            self.null.save(null)
        else:  # what may lie there is another's
            lead(lambda: (null / FILE).unlink(missing_ok=True))

    @classmethod
    def load(
        cls: type[Made],
        folder: str | os.PathLike[str],
        network: nn.Module | None = None,
        *,
        device: str = "auto",
    ) -> Made:
        """Read what `save` wrote, as `FilterGAN.load` does, with its null where there is one.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan, gan.null is not None
            (NaturalGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3), True)
        """
        gan, null = super().load(folder, network, device=device), Path(folder) / NULL
        if lead((null / FILE).is_file):
            gan.null = cls.load(null, gan.whole_network)
        return gan

    def _parts(self) -> list[tuple[str, nn.Module]]:
        more: list[tuple[str, nn.Module]] = [
            ("transformer", self.transformer),
            ("reader", self.reader),
        ]
        return super()._parts() + more


def require_natural(gan: FilterGAN) -> NaturalGAN:
    """A generator that has a transformer.

    Raises:
        UserError: It has none.
    """
    if isinstance(gan, NaturalGAN):
        return gan
    raise UserError(
        f"The generator of {gan.name} has no transformer, which `learn` and the natural recipe "
        "train with it."
    )


def null_of(gan: FilterGAN) -> NaturalGAN:
    """Its null.

    Raises:
        UserError: It has none.
    """
    gan = require_natural(gan)
    if gan.null is None:
        raise UserError(
            f"The generator of {gan.name} has no null beside which its numbers could be read; "
            "`learn` trains both, and `save` keeps both in one folder."
        )
    return gan.null


def space_of(site: Site, config: NaturalConfig) -> FieldSpace:
    """The fields that images of a site are changed by.

    Raises:
        UserError: The network takes no images [c, h, w].
    """
    if len(site.image_shape) != 3:
        raise UserError(
            f"The natural recipe moves images [c, h, w]; this network takes {site.image_shape}. "
            "Study it by the paper's recipe."
        )
    c, h, w = site.image_shape
    return FieldSpace((c, h, w), config.fields, config.grid)
