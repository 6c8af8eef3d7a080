"""The image transformer T(x, z, z') -> x': what undoes, in the image, a change of the filters."""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.images.image_fields import FieldSpace

STEEPNESS = 0.01  # of the fields at the start: T begins at nearly nothing


class Transformer(nn.Module):
    """Moves images by fields that are linear in z' - z.

    Every latent has fields of its own: some common to all images, and some that an encoder makes of
    the image and of where between z and z' it stands. They are added up with weights z' - z, so
    T(x, z, z) is x exactly, and the step back is minus the step wherever the fields are alike.

    Args:
        space: Which fields, on what grid, and how images are changed by them.
        latent: Dimension of z.
        channels: Of the encoder's first convolution; the second has twice as many.
    """

    def __init__(self, space: FieldSpace, latent: int, channels: int = 32) -> None:
        super().__init__()
        self.space, self.latent = space, latent
        self.seen_size = space.shape[1:]
        wide = 2 * channels
        self.encode = nn.Sequential(
            nn.Conv2d(space.shape[0], channels, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, wide, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
        )
        self.place = nn.Linear(latent, 2 * wide)
        self.mix = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1), nn.LeakyReLU(0.2))
        self.decode = nn.Conv2d(wide, latent * space.count, 1, bias=False)
        self.common = nn.Parameter(STEEPNESS * torch.randn(latent, *space.size))
        with torch.no_grad():
            self.decode.weight.normal_(std=STEEPNESS)

    def resized(self, height: int, width: int) -> "Transformer":
        """A copy for images of another size, which moves them by as large a part of their sides.

        A flow of a pixel of 28 is one of 8/28 pixels in images of 8, and the blur is as much
        narrower; gains and offsets, of the brightness of a pixel, are what they are. The encoder
        is shown the images brought to the size that it has learned on (bilinearly); they are
        changed at their own.

        Args:
            height: Of the images, in pixels.
            width: The same; the proportions are to be those of the images that it has learned on.

        Raises:
            UserError: They are others.
        """
        channels, (rows, columns) = self.space.shape[0], self.seen_size
        if min(height, width) < 1 or height * columns != width * rows:
            raise UserError(
                f"Images of {height}x{width} have other proportions than those of {rows}x{columns} "
                "that the transformer has learned on; crop or pad them."
            )
        found = copy.deepcopy(self)
        found.space = replace(self.space, shape=(channels, height, width))
        return found

    def fields(
        self, x: Float[Tensor, "n c h w"], middle: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n latent m g g"]:
        """The coefficients of every latent's fields.

        Args:
            x: Images, pixels in [0, 1].
            middle: (z + z') / 2, so that a step and the step back have the same fields.
        """
        if x.shape[2:] != self.seen_size:
            x = F.interpolate(x, self.seen_size, mode="bilinear", antialias=True)
        scale, shift = self.place(middle)[..., None, None].chunk(2, dim=1)
        seen, grid = self.encode(x), self.space.size[1:]
        if seen.shape[2:] != grid:  # else it changes nothing, and takes a sixth of all time
            seen = F.adaptive_avg_pool2d(seen, grid)
        code = self.mix(seen * (1 + scale) + shift)
        own = self.decode(code).unflatten(1, (self.latent, self.space.count))
        return own + self.common

    def coefficients(
        self,
        x: Float[Tensor, "n c h w"],
        z: Float[Tensor, "n latent"],
        z_k: Float[Tensor, "n latent"],
    ) -> Float[Tensor, "n m g g"]:
        """What the fields add up to on the way from z to z'."""
        return torch.einsum("nj,njmgh->nmgh", z_k - z, self.fields(x, (z + z_k) / 2))

    def drawn(
        self,
        x: Float[Tensor, "n c h w"],
        z: Float[Tensor, "n latent"],
        z_k: Float[Tensor, "n latent"],
    ) -> dict[str, Float[Tensor, "n k h w"]]:
        """The fields on the way from z to z', at every pixel, as `FieldSpace.drawn` gives them."""
        return self.space.drawn(self.coefficients(x, z, z_k))

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        z: Float[Tensor, "n latent"],
        z_k: Float[Tensor, "n latent"],
    ) -> Float[Tensor, "n c h w"]:
        """T(x, z, z'): images whose response under G(z') is to be that of x under G(z).

        Raises:
            UserError: The images are of another shape than those that it moves.
        """
        self.space.require(x)
        return self.space.apply(x, self.coefficients(x, z, z_k))
