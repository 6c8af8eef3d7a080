"""Sets of filters that are drawn anew in each step of training."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.game.generator import Generator, paired


class FreshDraws(nn.Module):
    """K sets of filters: new ones in each pass of training, the same in every other pass.

    New latents come from torch's own random state, as dropout's zeros do, so that
    `torch.manual_seed` repeats them.

    Args:
        generator: z -> filters; a copy is kept.
        latents: Those of evaluation mode.
        antithetic: Whether new ones are in pairs, z and -z, as `FilterGAN.latents` has them.
    """

    latents: Tensor

    def __init__(
        self, generator: Generator, latents: Float[Tensor, "k latent"], antithetic: bool = False
    ) -> None:
        super().__init__()
        self.generator, self.antithetic = copy.deepcopy(generator), antithetic
        self.register_buffer("latents", latents.detach().clone())

    def forward(self) -> Float[Tensor, "k o i *d"]:
        """The filters of this pass."""
        z = self.latents
        if self.training:
            z = torch.randn_like(z)
            z = paired(z) if self.antithetic else z
        return self.generator(z)
