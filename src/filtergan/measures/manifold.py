"""Whether a recovered image still is one of its class, to classifiers never fooled."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.measures.definition import AS_LARGE, Measure

NNPREIMAGE = "Mahendran and Vedaldi 2015, exp_match_accuracy.m"
MEASURES = (
    Measure(
        "judge_accuracy",
        "Test accuracy of a judge: a classifier of another make than the studied network, which no "
        "generator ever saw.",
        0.0,
        1.0,
        "higher",
        "always the most frequent class",
        "share",
        "own",
    ),
    Measure(
        "labels_kept_judges",
        "Share of judges, over all recovered images, that label x_k as they label x.",
        0.0,
        1.0,
        "higher",
        AS_LARGE,
        "share",
        NNPREIMAGE,
    ),
    Measure(
        "labels_kept_at_{r}",
        "Share of images that the real network labels as it labels x, at distance {r} from z.",
        0.0,
        1.0,
        "higher",
        "",
        "share",
        NNPREIMAGE,
    ),
    Measure(
        "labels_kept_judges_at_{r}",
        "Share of judges, over all images, that keep their label at distance {r} from z.",
        0.0,
        1.0,
        "higher",
        "",
        "share",
        NNPREIMAGE,
    ),
    Measure(
        "judges_divergence",
        "Kullback-Leibler divergence of what the judges say of x_k from what they say of x, mean "
        "over judges.",
        0.0,
        None,
        "lower",
        AS_LARGE,
        "nats",
        "own",
    ),
    Measure(
        "manifold_percentile",
        "Where the distance from x_k to the nearest training image of its class stands among those "
        "of test images (median): .5 for an image like these.",
        0.0,
        1.0,
        "lower",
        AS_LARGE,
        "share",
        "own",
        centre="median",
    ),
    Measure(
        "on_manifold_share",
        "Share of recovered images no farther from the training images of their class than 95 % of "
        "test images are.",
        0.0,
        1.0,
        "higher",
        AS_LARGE,
        "share",
        "own",
    ),
)


def judges_agree(
    logits_x: Float[Tensor, "j n classes"], logits_xk: Float[Tensor, "j n p classes"]
) -> Float[Tensor, "n p"]:
    """Share of judges that label x_k as they label x, per point.

    Args:
        logits_x: Of each judge for each image.
        logits_xk: Of each judge for each recovered image.
    """
    kept = logits_xk.argmax(-1) == logits_x.argmax(-1)[:, :, None]
    return kept.float().mean(0)


def divergence(
    logits_x: Float[Tensor, "j n classes"], logits_xk: Float[Tensor, "j n p classes"]
) -> Float[Tensor, "n p"]:
    """KL(h(x) || h(x_k)) in nats, mean over the judges h, per point.

    Args:
        logits_x: Of each judge for each image.
        logits_xk: Of each judge for each recovered image.
    """
    log_p = F.log_softmax(logits_x.double(), -1)[:, :, None]
    log_q = F.log_softmax(logits_xk.double(), -1)
    each = (log_p.exp() * (log_p - log_q)).sum(-1)
    return each.clamp_min(0).mean(0).to(logits_x.dtype)


def manifold_percentile(
    features: Float[Tensor, "n p d"],
    labels: Int64[Tensor, " n"],
    train: Float[Tensor, "t d"],
    train_labels: Int64[Tensor, " t"],
    held: Float[Tensor, "m d"],
    held_labels: Int64[Tensor, " m"],
) -> Float[Tensor, "n p"]:
    """Where x_k stands among test images in its distance to the training images.

    The distance is that to the nearest training image of the class of x, in a judge's features; it
    is compared with the distances of other test images of that class.

    Args:
        features: Of the recovered images (psi).
        labels: True classes of the images x they were recovered from.
        train: Features of training images.
        train_labels: Their classes.
        held: Features of test images.
        held_labels: Their classes.

    Returns:
        Share of the test images that lie nearer, ties counted by half; NaN where the class has no
        training or no test image.
    """
    found = torch.full(features.shape[:2], torch.nan)
    for label in labels.unique():
        ours, near, others = labels == label, train_labels == label, held_labels == label
        if near.any() and others.any():
            known = train[near]
            ordered = _nearest(held[others], known).sort().values
            distance = _nearest(features[ours].flatten(0, 1), known)
            below = torch.searchsorted(ordered, distance)
            below_or_at = torch.searchsorted(ordered, distance, right=True)
            share = (below + below_or_at) / (2 * len(ordered))
            found[ours] = share.view(-1, features.shape[1])
    return found


def _nearest(points: Float[Tensor, "n d"], known: Float[Tensor, "t d"]) -> Float[Tensor, " n"]:
    """Distance of each point to the nearest known one."""
    return torch.cat([torch.cdist(part, known).amin(1) for part in points.split(1000)])
