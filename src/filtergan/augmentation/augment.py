"""Augmentation by what a network ignores: x -> T(x, z, z') with random latents."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from filtergan.errors import UserError
from filtergan.images.domain import as_pixels
from filtergan.machine.runtime import derive_seed
from filtergan.natural.natural_gan import NaturalGAN, require_natural

BEYOND = 0.25
"""How far pixels may lie beyond 0 and 1: further than bicubic interpolation puts them, less far
than a normalisation does."""


class InvarianceAugment(nn.Module):
    """Changes images as a change of the filters would have to be undone: T(x, z, z').

    Every image gets latents of its own. At a strength of 1, z and z' are two independent draws of
    the generator; below, the way between them is shorter, and at 0 images stay exactly as they are.

    A module like any other transform of images: behind or before those of kornia, or torchvision's
    v2, on batches at once or on the single images of a `Dataset`, on any device. It takes pixels,
    so it comes before a normalisation; what interpolation before it put a little beyond black or
    white (.25 at most) becomes black or white. It holds T only, neither network nor generator.

    Args:
        gan: Whose transformer moves the images.
        strength: Length of the way from z to z', in that of two independent draws; more than 1
            goes further than what the transformer was trained for.
        latents: Which latents move; None: all.
        generator: Of the latents, on the device of the images; None: torch's own. Every worker of a
            `DataLoader` has another of either, in every pass, as the loader's own `generator` says.
        size: Height and width of the images; None: of those the transformer was trained on. Others
            are moved by as large a part of their sides, as `Transformer.resized` says.

    Raises:
        UserError: The strength is negative, there is no such latent, or images of that size have
            other proportions.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> augment = fg.InvarianceAugment(gan, strength=0.5)
        >>> augment(images).shape
        torch.Size([32, 1, 8, 8])
    """

    moving: Tensor

    def __init__(
        self,
        gan: NaturalGAN,
        strength: float = 1.0,
        latents: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= strength < math.inf:
            raise UserError(f"The strength is {strength:g}; give a number from 0 on.")
        own = range(require_natural(gan).latent)
        chosen = own if latents is None else latents
        unknown = [str(j) for j in chosen if j not in own]
        if unknown or not len(chosen):
            raise UserError(
                f"There is no latent {', '.join(unknown) or 'to move'}; the generator of "
                f"{gan.name} has 0 to {len(own) - 1}."
            )
        own_size = gan.transformer.space.shape[1:]
        self.transformer = gan.transformer.resized(*(size or own_size)).requires_grad_(False)
        nn.utils.convert_conv2d_weight_memory_format(self.transformer, torch.channels_last)  # fast
        self.strength, self.generator = strength, generator
        self._worker: int | None = None  # seed of the loader's worker that the generator is of
        moving = torch.zeros(len(own), device=gan.site.filters.device)
        moving[list(chosen)] = 1
        self.register_buffer("moving", moving)

    def latents(self, n: int) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Latents z and z' of so many images.

        Their middle and their difference are drawn, so that at a strength of 1, with all latents
        moving, both are standard normal and independent.

        Examples:
            >>> import filtergan as fg
            >>> augment = fg.InvarianceAugment(fg.NaturalGAN.load("digits-conv2"), latents=[0, 2])
            >>> z, z_k = augment.latents(5)
            >>> z[:, 1].equal(z_k[:, 1])  # which does not move
            True
        """
        kind = {"device": self.moving.device, "dtype": self.moving.dtype}
        drawn = torch.randn(2, n, len(self.moving), generator=self._stream(), **kind)
        middle, way = drawn * math.sqrt(0.5)
        way = way * self.strength * self.moving
        return middle - way, middle + way

    def _stream(self) -> torch.Generator | None:
        """The generator: in a worker, which has a copy of that of all, one of the worker's own."""
        worker = get_worker_info()
        if self.generator is not None and worker is not None and self._worker != worker.seed:
            self._worker = worker.seed
            own = derive_seed(self.generator.initial_seed(), "worker", worker.seed)
            self.generator.manual_seed(own)
        return self.generator

    def forward(self, images: Tensor, *others: Any) -> Any:
        """Images moved, each along a way of its own.

        Args:
            images: A batch [n, c, h, w] or one image [c, h, w]: pixels in [0, 1], or bytes.
            *others: What comes with them, as labels do in torchvision's `v2.Compose`.

        Returns:
            As many images, of the same kind; where others came, a tuple of the images and those.

        Raises:
            UserError: They have another size than the transformer moves, or are neither pixels nor
                bytes.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> augment = fg.InvarianceAugment(fg.NaturalGAN.load("digits-conv2"))
            >>> moved, labels = augment(torch.rand(5, 1, 8, 8), torch.arange(5))
            >>> moved.shape
            torch.Size([5, 1, 8, 8])
        """
        self.transformer.space.require(images)
        plain = images.as_subclass(Tensor)
        batch = plain if plain.ndim == 4 else plain[None]
        if not len(batch):
            return (images, *others) if others else images
        pixels = as_pixels(batch, BEYOND).to(self.moving.dtype)
        moved = self.transformer(pixels, *self.latents(len(batch)))
        if plain.dtype == torch.uint8:
            moved = moved * 255 + 0.5  # rounded
        moved = moved.to(plain.dtype).reshape(plain.shape).as_subclass(type(images))
        return (moved, *others) if others else moved

    def extra_repr(self) -> str:
        """What `print` shows in the brackets.

        Examples:
            >>> import filtergan as fg
            >>> augment = fg.InvarianceAugment(fg.NaturalGAN.load("digits-conv2"), strength=0.5)
            >>> augment.extra_repr()
            'strength=0.5, latents=[0, 1, 2]'
        """
        moving = self.moving.nonzero().flatten().tolist()
        return f"strength={self.strength:g}, latents={moving}"
