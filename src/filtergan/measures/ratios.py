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


def jackknife_reach(*without: Float[Tensor, " _"]) -> float:
    """Half the width of a 95 % jackknife interval.

    Where there are several sources of chance (images, and draws), their variances add up; Student's
    t has then as many degrees of freedom as Satterthwaite (1946) gives it.

    Args:
        without: For each source the statistic with one cluster left out, for each of at least two.

    Returns:
        Reach on either side; NaN if the statistic is not finite without some cluster, or there is
        but one.
    """
    if not all(bool(one.isfinite().all()) for one in without):
        return math.nan
    freedoms = [len(one) - 1 for one in without]
    if min(freedoms) < 1:
        return math.nan
    variances = [
        float(o.double().var(correction=0)) * f for o, f in zip(without, freedoms, strict=True)
    ]
    variance = sum(variances)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
