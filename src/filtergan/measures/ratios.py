"""Ratios of two sums over images, with intervals that keep their sign and scale."""

import math

from jaxtyping import Float, Int64
from scipy.special import stdtrit
from torch import Tensor

from filtergan.measures.statistics import summed


def ratio_interval(
    above: Float[Tensor, " n"],
    below: Float[Tensor, " n"],
    clusters: Int64[Tensor, " n"] | None = None,
) -> tuple[float, tuple[float, float]]:
    """The ratio of two sums over clusters, and its 95 % jackknife interval.

    The interval is that of the logarithm, so both its ends are positive and the ratio's inverse
    has the inverse interval. Each cluster is left out once; Student's t with n - 1 degrees of
    freedom gives the reach, as there may be few (Efron and Tibshirani 1993, chapter 11).

    Args:
        above: Share of each image (or other part) in the numerator, not negative.
        below: Its share in the denominator. One with NaN in either is left out.
        clusters: Which of them belong together. By default each is its own.

    Returns:
        The ratio, NaN if the denominator is 0; then the ends, NaN where they are not defined.
    """
    known = ~(above.isnan() | below.isnan())
    member = None if clusters is None else clusters.to(known.device)[known]
    one, other = (summed(part[known].double(), member) for part in (above, below))
    count, total = len(one), other.sum()
    if total <= 0:
        return math.nan, (math.nan, math.nan)
    value = float(one.sum() / total)
    if count < 2 or value <= 0:
        return value, (math.nan, math.nan)
    without = ((one.sum() - one) / (total - other)).log()
    reach = jackknife_reach(without)
    return value, (value * math.exp(-reach), value * math.exp(reach))


def jackknife_reach(without: Float[Tensor, " n"]) -> float:
    """Half the width of a 95 % jackknife interval.

    Args:
        without: The statistic with one cluster left out, for each of at least two clusters.

    Returns:
        Reach on either side; NaN if the statistic is not finite without some cluster.
    """
    count = len(without)
    if not bool(without.isfinite().all()):
        return math.nan
    error = float(without.double().std(correction=0)) * math.sqrt(count - 1)
    return float(stdtrit(count - 1, 0.975)) * error
