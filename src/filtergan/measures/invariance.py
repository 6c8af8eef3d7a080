"""Whether a network ignores a traversal more than known transformations of images."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.measures.definition import Measure
from filtergan.measures.ratios import jackknife_reach
from filtergan.measures.statistics import ends, resample, summed

CHUNK = 512  # features held at once in double precision
MEASURES = (
    Measure(
        "invariance_gain_{t}",
        "How far the traversal moves the logits relative to {t} at the same change of image (of "
        "null, its own change): ratio of mean squared changes, below 1 where the network ignores "
        "the traversal more.",
        0.0,
        None,
        "lower",
        "1: the network ignores both alike",
        "ratio",
        "own, after invariance measures of Goodfellow et al. 2009",
    ),
    Measure(
        "normalized_variance_{t}",
        "How much a site's response varies under {t} relative to how much it varies between "
        "images, mean over features: 0 for an invariant network.",
        0.0,
        None,
        "neither",
        "another image makes as much difference: a little below 1, since the standard deviation of "
        "few values is too small",
        "ratio",
        "NormalizedVariance: Quiroga et al. 2020 (tmeasures)",
    ),
)


def invariance_gain(
    at_x: Float[Tensor, "n 1 d"],
    at_xk: Float[Tensor, "n p d"],
    at_tx: Float[Tensor, "n p d"],
    clusters: Int64[Tensor, " n"] | None = None,
    *,
    resamples: int,
    seed: int,
) -> tuple[float, tuple[float, float]]:
    """Mean squared change of a response over a traversal, relative to a known transformation.

    E ||f(x_k) - f(x)||^2 / E ||f(T x) - f(x)||^2. Both changes of the image must be of the same
    size over a group, as `references.reference` makes them.

    Args:
        at_x: Response, as the logits, at x.
        at_xk: The same at the recovered images.
        at_tx: The same at the transformed ones. A point that is NaN in either is left out of both.
        clusters: Which images belong together. By default each is its own.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Returns:
        The ratio, NaN if the transformation changes nothing; its 95 % interval (bootstrap over
        clusters).
    """
    ours = (at_xk - at_x).cpu().double().square().sum(dim=2)
    known = (at_tx - at_x).cpu().double().square().sum(dim=2)
    missing = ours.isnan() | known.isnan()
    seen = ~missing.all(dim=1)
    member = None if clusters is None else clusters.cpu()[seen]
    parts = (t.masked_fill(missing, 0).sum(dim=1)[seen] for t in (ours, known))
    above, below = (summed(part, member).numpy() for part in parts)
    if below.sum() == 0:
        return math.nan, (math.nan, math.nan)
    if len(below) < 2:
        return float(above.sum() / below.sum()), (math.nan, math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [c @ above / (c @ below) for c in resample(len(above), resamples, seed)]
    low, high = ends(torch.from_numpy(np.concatenate(found)), len(below))
    return float(above.sum() / below.sum()), (float(low), float(high))


def normalized_variances(activations: Float[Tensor, "n t d"]) -> Float[Tensor, " d"]:
    """Each feature's variation under a transformation relative to that between images.

    mean over x of sd over t, over mean over t of sd over x: NormalizedVariance of tmeasures, to
    which it is equal.

    Args:
        activations: Of at least two images under at least two transformations (or strengths of
            one), among them the identity.

    Returns:
        Per feature; 1 for a dead feature, infinite where only the transformation moves it.
    """
    parts = [_spreads(part) for part in activations.split(CHUNK, dim=2)]
    above = torch.cat([a for a, _ in parts], dim=1).mean(dim=0)
    below = torch.cat([b for _, b in parts], dim=1).mean(dim=0)
    return torch.where((above == 0) & (below == 0), 1.0, above / below).float()


def other_images(t: int, n: int) -> float:
    """What `normalized_variance` is where a transformation makes of each image just another one.

    Standard deviations of few values are too small on average, by c4 for normal ones: of three by a
    ninth.

    Args:
        t: Transformations, the identity among them.
        n: Images.
    """

    def c4(k: int) -> float:
        return math.sqrt(2 / (k - 1)) * math.exp(math.lgamma(k / 2) - math.lgamma((k - 1) / 2))

    return c4(t) / c4(n)


def normalized_variance(activations: Float[Tensor, "n t d"]) -> tuple[float, tuple[float, float]]:
    """Mean of `normalized_variances` over the features that vary at all.

    tmeasures lets a dead feature count as 1. In a network with many, as a ReLU has at the border of
    an image, their number would be what is measured; so they are left out here.

    Args:
        activations: Of images under transformations; the images are the clusters.

    Returns:
        The mean, infinite if the transformation alone moves some feature, NaN if none varies; its
        95 % interval (jackknife over images).
    """
    n = len(activations)
    total, alive = 0.0, 0
    totals, alives = torch.zeros(2, n, dtype=torch.float64)
    for part in activations.split(CHUNK, dim=2):
        over_t, over_x = _spreads(part)
        ratio = over_t.mean(dim=0) / over_x.mean(dim=0)
        total, alive = total + float(ratio.nansum()), alive + int((~ratio.isnan()).sum())
        if n > 2:
            ratios = _without_one(part, over_t)
            totals += ratios.nansum(dim=1)
            alives += (~ratios.isnan()).sum(dim=1)
    value = total / alive if alive else math.nan
    reach = jackknife_reach(totals / alives) if n > 2 else math.nan
    return value, (value - reach if math.isnan(reach) else max(0.0, value - reach), value + reach)


def _spreads(
    activations: Float[Tensor, "n t d"],
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "t d"]]:
    """Standard deviation of each image over transformations, of each transformation over images."""
    double = activations.cpu().double()
    # Less the first, so that the deviation of a constant is 0 and not a rounding error.
    over_t = (double - double[:, :1]).std(dim=1)
    return over_t, (double - double[:1]).std(dim=0)


def _without_one(
    activations: Float[Tensor, "n t d"], over_t: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    """The ratio of every feature with each image left out in turn; NaN where it is dead then."""
    n = len(activations)
    double = activations.cpu().double()
    squares = (double - double.mean(dim=0)).square()
    total = squares.sum(dim=0)
    # Sum of squares about the mean of the other n - 1; what rounding leaves of nothing is nothing.
    rest = total - squares * (n / (n - 1))
    rest = torch.where(rest < 1e-9 * total, 0.0, rest)
    below = (rest / (n - 2)).sqrt().mean(dim=1)
    above = over_t.sum(dim=0) - over_t
    above = torch.where(above < 1e-9 * over_t.sum(dim=0), 0.0, above) / (n - 1)
    return above / below
