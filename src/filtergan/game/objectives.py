"""The game's equations as pure functions of scores, latents and responses."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def discriminator_loss(
    real: Float[Tensor, " n"], generated: Float[Tensor, " m"]
) -> Float[Tensor, ""]:
    """What D minimises: the negative of eq. 1.

    Args:
        real: Scores (logits) of real responses.
        generated: Scores of generated ones.
    """
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator_loss(generated: Float[Tensor, " n"], form: str) -> Float[Tensor, ""]:
    """What G minimises of eq. 1.

    Args:
        generated: Scores of generated responses.
        form: "minimax", as in the equation, or "non_saturating".
    """
    if form == "minimax":
        return -F.softplus(generated).mean()  # E log(1 - D)
    return F.softplus(-generated).mean()  # -E log D


def information_loss(
    z: Float[Tensor, "n latent"], predicted: Float[Tensor, "n latent"]
) -> Float[Tensor, ""]:
    """-L_I of eq. 3: mean square error over samples and latents; chance is 1."""
    return (z - predicted).square().mean()
