"""The discriminator: response -> (score, predicted latent), with no batch norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from filtergan.errors import UserError


class Discriminator(nn.Module):
    """Judges responses; Q shares all its layers but the last (paper, section 2).

    It never sees filters, but for the ablation that lays these out like responses (`gan.judged`).
    Responses are first standardised per channel by what real ones were measured to be, so that
    rates do not depend on the scale of a network's activations.

    Args:
        real: Real responses [n, c], [n, c, l], [n, c, h, w] or [n, c, d, h, w], from which shape
            and scale are taken. The second dimension counts as channels, whatever it is (of tokens
            [n, l, c], the tokens).
        latent: Dimension of z.
        channels: Filters of the first convolution; the second has twice as many.
        spectral: Spectral normalisation of all layers but Q's last.

    Raises:
        UserError: The responses have another number of dimensions.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        real: Float[Tensor, "n c *k"],
        latent: int,
        channels: int = 64,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = tuple(real.shape[1:])
        if len(self.shape) > 4:
            raise UserError(
                f"A response of {list(self.shape)} per image has more dimensions than channels and "
                "three of space; choose another response point."
            )
        over = [0, *range(2, real.ndim)]
        keep = (-1,) + (1,) * (real.ndim - 2)
        self.register_buffer("mean", real.mean(over).reshape(keep))
        # A channel that never fires would be blown up by its inverse scale; bound it by the rest.
        spread = real.std(over)
        self.register_buffer(
            "scale", spread.clamp(min=0.1 * float(spread.mean()) + 1e-6).reshape(keep)
        )

        norm = spectral_norm if spectral else (lambda layer: layer)
        layers: list[nn.Module] = []
        width = real.shape[1]
        side = min(self.shape[1:]) if len(self.shape) > 1 else 0
        if side:
            # Strides bring large responses down to a few positions; small ones keep theirs once.
            plan = [(channels, 2 if side > 8 else 1), (2 * channels, 2 if side > 1 else 1)]
            side = -(-side // (plan[0][1] * plan[1][1]))
            while side > 4:
                plan.append((2 * channels, 2))
                side = -(-side // 2)
            convolution = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}[len(self.shape)]
            for out, stride in plan:
                layers += [norm(convolution(width, out, 3, stride, padding=1)), nn.LeakyReLU(0.2)]
                width = out
        layers.append(nn.Flatten())
        with torch.no_grad():
            size = nn.Sequential(*layers)(torch.zeros(1, *self.shape)).shape[1]
        layers += [norm(nn.Linear(size, 4 * channels)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.score = norm(nn.Linear(4 * channels, 1))
        self.latent = nn.Linear(4 * channels, latent)

    def forward(
        self, responses: Float[Tensor, "n c *k"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n latent"]]:
        """Score each response (a logit, high for real) and predict the z that caused it."""
        features = self.trunk((responses - self.mean) / self.scale)
        return self.score(features)[:, 0], self.latent(features)
