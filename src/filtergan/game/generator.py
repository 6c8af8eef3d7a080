"""Generators: latent z -> all filters of a site."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Generator(nn.Module):
    """Maps z to a set of filters: a learned mean plus what the head makes of z.

    Two heads: `shared`, one small network for all filters, each with a learned embedding that
    gates the trunk, so that weights grow with hidden width times one filter; `dense`, one linear
    layer to all weights as in the paper, which grows with hidden width times the whole site.

    Args:
        shape: [o, i, *k] of the site's filters.
        latent: Dimension of z.
        hidden: Width of the hidden layers.
        head: "shared" or "dense".
        start: Mean filters at the start; by default drawn as torch draws a convolution's, so that
            the generator never sees the real ones.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent: int,
        hidden: int,
        head: str = "shared",
        start: Float[Tensor, "o i *k"] | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.latent, self.head = shape, latent, head
        count, size = shape[0], math.prod(shape[1:])
        self.trunk = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
        )
        if head == "shared":
            self.embedding = nn.Parameter(torch.randn(count, hidden))
            self.decode = nn.Sequential(
                nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, size)
            )
        else:
            self.decode = nn.Linear(hidden, count * size)
        mean = torch.empty(shape)
        nn.init.kaiming_uniform_(mean, a=math.sqrt(5))
        self.mean = nn.Parameter(mean if start is None else start.detach().clone().to(mean))

    def forward(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n o i *k"]:
        """Draw one set of filters for each z."""
        code = self.trunk(z)
        if self.head == "shared":
            code = code[:, None] * self.embedding
        return self.decode(code).reshape(len(z), *self.shape) + self.mean
