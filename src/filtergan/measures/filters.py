"""How far generated filters differ from each other and from the real ones, and their nulls."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from filtergan.measures.definition import Measure

COLUMNS = 2**18  # weights of which all draws are held in double precision at once
MEASURES = (
    Measure(
        "filter_spread",
        "How far draws lie from the mean draw: root mean square distance over the real filters' "
        "norm.",
        0.0,
        None,
        "higher",
        "a collapsed generator, whose draws are all alike",
        "norms of W",
        "own",
    ),
    Measure(
        "nearest_real_distance",
        "Distance of a generated filter to the nearest real one, over the norm of the filter whose "
        "place it takes; near 0 the generator would only repeat the real filters.",
        0.0,
        None,
        "neither",
        "random filters of the real ones' means and norms",
        "filter norms",
        "own, after memorisation checks of generative models",
    ),
    Measure(
        "participation_ratio",
        "Number of independent directions in which draws differ: (sum of the covariance's "
        "eigenvalues) squared over the sum of their squares.",
        1.0,
        None,
        "neither",
        "real filters plus independent noise of the draws' variance",
        "directions",
        "covariance by U-statistics: Chen, Zhang and Zhong 2010",
    ),
)


def filter_spread(generated: Float[Tensor, "d ..."], real: Float[Tensor, "..."]) -> float:
    """Root mean square distance of a draw from the mean draw, over the norm of the real filters.

    sqrt(E ||G(z) - E G||^2) / ||W||, the variance without bias for the number of draws.

    Args:
        generated: Filters of two draws or more.
        real: Filters of the site.

    Returns:
        0 for a collapsed generator. Two draws lie sqrt(2) times as far apart. NaN for one draw.
    """
    if len(generated) < 2:
        return math.nan
    parts = generated.flatten(1).split(COLUMNS, dim=1)
    variance = torch.stack([part.double().var(dim=0).sum() for part in parts]).sum()
    return float(variance.sqrt() / real.double().norm())


def nearest_real_distance(
    generated: Float[Tensor, "d o ..."], real: Float[Tensor, "o ..."]
) -> float:
    """Mean over draws and filters of min_j ||g_i(z) - w_j|| / ||w_i||.

    Filters whose real norm is zero have no scale to compare with and are left out.

    Args:
        generated: Filters of the draws, aligned with the real ones by index.
        real: Filters of the site.
    """
    targets = real.flatten(1).double()
    norms = targets.norm(dim=1)
    alive = norms > 0
    nearest = torch.stack(
        [torch.cdist(draw.flatten(1).double(), targets).amin(dim=1) for draw in generated]
    )
    return float((nearest[:, alive] / norms[alive]).mean())


def participation_ratio(generated: Float[Tensor, "d o ..."]) -> float:
    """Number of independent directions among draws, (sum l)^2 / sum l^2 of the covariance.

    l are the covariance's eigenvalues. The plain estimate cannot exceed the number of draws less
    one; here sum l^2 = tr(C^2) is estimated without bias, by U-statistics of the draws' Gram matrix
    (Chen, Zhang and Zhong 2010), so that a few draws do for many directions.

    Args:
        generated: Filters of four draws or more.

    Returns:
        NaN for fewer draws, or where the draws do not differ.
    """
    count = len(generated)
    if count < 4:
        return math.nan
    gram, square = _gram(generated)
    trace = gram.trace() / (count - 1)
    if trace <= 1e-12 * square / count:
        return math.nan
    gram.fill_diagonal_(0)
    pairs, rows, total = gram.square().sum(), gram.sum(dim=1).square().sum(), gram.sum()
    n2 = count * (count - 1)
    n3 = n2 * (count - 2)
    n4 = n3 * (count - 3)
    # Sums over two, three and four different draws of products of two inner products.
    total2 = pairs / n2 - 2 * (rows - pairs) / n3 + (total**2 - 4 * rows + 2 * pairs) / n4
    return float(trace**2 / total2) if total2 > 0 else math.nan


def coordinates(generated: Float[Tensor, "d o ..."]) -> Float[Tensor, "d 1 d"]:
    """The draws as points in as few dimensions as there are draws, their distances kept.

    All measures of how draws differ from each other are the same for these; a jackknife over a
    hundred draws of a large site is then as cheap as over a hundred small ones.
    """
    values, vectors = torch.linalg.eigh(_gram(generated)[0])
    return (vectors * values.clamp(min=0).sqrt())[:, None]


def _gram(generated: Float[Tensor, "d ..."]) -> tuple[Float[Tensor, "d d"], Float[Tensor, ""]]:
    """Inner products of the centred draws, and the sum of squares of the draws as they are."""
    gram = square = torch.zeros((), dtype=torch.float64, device=generated.device)
    for part in generated.flatten(1).split(COLUMNS, dim=1):
        flat = part.double()
        centred = flat - flat.mean(dim=0)
        gram, square = gram + centred @ centred.T, square + flat.square().sum()
    return gram, square


def draws_interval(
    statistic: Callable[[Float[Tensor, "d o ..."]], float], generated: Float[Tensor, "d o ..."]
) -> tuple[float, float]:
    """95 % jackknife interval of a statistic of a set of draws.

    A bootstrap would repeat draws, and repeated draws have no distance: all measures of variety
    would fall. The jackknife leaves out one draw at a time instead.

    Args:
        statistic: From filters of draws to a number, as `participation_ratio`.
        generated: Filters of the draws.

    Returns:
        Lower and upper end, not below 0; NaN where the statistic is not defined.
    """
    count = len(generated)
    if count < 3:
        return math.nan, math.nan
    keep = ~torch.eye(count, dtype=torch.bool)
    without = torch.tensor([statistic(generated[row]) for row in keep], dtype=torch.float64)
    error = float(without.std(correction=0)) * math.sqrt(count - 1)
    value, reach = statistic(generated), float(stdtrit(count - 1, 0.975)) * error
    low, high = value - reach, value + reach
    return low if math.isnan(low) else max(0.0, low), high


def noise_matched(
    real: Float[Tensor, "o ..."],
    generated: Float[Tensor, "d o ..."],
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n o ..."]:
    """Control: the real filters plus Gaussian noise with the per-filter variance of the draws.

    Args:
        real: Filters of the site.
        generated: Draws whose variance, averaged over the weights of each filter, is matched.
        n: Number of noisy copies.
        generator: Source of the noise, on the CPU.
    """
    variance = generated.flatten(2).var(dim=0).mean(dim=1)
    scale = variance.sqrt().reshape(-1, *[1] * (real.ndim - 1))
    return _noise(real, n, generator).mul_(scale).add_(real)


def random_filters(
    real: Float[Tensor, "o ..."], n: int, generator: torch.Generator
) -> Float[Tensor, "n o ..."]:
    """Null: independent Gaussian weights with the mean and, on average, the norm of each filter.

    A filter of one weight is all mean; about 0 then.

    Args:
        real: Filters of the site.
        n: Number of random sets.
        generator: Source of the weights, on the CPU.
    """
    flat, shape = real.flatten(1), (-1, *[1] * (real.ndim - 1))
    mean, scale = flat.mean(dim=1), flat.std(dim=1, correction=0)
    if flat.shape[1] == 1:
        mean, scale = torch.zeros_like(mean), mean.abs()
    return _noise(real, n, generator).mul_(scale.reshape(shape)).add_(mean.reshape(shape))


def _noise(
    real: Float[Tensor, "o ..."], n: int, generator: torch.Generator
) -> Float[Tensor, "n o ..."]:
    noise = torch.randn(n, *real.shape, generator=generator, dtype=real.dtype)
    return noise.to(real.device)
