"""Whether images change steadily along a path, and come out the same when found again."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.measures.definition import AS_LARGE, Measure
from filtergan.measures.ratios import ratio_interval

MEASURES = (
    Measure(
        "path_length",
        "Squared distance, to a judge, between neighbouring images of a path, over the squared "
        "step; the outermost hundredth of steps at either end is left out.",
        0.0,
        None,
        "neither",
        "an affine map of the image, by the same changes of image",
        "squared features per squared latent step",
        "perceptual path length: Karras et al. 2019",
    ),
    Measure(
        "roughness",
        "Longest step between neighbouring images of a path over the median one, per path.",
        1.0,
        None,
        "lower",
        "an affine map of the image, by the same changes of image",
        "ratio",
        "own",
    ),
    Measure(
        "curvature",
        "Length of a path of images over the distance between its ends, per path.",
        1.0,
        None,
        "neither",
        "an affine map of the image, by the same changes of image; it is curved in pixels too",
        "ratio",
        "own; arc over chord",
    ),
    Measure(
        "repeatability",
        "Share of the variance among an image's recovered images that comes from where in latent "
        "space they lie, not from where their search began.",
        None,
        1.0,
        "higher",
        f"{AS_LARGE} from the same starts (of searches for pixels without the one half way)",
        "share",
        "intraclass correlation ICC(1): Shrout and Fleiss 1979",
    ),
)


def path_length(features: Float[Tensor, "n t d"], step: float) -> Float[Tensor, " n"]:
    """Perceptual path length: squared steps in a judge's features per squared latent step.

    StyleGAN takes steps of 1e-4. An image that is itself the result of a search cannot be had that
    finely, so the step is that of the grid.

    Args:
        features: A judge's features of the images of each path, at equal steps, ends included.
        step: Length of a step in latent space, in standard deviations of z.

    Returns:
        Mean over the steps of each path. Steps beyond the 1st and 99th percentile of all are
        trimmed; NaN for a path of which nothing is left.
    """
    lengths = features.diff(dim=1).square().sum(dim=2) / step**2
    known = lengths[~lengths.isnan()].double().cpu().numpy()
    if not len(known):
        return lengths.mean(dim=1)
    low, high = np.quantile(known, 0.01, method="lower"), np.quantile(known, 0.99, method="higher")
    return torch.where((lengths < low) | (lengths > high), torch.nan, lengths).nanmean(dim=1)


def roughness(paths: Float[Tensor, "n t ..."]) -> Float[Tensor, " n"]:
    """Longest over median step of each path: 1 if it is walked steadily.

    Args:
        paths: Images (or features) of each path, at equal steps, ends included.

    Returns:
        One number per path; NaN where most steps change nothing.
    """
    edges = paths.flatten(2).diff(dim=1).norm(dim=2)
    # The mean of the two middle ones: torch's median would take the lower, and be rougher.
    typical = edges.quantile(0.5, dim=1)
    return torch.where(typical == 0, torch.nan, edges.amax(dim=1) / typical)


def curvature(paths: Float[Tensor, "n t ..."]) -> Float[Tensor, " n"]:
    """Arc length of each path over the distance between its ends: 1 if it is straight.

    Args:
        paths: Images (or features) of each path, at equal steps, ends included.

    Returns:
        One number per path; NaN for a path that ends where it began.
    """
    flat = paths.flatten(2)
    arc = flat.diff(dim=1).norm(dim=2).sum(dim=1)
    chord = (flat[:, -1] - flat[:, 0]).norm(dim=1)
    return torch.where(chord == 0, torch.nan, arc / chord)


def repeatability(
    values: Float[Tensor, "n p r d"], clusters: Int64[Tensor, " n"] | None = None
) -> tuple[float, tuple[float, float]]:
    """Intraclass correlation of repeated inversions, ICC(1) pooled over features.

    Variance between / (between + within) in a one-way random-effects model of an image's points.
    Points are compared with other points of the same image only: between images, any inversion
    repeats itself, and that would hide the noise of the search.

    Args:
        values: x_k (or x_k - x) per image, point and start of the search, flattened; at least two
            points and two starts. An image with NaN is left out.
        clusters: Which images belong together. By default each is its own.

    Returns:
        1 if every start leads to the same image, about 0 if points differ no more than starts do,
        down to -1 / (r - 1); then its 95 % interval (jackknife over clusters). NaN if nothing
        varies.
    """
    points, starts = values.shape[1:3]
    assert min(points, starts) > 1
    rows = values.double()
    centre = rows.mean(dim=2)
    between = starts * (centre - centre.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2))
    within = (rows - centre[:, :, None]).square().sum(dim=(1, 2, 3))
    # Mean squares, from the degrees of freedom that each image has.
    parts = within / (points * (starts - 1)), between / (points - 1)
    value, ends = ratio_interval(*parts, clusters)
    low, high = (_correlation(ratio, starts) for ratio in ends)
    return _correlation(value, starts), (high, low)


def _correlation(within_to_between: float, starts: int) -> float:
    """ICC(1) from the ratio of mean squares; it falls as the ratio rises."""
    return (1 - within_to_between) / (1 + (starts - 1) * within_to_between)
