"""What one step of the game is played on."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.machine import distributed
from filtergan.machine.storage import Rows


@dataclass(frozen=True)
class Minibatch:
    """The images and latents of one step, or this process's share of them.

    Attributes:
        index: Its images, as numbers of the rows that the game is played on.
        inputs: Site inputs h of these images.
        z: A latent for each.
        rng: Draws what else the step has at random; it stands alike in all processes, so the whole
            minibatch is drawn from it, of which each takes its `share`.
        share: This process's part of the whole minibatch.
        size: Of the whole minibatch.
    """

    index: Int64[Tensor, " n"]
    inputs: Float[Tensor, "n i *k"]
    z: Float[Tensor, "n latent"]
    rng: torch.Generator
    share: slice
    size: int

    @classmethod
    def drawn(
        cls, inputs: Rows, size: int, latent: int, rng: torch.Generator, device: torch.device
    ) -> "Minibatch":
        """Draw images, with replacement, and latents from the standard normal.

        Args:
            inputs: Site inputs of all images.
            size: Of the whole minibatch.
            latent: Dimension of z.
            rng: Of this step.
            device: Where the share is wanted.
        """
        share = distributed.share(size)
        index = torch.randint(len(inputs), (size,), generator=rng)[share]
        z = torch.randn(size, latent, generator=rng)[share].to(device)
        return cls(index, inputs[index].to(device), z, rng, share, size)

    @property
    def weight(self) -> float:
        """This process's share of all samples."""
        return (self.share.stop - self.share.start) / self.size
