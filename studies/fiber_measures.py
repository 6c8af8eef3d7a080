"""How near samples are to a fiber, how their colours are spread, and whether they look real.

Each is a function of sums over images, so one jackknife over images gives all intervals.
"""

from collections.abc import Callable
from typing import Any

import torch
from color_mnist import BINS, background_of, true_shares
from jaxtyping import Float
from torch import Tensor

from filtergan.measures.fidelity import two_sample
from filtergan.measures.ratios import jackknife_reach
from filtergan.measures.statistics import interval

RESAMPLES = 1000
Statistic = Callable[[Float[Tensor, "*r p"]], Float[Tensor, "*r"]]
"""Of sums over images."""
Value = dict[str, Any]


def jackknifed(statistic: Statistic, parts: Float[Tensor, "n p"]) -> Value:
    """A statistic of the sum over images, and its 95 % jackknife interval.

    Args:
        statistic: Takes sums, of any number of sets of images at once.
        parts: What each image adds to them.
    """
    total = parts.double().sum(0)
    value = float(statistic(total))
    reach = jackknife_reach(statistic(total - parts.double()))
    return {"value": value, "ci95": [value - reach, value + reach]}


def mean_of(values: Float[Tensor, "n k"]) -> Value:
    """A mean over samples, and over images."""
    parts = torch.stack([values.sum(1), values.new_full((len(values),), values.shape[1])], dim=1)
    return jackknifed(lambda sums: sums[..., 0] / sums[..., 1], parts)


def counted(found: Float[Tensor, "n k 3"]) -> Float[Tensor, "n parts"]:
    """The samples of each image in every bin of every channel; what lies outside is left out."""
    which = (found * BINS).floor()
    which = torch.where(found == 1, BINS - 1, which)
    inside = (which >= 0) & (which < BINS)
    hot = torch.nn.functional.one_hot(which.clamp(0, BINS - 1).long(), BINS) * inside[..., None]
    return hot.sum(1).flatten(1).double()


def divergence_of(counts: Float[Tensor, "*r parts"]) -> Float[Tensor, "*r"]:
    """KL of colours found from the mixture, in nats, mean over channels."""
    shares = _shares(counts)
    return torch.special.xlogy(shares, shares / true_shares()).sum(-1).mean(-1)


def distance_of(counts: Float[Tensor, "*r parts"]) -> Float[Tensor, "*r"]:
    """W1 between colours found and the mixture, mean over channels."""
    below = _shares(counts).cumsum(-1) - true_shares().cumsum(-1)
    return below.abs().sum(-1).mean(-1) / BINS


def _shares(counts: Tensor) -> Float[Tensor, "*r 3 bins"]:
    of_channel = counts.unflatten(-1, (3, BINS))
    return of_channel / of_channel.sum(-1, keepdim=True)


def copied(own: Float[Tensor, "n 3"], found: Float[Tensor, "n k 3"]) -> Value:
    """The correlation of samples' colours with that of the image itself, mean over channels."""
    a = own[:, None].expand_as(found).double()
    b = found.double()
    moments = [torch.ones_like(a), a, b, a * a, b * b, a * b]
    parts = torch.stack([m.sum(1) for m in moments], dim=-1).flatten(1)

    def correlation(sums: Tensor) -> Tensor:
        n, x, y, xx, yy, xy = sums.unflatten(-1, (3, 6)).unbind(-1)
        spread = (n * xx - x * x) * (n * yy - y * y)
        return ((n * xy - x * y) / spread.clamp(min=1e-12).sqrt()).mean(-1)

    return jackknifed(correlation, parts)


def apart(samples: Float[Tensor, "n k 3 h w"]) -> Float[Tensor, "n 1"]:
    """Mean RMS difference between every two samples of an image."""
    flat = samples.flatten(2)
    pairs = torch.triu_indices(flat.shape[1], flat.shape[1], 1)
    distances = torch.cdist(flat, flat)[:, pairs[0], pairs[1]]
    return distances.mean(1, keepdim=True) / flat.shape[2] ** 0.5


def told_apart(
    real: Float[Tensor, "n 3 h w"], samples: Float[Tensor, "n k 3 h w"], seed: int
) -> Value:
    """Accuracy of a fresh classifier in telling a sample of each image from a real image."""
    right = two_sample(real, samples[:, 0], seed=seed)
    ends = interval(right, resamples=RESAMPLES, seed=seed)
    return {"value": float(right.mean()), "ci95": list(ends)}


def errors_of(codes: Float[Tensor, "n k d"], wanted: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """The root mean square difference of samples' codes from those of their images."""
    return (codes - wanted[:, None]).square().mean(2).sqrt()


def measured(
    images: Float[Tensor, "n 3 h w"],
    samples: Float[Tensor, "n k 3 h w"],
    encode: Callable[[Tensor], Tensor],
    judge: Callable[[Tensor], Tensor],
    real: Float[Tensor, "n 3 h w"],
    seed: int,
) -> dict[str, Value]:
    """All measures of the samples of a method.

    Args:
        images: Whose fibers were sampled.
        samples: Some of each.
        encode: The subject, images to codes.
        judge: Another network, images to logits.
        real: Other real images.
        seed: Of the classifier that tells them apart.
    """

    def all_of(network: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            parts = [network(part) for part in samples.flatten(0, 1).split(1000)]
        return torch.cat(parts).unflatten(0, samples.shape[:2])

    with torch.no_grad():
        wanted, labels = encode(images), judge(images).argmax(1)
    found = background_of(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
    counts = counted(found)
    kept = all_of(judge).argmax(2) == labels[:, None]
    return {
        "fiber": mean_of(errors_of(all_of(encode), wanted)),
        "divergence": jackknifed(divergence_of, counts),
        "distance": jackknifed(distance_of, counts),
        "copied": copied(background_of(images), found),
        "apart": mean_of(apart(samples)),
        "told": told_apart(real, samples, seed),
        "kept": mean_of(kept.double()),
    }
