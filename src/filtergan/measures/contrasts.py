"""What seeds add to an interval, and the difference between two configurations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from scipy.special import stdtr, stdtrit
from torch import Tensor

from filtergan.measures.definition import Measure
from filtergan.measures.statistics import interval
from filtergan.runs.record import MeasureRecord


@dataclass(frozen=True)
class Estimate:
    """A measure of one configuration.

    Attributes:
        value: Mean over seeds.
        low: Lower end of its 95 % interval; NaN: none.
        high: Upper end.
        variance: Squared standard error of the mean; NaN: unknown.
        freedom: Degrees of freedom of that variance.
        seeds: Number of seeds behind it.
        sd: Standard deviation between seeds; NaN for a single one.
    """

    value: float
    low: float
    high: float
    variance: float
    freedom: float
    seeds: int
    sd: float


@dataclass(frozen=True)
class Difference:
    """One configuration less another, in one measure.

    Attributes:
        value: The difference of the means.
        low: Lower end of its 95 % interval; NaN: none.
        high: Upper end.
        p: Two-sided; NaN where it cannot be tested.
        p_holm: The same after Holm's correction over all tests of a comparison.
    """

    value: float
    low: float
    high: float
    p: float
    p_holm: float = math.nan


def pool(results: Sequence[MeasureRecord], measure: Measure | None = None) -> Estimate:
    """Mean over seeds, with an error that knows of images and of seeds.

    The variance is W + B/k: W, the mean over seeds of the squared standard errors that their
    intervals tell (taken for those of a normal law, so not too small where groups are few); B, the
    variance between the k seeds. W is not divided by k, since all seeds are measured on the same
    images and share what these happen to be; what they do not share, as the filters drawn for
    traversals, is in B as well, so the error is never too small on average (as in Rubin 1987, eq.
    3.1.5, whose imputations share their data likewise). Degrees of freedom after Satterthwaite
    (1946): k - 1 behind B/k, n - 1 behind W; the 95 % interval of three seeds covers .93 to .95. A
    single seed keeps its own interval, which says nothing of other seeds.

    Args:
        results: The measure, one a seed; each has a value.
        measure: What it is; an interval does not leave its range.
    """
    values = np.array([found.value for found in results], dtype=np.float64)
    k, ends = len(values), [_ends(found) for found in results]
    within = [((high - low) / (2 * 1.959964)) ** 2 for low, high in ends if math.isfinite(high)]
    between = float(values.var(ddof=1)) if k > 1 else math.nan
    mean = float(values.mean())
    if k == 1:
        freedom = float(max(results[0].n - 1, 1))
        variance = within[0] if within else math.nan
        return Estimate(mean, *ends[0], variance, freedom, 1, math.nan)
    shared = math.fsum(within) / len(within) if within else 0.0
    variance = shared + between / k
    parts = [(between / k, k - 1), (shared, max(min(found.n for found in results) - 1, 1))]
    freedom = _satterthwaite(parts)
    low, high = _interval(mean, variance, freedom)
    if measure is not None and measure.low is not None:
        low = max(low, measure.low)
    if measure is not None and measure.high is not None:
        high = min(high, measure.high)
    return Estimate(mean, low, high, variance, freedom, k, math.sqrt(between))


def crossed_interval(
    matrix: Shaped[Tensor, "seeds images"], least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """95 % interval of a mean over seeds and images, where all seeds see the same images.

    The variance is that of the seeds' means over k, plus that of the images' means over n (what is
    in neither alone counts twice, so it is never too small on average); Student's t, degrees of
    freedom after Satterthwaite (1946). Of a single seed the interval over images, which says
    nothing of other seeds.

    Args:
        matrix: For each seed and image a number or truth value, as "classified correctly".
        least: That the mean can be, at which the interval ends; 0 for a share.
        most: Likewise; 1 for a share.
    """
    values = matrix.detach().cpu().double()
    seeds, images = values.shape
    if seeds == 1:
        return interval(values[0], resamples=1000, seed=0)
    parts = [
        (float(values.mean(dim=1).var()) / seeds, seeds - 1),
        (float(values.mean(dim=0).var()) / images, images - 1),
    ]
    variance = math.fsum(part for part, _ in parts)
    low, high = _interval(float(values.mean()), variance, _satterthwaite(parts))
    return max(low, least), min(high, most)


def difference(one: Estimate, base: Estimate) -> Difference:
    """`one` less `base`, tested with Welch's t of the two errors.

    Both are measured on the same images as a rule, which this takes no credit for: the test errs
    towards finding nothing. It cannot be made where an error is unknown, or both are zero and the
    values differ.
    """
    value, variance = one.value - base.value, one.variance + base.variance
    freedom = _satterthwaite([(e.variance, e.freedom) for e in (one, base)])
    low, high = _interval(value, variance, freedom)
    if math.isnan(variance) or (variance == 0 and value != 0):
        return Difference(value, math.nan, math.nan, math.nan)
    if variance == 0:
        return Difference(value, low, high, 1.0)
    return Difference(
        value, low, high, float(2 * stdtr(freedom, -abs(value) / math.sqrt(variance)))
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction; a NaN stays one and counts as no test."""
    tested = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    corrected, largest = [math.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(tested):
        largest = max(largest, min(1.0, value * (len(tested) - rank)))
        corrected[place] = largest
    return corrected


def _ends(found: MeasureRecord) -> tuple[float, float]:
    low, high = found.ci95
    return (math.nan, math.nan) if low is None or high is None else (float(low), float(high))


def _satterthwaite(parts: Sequence[tuple[float, float | int]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own."""
    total = math.fsum(variance for variance, _ in parts)
    below = math.fsum(variance**2 / freedom for variance, freedom in parts)
    return total**2 / below if below > 0 else math.inf


def _interval(value: float, variance: float, freedom: float) -> tuple[float, float]:
    if math.isnan(variance):
        return math.nan, math.nan
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
    return value - half, value + half
