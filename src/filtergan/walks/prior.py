"""The natural-image prior of Mahendran & Vedaldi, scaled by the user's own data (eq. 7)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.images.domain import as_pixels
from filtergan.machine.storage import RowsLike, batches, rows_of

ALPHA = 6  # exponent of the norm, Mahendran & Vedaldi's
AT_ONCE = 1000  # images read at once to take the scales


def squared_gradient(images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """Mean over pixels of the squared length of the gradient, summed over channels.

    Of forward differences; there are none beyond the last row and column. It is their total
    variation with an exponent of 2.
    """
    down, right = (torch.diff(images, dim=axis).square().sum((1, 2, 3)) for axis in (2, 3))
    return (down + right) / images[0, 0].numel()


@dataclass(frozen=True)
class NaturalImagePrior:
    """Psi = lambda_alpha R_alpha + lambda_V R_TV, each regulariser about 1 on real data.

    Attributes:
        norm: B, such that mean (|x_p| / B)^6 is 1 on the data; |x_p| over channels.
        variation: V^2, the mean squared gradient of the data, summed over channels.
        alpha_weight: lambda_alpha.
        variation_weight: lambda_V.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> prior = fg.NaturalImagePrior.measured(images, 0.001, 0.001)
        >>> prior(images).mean()  # each term is 1 on the images that it was measured on
        tensor(0.0020)
    """

    norm: float
    variation: float
    alpha_weight: float
    variation_weight: float

    @classmethod
    def measured(
        cls, images: RowsLike, alpha_weight: float, variation_weight: float
    ) -> "NaturalImagePrior":
        """Take both scales from images [n, c, h, w], as `rows_of` makes rows, pixels in [0, 1].

        Raises:
            UserError: They are no pixels in [0, 1].

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> fg.NaturalImagePrior.measured(torch.rand(32, 1, 8, 8), 0.001, 0.002)
            NaturalImagePrior(norm ... by 0.001, variation ... by 0.002)
        """
        rows, power, variation = rows_of(images), 0.0, 0.0
        for part in batches(len(rows), AT_ONCE):
            pixels = as_pixels(rows[part])
            share = len(pixels) / len(rows)
            power += share * float(pixels.square().sum(1).pow(ALPHA / 2).mean())
            variation += share * float(squared_gradient(pixels).mean())
        tiny = 1e-12  # constant images have no variation to scale by
        return cls(
            power ** (1 / ALPHA) + tiny,
            variation + tiny,
            alpha_weight,
            variation_weight,
        )

    def __repr__(self) -> str:
        """Scales and weights."""
        norm = f"norm {self.norm:.3g} by {self.alpha_weight:g}"
        variation = f"variation {self.variation:.3g} by {self.variation_weight:g}"
        return f"NaturalImagePrior({norm}, {variation})"

    def norm_term(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """R_alpha: mean over pixels of (|x_p| / B)^6.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(32, 1, 8, 8)
            >>> prior = fg.NaturalImagePrior.measured(images, 0.001, 0.002)
            >>> round(float(prior.norm_term(images).mean()), 3)
            1.0
        """
        return (images.square().sum(1) / self.norm**2).pow(ALPHA / 2).mean((1, 2))

    def variation_term(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """R_TV: mean over pixels of |grad x|^2 / V^2.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> images = torch.rand(32, 1, 8, 8)
            >>> prior = fg.NaturalImagePrior.measured(images, 0.001, 0.002)
            >>> round(float(prior.variation_term(images).mean()), 3)
            1.0
        """
        return squared_gradient(images) / self.variation

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Psi of each image."""
        norm, variation = self.norm_term(images), self.variation_term(images)
        return self.alpha_weight * norm + self.variation_weight * variation
