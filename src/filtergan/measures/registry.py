"""Every measure by name, and the form in which the record keeps one."""

from collections.abc import Mapping
from itertools import chain

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.measures import (
    accuracies,
    explained,
    fidelity,
    filters,
    invariance,
    inversion,
    latents,
    locality,
    manifold,
    morphometry,
    smoothness,
    transformers,
    traversals,
)
from filtergan.measures.definition import Measure
from filtergan.measures.statistics import interval, quantiles
from filtergan.runs.record import MeasureRecord

# Each module defines what it measures; the order is that of the report.
MODULES = (
    accuracies,
    filters,
    fidelity,
    latents,
    traversals,
    explained,
    manifold,
    morphometry,
    inversion,
    transformers,
    smoothness,
    invariance,
    locality,
)

REGISTRY: dict[str, Measure] = {m.name: m for m in chain(*(mod.MEASURES for mod in MODULES))}


def lookup(name: str) -> Measure:
    """Return what a name of the record means, those with a part that varies included.

    Raises:
        KeyError: There is no such measure; the record holds none that is not registered.
    """
    return order(name)[1]


def order(name: str) -> tuple[int, Measure]:
    """Place of a measure in the report's order, and its meaning.

    Raises:
        KeyError: There is no such measure.
    """
    if name in REGISTRY:  # `latent_r2_min` is no `latent_r2_{z}`
        return list(REGISTRY).index(name), REGISTRY[name]
    for place, measure in enumerate(REGISTRY.values()):
        if found := measure.named(name):
            return place, found
    raise KeyError(f"no measure is registered under {name!r}")


def result(
    name: str,
    value: float | int,
    ci95: tuple[float, float] | None,
    n: int,
    null: float | int | None = None,
    quantiles: Mapping[str, float] | None = None,
) -> MeasureRecord:
    """A measure in the record's form: plain numbers, None for what is not finite.

    Args:
        name: A registered measure; gives unit and direction.
        value: The estimate.
        ci95: Its 95 % interval, if it has one.
        n: Number of independent things behind it (images, groups of them, or draws).
        null: Its value under the null that the registry describes.
        quantiles: Level to value, where the distribution matters.

    Raises:
        KeyError: The measure is not registered.
    """
    measure = lookup(name)
    return MeasureRecord(
        value=value,
        ci95=ci95 or (None, None),
        n=n,
        null=null,
        better=measure.better,
        unit=measure.unit,
        quantiles={str(level): end for level, end in (quantiles or {}).items()},
    )


def over_groups(
    name: str,
    found: tuple[float, tuple[float, float]],
    groups: Int64[Tensor, " n"],
    null: float | None = None,
) -> MeasureRecord:
    """A measure of all images together in the record's form.

    Args:
        name: A registered measure.
        found: Its value and the ends of its interval.
        groups: Over which the interval was taken.
        null: Its value under the null.
    """
    value, ends = found
    return result(name, value, ends, len(groups.unique()), null)


def summary(
    name: str,
    values: Float[Tensor, "n p"],
    null: float | None = None,
    clusters: Int64[Tensor, " n"] | None = None,
    *,
    resamples: int,
    seed: int,
) -> MeasureRecord:
    """A measure of every image at every point in the record's form.

    Args:
        name: A registered measure.
        values: One for each image and point; NaN where it is not defined.
        null: Its value under the null.
        clusters: Which images belong together, as those that share their points do; they are
            resampled together. By default each is its own.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.
    """
    (n, p), flat = values.shape, values.flatten()
    member = torch.arange(n) if clusters is None else clusters
    statistic = lookup(name).centre
    ends = interval(
        flat, member.repeat_interleave(p), statistic=statistic, resamples=resamples, seed=seed
    )
    groups = member[~values.isnan().all(dim=1).cpu()].unique()
    return result(name, centre(name, values), ends, len(groups), null, quantiles(flat))


def centre(name: str, values: Float[Tensor, "n p"]) -> float:
    """Mean or median of a measure, as its definition says."""
    return float(values.nanmean() if lookup(name).centre == "mean" else values.nanquantile(0.5))
