"""What one step of the joint training is done on: pairs of latents, each for a few images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.images.domain import to_float
from filtergan.machine import distributed
from filtergan.machine.storage import Rows


@dataclass(frozen=True)
class Pairs:
    """The images and the latents of one step, or this process's share of them.

    Attributes:
        x: Images, those of the first pair, then those of the second, and so on.
        z: A latent for each pair.
        z_k: Where it is moved to.
        weight: This process's share of all pairs.
    """

    x: Float[Tensor, "n c h w"]
    z: Float[Tensor, "m latent"]
    z_k: Float[Tensor, "m latent"]
    weight: float

    @classmethod
    def drawn(
        cls,
        images: Rows,
        pairs: int,
        each: int,
        latent: int,
        rng: torch.Generator,
        device: torch.device,
    ) -> "Pairs":
        """Draw images, with replacement, and independent latents from the standard normal.

        Args:
            images: Pixels of all images, from 0 to 1 or from 0 to 255.
            pairs: Of latents, in all processes.
            each: Images for each.
            latent: Dimension of z.
            rng: Of this step; it stands alike in all processes.
            device: Where the share is wanted.
        """
        share = distributed.share(pairs)
        index = torch.randint(len(images), (pairs, each), generator=rng)[share]
        z, z_k = torch.randn(2, pairs, latent, generator=rng)[:, share].to(device)
        x = images[index.flatten()].to(device)
        x = x if x.is_floating_point() else to_float(x)
        return cls(x, z, z_k, len(index) / pairs)

    def spread(self, values: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
        """What belongs to each pair, for each of its images."""
        return values.repeat_interleave(len(self.x) // len(self.z), 0)
