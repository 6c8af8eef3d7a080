"""Whether an inversion did its work, and in how many independent ways the images changed."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from filtergan.measures.definition import AS_LARGE, Measure
from filtergan.measures.ratios import ratio_interval

FEATHER = "Feather et al. 2023, model metamers"
PAIRS = "profiles of random pairs of images under the same filters"
CHUNK = 128  # profiles held at once in double precision
MEASURES = (
    Measure(
        "inversion_gate_share",
        "Share of points whose profile the inversion matched better than 99 % of random pairs of "
        "images match each other's.",
        0.0,
        1.0,
        "higher",
        f"{AS_LARGE}; in records made before: .01, the share of random pairs themselves",
        "share",
        FEATHER,
    ),
    Measure(
        "profile_correlation",
        "Pearson correlation of the profile found with the profile wanted, per point.",
        -1.0,
        1.0,
        "higher",
        PAIRS,
        "correlation",
        FEATHER,
    ),
    Measure(
        "profile_rank_correlation",
        "Spearman correlation of the profile found with the profile wanted, per point.",
        -1.0,
        1.0,
        "higher",
        PAIRS,
        "correlation",
        FEATHER,
    ),
    Measure(
        "profile_snr",
        "Norm of the profile wanted over that of the error, per point.",
        None,
        None,
        "higher",
        PAIRS,
        "dB",
        FEATHER,
    ),
    Measure(
        "independent_image_changes",
        "Number of independent directions in which one image changes over the draws: 1 if every "
        "draw only makes it brighter or darker.",
        1.0,
        None,
        "higher",
        AS_LARGE,
        "directions",
        "participation ratio of the second moment of x_k - x; own",
    ),
)


def pair_null(wanted: Float[Tensor, "m ..."], other: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
    """Residuals of random pairs of images: what no inversion at all reaches.

    Args:
        wanted: a(x | z), one per pair.
        other: a(x' | z) of another image under the same filters.

    Returns:
        ||a(x' | z) - a(x | z)||^2 / ||a(x | z)||^2 per pair; NaN where a(x | z) is 0.
    """
    size = wanted.flatten(1).square().sum(dim=1)
    error = (other - wanted).flatten(1).square().sum(dim=1)
    return torch.where(size == 0, torch.nan, error / size)


def gate(after: Float[Tensor, "*points"], null: Float[Tensor, " pairs"]) -> Bool[Tensor, "*points"]:
    """Whether the residual of a point lies below the 1st percentile of random pairs'.

    Args:
        after: Residual of the profile at x_k, first term of eq. 6.
        null: Residuals of random pairs, as from `pair_null`.

    Returns:
        Truth per point; false for all points if no pair is defined.
    """
    known = null[~null.isnan()]
    if not len(known):
        return torch.zeros_like(after, dtype=torch.bool)
    return after < np.quantile(known.double().cpu().numpy(), 0.01)


def profile_agreement(
    found: Float[Tensor, "m ..."], wanted: Float[Tensor, "m ..."]
) -> dict[str, Float[Tensor, " m"]]:
    """How well the profiles found match those wanted, in the three ways of model metamers.

    Args:
        found: a(x_k | z_k) per point; for the null, a(x' | z) of random pairs.
        wanted: a(x | z).

    Returns:
        `profile_correlation` (Pearson) and `profile_rank_correlation` (Spearman, equal values share
        their mean rank, as the many zeros behind a ReLU do), NaN where a profile is constant;
        `profile_snr`, 20 log10(||wanted|| / ||found - wanted||) in dB, infinite where they are
        equal, NaN where `wanted` is 0.
    """
    parts: list[dict[str, Tensor]] = []
    for a, b in zip(found.flatten(1).split(CHUNK), wanted.flatten(1).split(CHUNK), strict=True):
        one, other = a.cpu().double(), b.cpu().double()
        size, error = other.norm(dim=1), (one - other).norm(dim=1)
        decibels = 20 * (size / error).log10()
        parts.append(
            {
                "profile_correlation": _pearson(one, other),
                "profile_rank_correlation": _pearson(_ranks(one), _ranks(other)),
                "profile_snr": torch.where(size == 0, torch.nan, decibels),
            }
        )
    return {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}


def independent_changes(
    change: Float[Tensor, "n p d"], clusters: Int64[Tensor, " n"] | None = None
) -> tuple[float, tuple[float, float]]:
    """Number of independent directions in which one image changes over its draws.

    The participation ratio tr(M)^2 / tr(M^2) of the second moment M = E u_k u_k' of an image's
    changes u_k, each of norm 1, averaged over images. M is not centred: an image that always
    brightens changes in one direction, not in none. As tr(M) is 1, what is to be known is tr(M^2),
    the mean of (u_k . u_l)^2 over pairs of different draws: an estimate without bias, for which few
    draws in many dimensions do not pass for few directions.

    Args:
        change: x_k - x per image and draw, flattened. Draws of 0 or with NaN have no say.
        clusters: Which images belong together. By default each is its own.

    Returns:
        The number, at least 1, then its 95 % interval (jackknife over clusters); NaN if no image
        has two draws that change it.
    """
    size = change.norm(dim=2, keepdim=True)
    known = size[..., 0] > 0  # false for NaN
    unit = torch.where(known[..., None], change / size, 0).double()
    cosines = (unit @ unit.transpose(1, 2)).square()
    pairs = known[:, :, None] & known[:, None, :]
    pairs &= ~torch.eye(change.shape[1], dtype=torch.bool, device=change.device)
    squares = (cosines * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))
    value, (low, high) = ratio_interval(torch.ones_like(squares), squares, clusters)
    # No pair of draws can give less than 1; an end may.
    return value, (low if math.isnan(low) else max(1.0, low), high)


def _pearson(one: Float[Tensor, "m d"], other: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    a, b = one - one.mean(dim=1, keepdim=True), other - other.mean(dim=1, keepdim=True)
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size == 0, torch.nan, (a * b).sum(dim=1) / size)


def _ranks(values: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    from scipy.stats import rankdata  # takes half a second to import

    return torch.from_numpy(np.asarray(rankdata(values.numpy(), axis=1), dtype=np.float64))
