"""What reads from two images how far, and where to, z was moved between them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

PLACES = 4  # along each axis, that the last layer sees


class ImageReader(nn.Module):
    """(x, x') -> z' - z, as Q reads z from a response.

    Args:
        colours: Channels of an image.
        latent: Dimension of z.
        channels: Of the first convolution; the second has twice as many.
    """

    def __init__(self, colours: int, latent: int, channels: int = 32) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Conv2d(2 * colours, channels, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(PLACES),
            nn.Flatten(),
            nn.Linear(2 * channels * PLACES**2, 4 * channels),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * channels, latent),
        )

    def forward(
        self, x: Float[Tensor, "n c h w"], x_k: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n latent"]:
        """Estimate z' - z."""
        return self.read(torch.cat([x, x_k - x], dim=1))
