"""Bootstrap intervals over images, groups of images, and draws."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from scipy.special import ndtr, stdtrit
from torch import Tensor

CELLS = 4_000_000
"""Entries of a block of resampled counts; bounds the memory of a bootstrap at about 100 MiB."""
SEEDS = 2**63  # numpy takes none below zero


def resample(
    size: int, resamples: int, seed: int, width: int = 0
) -> Iterator[Float64[np.ndarray, "r size"]]:
    """Bootstrap counts: how often each of `size` items is drawn, in blocks of resamples.

    Args:
        size: Number of items.
        resamples: Number of resamples in all.
        seed: Of numpy's default generator; the same seed gives the same counts.
        width: To how many columns the caller spreads those of a block, if to more.

    Yields:
        Counts; each row sums to `size`.
    """
    rng = np.random.default_rng(seed % SEEDS)
    block = max(1, CELLS // max(size, width))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
        counts = np.bincount(drawn.ravel(), minlength=rows * size)
        yield counts.reshape(rows, size).astype(np.float64)


def summed(
    values: Float[Tensor, "n ..."], clusters: Int64[Tensor, " n"] | None
) -> Float[Tensor, "c ..."]:
    """Sums over what belongs together.

    Args:
        values: Of each image.
        clusters: To which each belongs; those that have none leave no gap. None: each is its own.
    """
    if clusters is None:
        return values
    member = clusters.to(values.device).unique(return_inverse=True)[1]
    sums = values.new_zeros(int(member.max()) + 1 if len(member) else 0, *values.shape[1:])
    return sums.index_add(0, member, values)


def reach(clusters: int) -> float:
    """Half the width of a 95 % interval of a mean, in its bootstrap standard errors.

    That error is the sample's with n in the place of n - 1, and too small as a rule: so Student's
    t with n - 1 degrees of freedom, times sqrt(n / (n - 1)). 2.53 for 8 clusters, 2.20 for 16,
    2.01 for 64, 1.96 for many.

    Args:
        clusters: How many there are, at least 2.
    """
    return math.sqrt(clusters / (clusters - 1)) * float(stdtrit(clusters - 1, 0.975))


def ends(resampled: Float[Tensor, "r ..."], clusters: int) -> Float64[Tensor, "2 ..."]:
    """Both ends of 95 % expanded percentile intervals (Hesterberg 2015, arXiv 1411.5279).

    The percentiles lie where a normal law has `reach`, since the plain ones (.025 and .975) are too
    narrow with few clusters. From 5 clusters on these cover .92 to .96 of normal means; of 2 to 4
    they are the extremes of all resamples, and still too narrow.

    Args:
        resampled: A statistic of each resample. NaN marks an undefined one and is left out.
        clusters: From how many each is drawn, at least 2.
    """
    outside = float(ndtr(-reach(clusters)))
    levels = torch.tensor([outside, 1 - outside], dtype=torch.float64)
    return resampled.double().nanquantile(levels, dim=0)


def interval(
    values: Shaped[Tensor, " n"],
    clusters: Int64[Tensor, " n"] | None = None,
    *,
    statistic: Literal["mean", "median"] = "mean",
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """95 % bootstrap interval of a mean or median.

    Args:
        values: Numbers or truth values. NaN marks an undefined value and is left out.
        clusters: Which values belong together (all points of one image, or of the images that
            share their points); whole clusters are resampled. By default each value is its own.
        statistic: Whose interval.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Returns:
        Lower and upper end; NaN where fewer than two clusters have a value.
    """
    array = values.detach().cpu().double().numpy()
    defined = ~np.isnan(array)
    array = array[defined]
    labels = np.arange(len(array)) if clusters is None else clusters.cpu().numpy()[defined]
    member = np.unique(labels, return_inverse=True)[1]
    size = int(member.max()) + 1 if len(member) else 0
    if size < 2:
        return math.nan, math.nan
    if statistic == "mean":
        from scipy.stats import bootstrap  # takes half a second to import

        found = bootstrap(
            (np.bincount(member, array), np.bincount(member)),
            lambda total, members, axis: total.sum(axis) / members.sum(axis),
            n_resamples=resamples,
            batch=max(1, CELLS // size),
            paired=True,
            method="percentile",
            rng=np.random.default_rng(seed % SEEDS),
        ).bootstrap_distribution
    else:
        order = np.argsort(array)
        # Columns of the blocks follow the values, of which there may be many to a cluster.
        drawn = resample(size, resamples, seed, len(array))
        blocks = (counts[:, member[order]] for counts in drawn)
        found = np.concatenate([_weighted_median(array[order], block) for block in blocks])
    low, high = ends(torch.from_numpy(found), size)
    return float(low), float(high)


def two_way_interval(
    matrix: Shaped[Tensor, "draws images"],
    *,
    statistic: Literal["mean", "sd", "min"] = "mean",
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """95 % bootstrap interval of a mean, sd or minimum over draws of their means over images.

    Draws and images are resampled both, independently (Owen 2007, the pigeonhole bootstrap: never
    too narrow for a mean), and as many are counted as there are of the fewer. The interval of a
    minimum is a rough one, as a resample cannot hold a worse draw than the worst.

    Args:
        matrix: For each draw and image a number or truth value, as "classified correctly".
        statistic: Taken over the draws' means.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.
    """
    array = matrix.detach().cpu().double().numpy()
    draws, images = array.shape
    assert draws > 1
    rng = np.random.default_rng([seed % SEEDS, 1])
    found = []
    for counts in resample(images, resamples, seed):
        means = counts @ array.T / images
        chosen = rng.integers(0, draws, means.shape)
        means = np.take_along_axis(means, chosen, axis=1)
        found.append(
            means.mean(axis=1)
            if statistic == "mean"
            else means.std(axis=1, ddof=1)
            if statistic == "sd"
            else means.min(axis=1)
        )
    low, high = ends(torch.from_numpy(np.concatenate(found)), min(draws, images))
    return float(low), float(high)


def quantiles(values: Shaped[Tensor, "..."]) -> dict[str, float]:
    """The quantiles .05, .25, .5, .75 and .95 of all defined values, for `result`."""
    array = values.detach().cpu().double().numpy().ravel()
    array = array[~np.isnan(array)]
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    found = np.quantile(array, levels) if len(array) else [math.nan] * len(levels)
    return {str(level): float(value) for level, value in zip(levels, found, strict=True)}


def _weighted_median(
    ordered: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, "r n"]
) -> Float64[np.ndarray, " r"]:
    """Medians of sorted values, each repeated as often as its weight says."""
    below = np.cumsum(weights, axis=1)
    half = below[:, -1:] / 2
    lower, upper = np.argmax(below >= half, axis=1), np.argmax(below > half, axis=1)
    return (ordered[lower] + ordered[upper]) / 2
