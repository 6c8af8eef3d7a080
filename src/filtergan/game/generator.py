"""Generators: latent z -> all filters of a site."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.errors import UserError

FIRST = 0.03  # length of a direction at the start, over that of the mean filters


def paired(z: Float[Tensor, "n latent"]) -> Float[Tensor, "n latent"]:
    """Antithetic latents: the first half of some, and their negatives.

    Raises:
        UserError: Their number is odd.
    """
    if len(z) % 2:
        raise UserError(f"Antithetic draws come in pairs, z and -z; {len(z)} is odd.")
    half = z[: len(z) // 2]
    return torch.cat([half, -half])


class Generator(nn.Module):
    """Maps z to a set of filters: a learned mean plus what the head makes of z.

    Three heads: `shared`, one small network for all filters, each with a learned embedding that
    gates the trunk, so that weights grow with hidden width times one filter; `dense`, one linear
    layer to all weights as in the paper, which grows with hidden width times the whole site;
    `directed`, the shared one, which begins at nothing, and a direction of all filters for every
    latent, along which z moves them from the start.

    Args:
        shape: [o, i, *k] of the site's filters.
        latent: Dimension of z.
        hidden: Width of the hidden layers.
        head: "shared", "dense" or "directed".
        start: Mean filters at the start; by default drawn as torch draws a convolution's, so that
            the generator never sees the real ones.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> fg.Generator((8, 4, 3, 3), latent=3, hidden=16)(torch.randn(5, 3)).shape
        torch.Size([5, 8, 4, 3, 3])
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
        if head == "dense":
            self.decode = nn.Linear(hidden, count * size)
        else:
            self.embedding = nn.Parameter(torch.randn(count, hidden))
            last = nn.Linear(hidden, size)
            self.decode = nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), last)
            if head == "directed":
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        mean = torch.empty(shape)
        nn.init.kaiming_uniform_(mean, a=math.sqrt(5))
        self.mean = nn.Parameter(mean if start is None else start.detach().clone().to(mean))
        if head == "directed":
            length = FIRST * self.mean.detach().square().mean().sqrt()
            self.directions = nn.Parameter(length * torch.randn(latent, *shape))

    def forward(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n o i *k"]:
        """Draw one set of filters for each z.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> generator = fg.Generator((8, 4, 3, 3), latent=3, hidden=16)
            >>> generator(torch.zeros(2, 3)).shape
            torch.Size([2, 8, 4, 3, 3])
        """
        code = self.trunk(z)
        if self.head != "dense":
            code = code[:, None] * self.embedding
        filters = self.decode(code).reshape(len(z), *self.shape) + self.mean
        if self.head == "directed":
            filters = filters + torch.tensordot(z, self.directions, dims=1)
        return filters
