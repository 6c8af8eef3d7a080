"""The discriminator: response -> (score, predicted latent), with no batch norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from filtergan.errors import UserError


class Discriminator(nn.Module):
    """Tells real responses from generated ones; Q shares all its layers but the last (section 2).

    Responses are first standardised per channel by what real ones were measured to be
    (`standardise`), so that rates do not depend on the scale of a network's activations.

    Args:
        shape: Of one response: [c], [c, l], [c, h, w] or [c, d, h, w]. The first dimension counts
            as channels, whatever it is (of tokens [l, c], the tokens).
        latent: Dimension of z.
        channels: Filters of the first convolution; the second has twice as many.
        spectral: Spectral normalisation of all layers but Q's last.

    Raises:
        UserError: A response has another number of dimensions.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> scores, latents = fg.Discriminator((8, 7, 7), latent=3)(torch.rand(5, 8, 7, 7))
        >>> scores.shape, latents.shape
        (torch.Size([5]), torch.Size([5, 3]))
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, shape: tuple[int, ...], latent: int, channels: int = 64, spectral: bool = False
    ) -> None:
        super().__init__()
        self.shape = shape
        if not 1 <= len(shape) <= 4:
            raise UserError(
                f"A response of {list(shape)} per image is not channels and at most three "
                "dimensions of space; choose another response point."
            )
        width, *space = shape
        keep = (width, *(1 for _ in space))
        self.register_buffer("mean", torch.zeros(keep))
        self.register_buffer("scale", torch.ones(keep))

        norm = spectral_norm if spectral else (lambda layer: layer)
        layers: list[nn.Module] = []
        side = min(space, default=0)
        if side:
            # Strides bring large responses down to a few positions; small ones keep theirs once.
            plan = [(channels, 2 if side > 8 else 1), (2 * channels, 2 if side > 1 else 1)]
            side = -(-side // (plan[0][1] * plan[1][1]))
            while side > 4:
                plan.append((2 * channels, 2))
                side = -(-side // 2)
            convolution = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}[len(shape)]
            for out, stride in plan:
                layers += [norm(convolution(width, out, 3, stride, padding=1)), nn.LeakyReLU(0.2)]
                width = out
        layers.append(nn.Flatten())
        with torch.no_grad():
            size = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1]
        layers += [norm(nn.Linear(size, 4 * channels)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.score = norm(nn.Linear(4 * channels, 1))
        self.latent = nn.Linear(4 * channels, latent)

    @torch.no_grad()
    def standardise(self, real: Float[Tensor, "n c *k"]) -> None:
        """Take mean and scale of every channel from real responses.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> discriminator = fg.Discriminator((8, 7, 7), latent=3)
            >>> discriminator.standardise(torch.full((5, 8, 7, 7), 2.0))
            >>> discriminator.mean.flatten()
            tensor([2., 2., 2., 2., 2., 2., 2., 2.])
        """
        over = [0, *range(2, real.ndim)]
        self.mean.copy_(real.mean(over).view_as(self.mean))
        # A channel that never fires would be blown up by its inverse scale; bound it by the rest.
        spread = real.std(over)
        bounded = spread.clamp(min=0.1 * float(spread.mean()) + 1e-6)
        self.scale.copy_(bounded.view_as(self.scale))

    def forward(
        self, responses: Float[Tensor, "n c *k"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n latent"]]:
        """Score each response (a logit, high for real) and predict the z that caused it.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> scores, z = fg.Discriminator((8, 7, 7), latent=3)(torch.rand(5, 8, 7, 7))
            >>> scores.shape, z.shape
            (torch.Size([5]), torch.Size([5, 3]))
        """
        features = self.trunk((responses - self.mean) / self.scale)
        return self.score(features)[:, 0], self.latent(features)
