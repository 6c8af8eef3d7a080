"""What the accuracies of a study mean: the network's, single draws', pooled draws', controls'."""

import torch
from jaxtyping import Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from filtergan.measures.definition import PAPER, Measure


def _accuracy(name: str, meaning: str, null_meaning: str, source: str) -> Measure:
    return Measure(name, meaning, 0.0, 1.0, "higher", null_meaning, "accuracy", source)


_RETRAINED = "random filters pooled alike, later layers re-trained alike"

MEASURES = (
    _accuracy(
        "real_accuracy",
        "Test accuracy of the studied network as it is.",
        "the most frequent class",
        f"{PAPER}, section 4",
    ),
    _accuracy(
        "single_draw_accuracy",
        "Test accuracy with the filters of one draw in the site's place, nothing re-trained; "
        "mean over draws.",
        "one set of random filters, nothing re-trained",
        "own, after the paper's claim that draws are drop-in filters",
    ),
    Measure(
        "single_draw_accuracy_sd",
        "Standard deviation of that accuracy between draws.",
        0.0,
        0.5,
        "lower",
        "",
        "accuracy",
        "own",
    ),
    _accuracy(
        "single_draw_accuracy_min",
        "The worst draw's test accuracy, nothing re-trained.",
        "one set of random filters, nothing re-trained",
        "own",
    ),
    _accuracy(
        "pooled_accuracy_k{k}",
        "Test accuracy when the site's response is the average over {k} draws (eq. 9), nothing "
        "re-trained.",
        "random filters in the site's place, pooled alike, nothing re-trained",
        f"{PAPER}, eq. 9",
    ),
    _accuracy(
        "pooled_retrained_accuracy",
        "Test accuracy with draws averaged at the site (eq. 9) and the later layers re-trained.",
        _RETRAINED,
        f"{PAPER}, eq. 9 and its last experiment",
    ),
    _accuracy(
        "real_retrained_accuracy",
        "Control: the real filters, later layers re-trained alike.",
        _RETRAINED,
        "own control",
    ),
    _accuracy(
        "noise_matched_retrained_accuracy",
        "Control: the real filters plus Gaussian noise of the draws' variance, pooled and "
        "re-trained alike.",
        _RETRAINED,
        "own control",
    ),
    Measure(
        "random_filters_retrained_accuracy",
        "Null: Gaussian filters with the real ones' means and norms, pooled and re-trained alike.",
        0.0,
        1.0,
        "neither",
        "",
        "accuracy",
        "own control",
    ),
    Measure(
        "pooled_retrained_gain",
        "Accuracy of the pooled draws less that of the real filters, both re-trained, on the same "
        "test images.",
        -1.0,
        1.0,
        "higher",
        "no difference",
        "accuracy",
        f"{PAPER}, its last experiment, with the control it lacks",
    ),
)


def reordered_accuracy(labels: Int64[Tensor, " n"], predicted: Int64[Tensor, " n"]) -> float:
    """The accuracy that predictions would have if their classes were renamed as well as can be."""
    classes = int(torch.stack([labels, predicted]).max()) + 1
    counts = torch.zeros(classes, classes, dtype=torch.long)
    counts.index_put_((predicted, labels), torch.ones_like(labels), accumulate=True)
    pairs = linear_sum_assignment(counts.numpy(), maximize=True)
    return float(counts[pairs].sum()) / len(labels)
