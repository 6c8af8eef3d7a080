"""The joint training's equations as pure functions of residuals, latents and images."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from filtergan.families.references import BLACK
from filtergan.sites.wrappers import centred

FLOOR = 0.002  # of residuals, over the norm of profiles: below it nothing more is to be gained
TINY = 1e-12  # of black images, logits all alike, and a root's slope where nothing changed
STEP = 4.0  # in latent space: how far the points that a study measures are from z


def compensation_loss(before: Float[Tensor, " n"], after: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Mean log of what is left of the residuals: every point counts alike, whatever its size.

    Args:
        before: Of each point, ‖a(x | z') - a(x | z)‖² over the squared norm of profiles.
        after: ‖a(T(x, z, z') | z') - a(x | z)‖², likewise.
    """
    return ((after + FLOOR).log() - (before + FLOOR).log()).mean()


def reading_loss(
    step: Float[Tensor, "n latent"], read: Float[Tensor, "n latent"]
) -> Float[Tensor, ""]:
    """Mean square error of z' - z as read from (x, x'), over its variance; chance is 1."""
    return F.mse_loss(read, step) / 2


def size_loss(
    change: Float[Tensor, " m"], distance: Float[Tensor, " m"], size: float
) -> Float[Tensor, ""]:
    """How far changes of image are from the size wanted, relative to it: mean square.

    In every direction of latent space alike: so no latent is idle, and none does what others do.

    Args:
        change: Mean relative change of image of each pair.
        distance: ‖z' - z‖ of each.
        size: Change of image wanted at a distance of `STEP`.
    """
    return (change / (distance / STEP * size) - 1).square().mean()


def labels_loss(
    before: Float[Tensor, "n classes"], after: Float[Tensor, "n classes"]
) -> Float[Tensor, ""]:
    """Mean Kullback-Leibler divergence of the labels' probabilities after from before, nats.

    Args:
        before: The network's logits for x.
        after: Its logits for x' = T(x, z, z').
    """
    was, is_now = before.log_softmax(1), after.log_softmax(1)
    return F.kl_div(is_now, was, reduction="batchmean", log_target=True)


def logits_loss(
    before: Float[Tensor, "n classes"], after: Float[Tensor, "n classes"]
) -> Float[Tensor, ""]:
    """Mean squared change of the logits, whose mean over classes says nothing.

    Args:
        before: The network's logits for x.
        after: Its logits for x' = T(x, z, z'), or for x by drawn filters.
    """
    return squared_norm(centred(after - before)).mean()


def squared_norm(values: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
    """‖.‖² of each."""
    return values.flatten(1).square().sum(1)


def mean_changes(
    x: Float[Tensor, "p i c h w"], x_k: Float[Tensor, "p i c h w"], usual: Float[Tensor, ""]
) -> Float[Tensor, " p"]:
    """Mean of ‖x' - x‖ / ‖x‖ over the images of each pair that are not all but black.

    Args:
        x: Images, those of a pair in a row.
        x_k: The changed ones.
        usual: The mean of ‖x‖² over all images, beside which one is black.

    Returns:
        Of each pair; 0 where all of its images are black.
    """
    size, moved = (squared_norm(v.flatten(0, 1)).unflatten(0, x.shape[:2]) for v in (x, x_k - x))
    told = size > BLACK**2 * usual
    change = ((moved + TINY) / torch.where(told, size, 1)).sqrt()
    return torch.where(told, change, 0).sum(1) / told.sum(1).clamp(min=1)
