"""Every measure by name: what it means, its range, which way is better, its null and its source."""

import re
from dataclasses import dataclass, replace
from typing import Literal

PAPER = "Kilcher et al. 2017"


@dataclass(frozen=True)
class Measure:
    """What a number in the record means."""

    name: str
    meaning: str
    """One sentence."""
    low: float | None
    """Smallest value it can take; None: unbounded."""
    high: float | None
    """Largest value it can take; None: unbounded."""
    better: Literal["higher", "lower", "neither"]
    null_meaning: str
    """What does the same work without the claim being true; empty where there is no such thing."""
    unit: str
    source: str


def _accuracy(name: str, meaning: str, null_meaning: str, source: str) -> Measure:
    return Measure(name, meaning, 0.0, 1.0, "higher", null_meaning, "accuracy", source)


def _pooled(draws: int) -> Measure:
    """Measure of eq. 9 with K = `draws`, nothing re-trained."""
    response = "that of one draw" if draws == 1 else f"the average over {draws} draws (eq. 9)"
    return _accuracy(
        f"pooled_accuracy_k{draws}",
        f"Test accuracy when the site's response is {response}, nothing re-trained.",
        "random filters in the site's place, pooled alike, nothing re-trained",
        f"{PAPER}, eq. 9",
    )


_RETRAINED = "random filters pooled alike, later layers re-trained alike"

_MEASURES = (
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
    *(_pooled(draws) for draws in (1, 2, 5, 10, 20)),
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
    Measure(
        "latent_r2_min",
        "R² with which Q recovers the worst recovered latent from responses to held-out images.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3; Chen et al. 2016 (InfoGAN)",
    ),
    Measure(
        "latent_r2_mean",
        "R² with which Q recovers a latent from responses to held-out images, mean over latents.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3; Chen et al. 2016 (InfoGAN)",
    ),
    Measure(
        "information_nats",
        "Lower bound on the information that a response holds about z, from Q's R² of each latent.",
        0.0,
        None,
        "higher",
        "guessing the mean",
        "nats",
        "Barber and Agakov 2003, Gaussian codes",
    ),
    Measure(
        "profile_residual_before",
        "Squared distance between the profiles of x under z and under z_k, relative to the former: "
        "how far the draw moves the response.",
        0.0,
        None,
        "neither",
        "",
        "relative squared error",
        "eq. 6 at x' = x; Mahendran and Vedaldi 2015",
    ),
    Measure(
        "profile_residual_after",
        "The same between x under z and the recovered x_k under z_k: what the inversion left over.",
        0.0,
        None,
        "lower",
        "random changes of the filters of the same norm, inverted alike",
        "relative squared error",
        "eq. 6; Mahendran and Vedaldi 2015",
    ),
    Measure(
        "compensation",
        "Share of the change in response that a change of the image undid: 1 - after / before, per "
        "point.",
        None,
        1.0,
        "higher",
        "random changes of the filters of the same norm, inverted alike (compensation_null)",
        "share",
        "own",
    ),
    Measure(
        "compensation_null",
        "The same for random changes of the filters of the same norm: what an inversion undoes by "
        "its freedom alone.",
        None,
        1.0,
        "neither",
        "",
        "share",
        "own control",
    ),
    Measure(
        "image_change",
        "How far the recovered image lies from x, relative to the norm of x.",
        0.0,
        None,
        "neither",
        "random changes of the filters of the same norm, inverted alike",
        "norms of x",
        "own",
    ),
    Measure(
        "labels_kept",
        "Share of recovered images that the real network labels as it labels x.",
        0.0,
        1.0,
        "higher",
        "random changes of the filters of the same norm, inverted alike",
        "share",
        "own, after the paper's claim that the changes are irrelevant for the task",
    ),
)

REGISTRY: dict[str, Measure] = {measure.name: measure for measure in _MEASURES}


def latent_name(latent: int) -> str:
    """Name of the measure for the R² of one latent, numbered from 0."""
    return f"latent_r2_{latent}"


def lookup(name: str) -> Measure:
    """Return what a name of the record means, the numbered ones (latents, pooled K) included.

    Raises:
        KeyError: There is no such measure; the record holds none that is not registered.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    if match := re.fullmatch(r"latent_r2_(\d+)", name):
        meaning = f"R² with which Q recovers z{match[1]} from responses to held-out images."
        return replace(REGISTRY["latent_r2_mean"], name=name, meaning=meaning)
    if match := re.fullmatch(r"pooled_accuracy_k([1-9]\d*)", name):
        return _pooled(int(match[1]))
    raise KeyError(f"no measure is registered under {name!r}")
