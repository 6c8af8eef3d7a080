"""The game's equations as pure functions of scores, latents and responses."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def discriminator_loss(
    real: Float[Tensor, " n"], generated: Float[Tensor, " m"], form: str
) -> Float[Tensor, ""]:
    """What D minimises: the negative of eq. 1, or its hinge form.

    Args:
        real: Scores (logits) of real responses.
        generated: Scores of generated ones.
        form: "minimax", "non_saturating" (which differs for G only) or "hinge".
    """
    if form == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + generated).mean()
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator_loss(generated: Float[Tensor, " n"], form: str) -> Float[Tensor, ""]:
    """What G minimises of eq. 1, from the scores of generated responses."""
    if form == "hinge":
        return -generated.mean()
    if form == "minimax":
        return -F.softplus(generated).mean()  # E log(1 - D)
    return F.softplus(-generated).mean()  # -E log D


def information_loss(
    z: Float[Tensor, "n latent"], predicted: Float[Tensor, "n latent"]
) -> Float[Tensor, ""]:
    """-L_I of eq. 3: mean square error over samples and latents; chance is 1."""
    return (z - predicted).square().mean()


def r1_penalty(
    scores: Float[Tensor, " n"], responses: Float[Tensor, "n c *k"], scale: Tensor
) -> Float[Tensor, ""]:
    """Mean squared gradient of the scores at real responses, in units of `scale`.

    Args:
        scores: Scores of the responses.
        responses: Real responses that require a gradient.
        scale: Scale by which the discriminator standardises them.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), responses, create_graph=True)
    return (gradient * scale).square().flatten(1).sum(1).mean()
