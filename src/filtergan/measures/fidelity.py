"""Whether generated samples can be told from real ones: PRDC and a two-sample test."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from filtergan.classifiers.fitting import fit, predict
from filtergan.machine import runtime
from filtergan.measures.definition import Measure

NAEEM = "Naeem et al. 2020, prdc.py"
RANDOM = "responses under random filters"
TESTER = "Lopez-Paz and Oquab 2017, classifier two-sample test"
MEASURES = (
    Measure(
        "response_precision",
        "Share of generated responses that lie within some real response's ball, which reaches to "
        "its fifth nearest real neighbour.",
        0.0,
        1.0,
        "higher",
        RANDOM,
        "share",
        "Kynkäänniemi et al. 2019; " + NAEEM,
    ),
    Measure(
        "response_recall",
        "Share of real responses that lie within some generated response's ball.",
        0.0,
        1.0,
        "higher",
        RANDOM,
        "share",
        "Kynkäänniemi et al. 2019; " + NAEEM,
    ),
    Measure(
        "response_density",
        "In how many real balls a generated response lies, over how many a real one would: 1 for "
        "samples of one distribution.",
        0.0,
        None,
        "higher",
        RANDOM,
        "ratio",
        NAEEM,
    ),
    Measure(
        "response_coverage",
        "Share of real responses with a generated one in their ball.",
        0.0,
        1.0,
        "higher",
        RANDOM,
        "share",
        NAEEM,
    ),
    Measure(
        "two_sample_accuracy",
        "Accuracy of a fresh classifier in telling generated responses from real ones, on images "
        "it was not trained on.",
        0.0,
        1.0,
        "lower",
        "samples that cannot be told apart",
        "share",
        TESTER,
    ),
    Measure(
        "image_two_sample_accuracy",
        "Accuracy of a fresh classifier in telling recovered images from other test images, on "
        "images it was not trained on.",
        0.0,
        1.0,
        "lower",
        "samples that cannot be told apart",
        "share",
        TESTER,
    ),
)
TIE = 1e-9  # of the largest distance; below it two samples are the same
SIDE = 8  # samples with more places a side are strided over first


def prdc(
    real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5
) -> dict[str, Float[Tensor, "..."]]:
    """Precision, recall, density and coverage of fakes, by balls of k nearest neighbours.

    As in prdc.py (Naeem et al. 2020), but for ties: a ball is closed, and a sample's contribution
    to density is divided by the neighbours that its ball really holds (k, unless there are ties).
    So identical features give 1 throughout, and not 0, 0, n/k and 0 (its issues 3 and 7).

    Args:
        real: Features of real samples, at least 1,000 for values that compare.
        fake: Features of generated ones.
        k: Which neighbour a ball reaches to; at most one less than there are samples.

    Returns:
        By the name of the measure, numbers whose mean is its value: one per fake for
        `response_precision` and `response_density`, one per real sample for `response_recall` and
        `response_coverage`. NaN where there are fewer than two samples of either kind.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        undefined = {name: torch.full((m,), torch.nan) for name in ("precision", "density")}
        undefined |= {name: torch.full((n,), torch.nan) for name in ("recall", "coverage")}
        return {f"response_{name}": values for name, values in undefined.items()}
    centre = real.double().mean(0)
    a, b = real.double() - centre, fake.double() - centre
    among_real, among_fake, between = _squared(a, a), _squared(b, b), _squared(a, b)
    tie = TIE * max(float(d.max()) for d in (among_real, among_fake, between))
    # The nearest to a sample is itself.
    around_real = among_real.kthvalue(min(k, n - 1) + 1, dim=1).values + tie
    around_fake = among_fake.kthvalue(min(k, m - 1) + 1, dim=1).values + tie
    inside = between <= around_real[:, None]
    held = (among_real <= around_real[:, None]).sum(1) - 1
    found = {
        "precision": inside.any(0),
        "recall": (between <= around_fake).any(1),
        "density": (inside / held[:, None]).sum(0),
        "coverage": inside.any(1),
    }
    return {f"response_{name}": values.float() for name, values in found.items()}


def _squared(a: Float64[Tensor, "n d"], b: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """Squared distances; a matrix product in double precision is exact enough, and fast."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return (lengths - 2 * a @ b.T).clamp_min(0)


def two_sample(
    real: Float[Tensor, "n ..."],
    fake: Float[Tensor, "n ..."],
    *,
    seed: int,
    device: torch.device | str = "cpu",
    epochs: int = 25,
) -> Float[Tensor, " held"]:
    """How well a fresh classifier tells fakes from real samples of images it has not seen.

    Rows of the same number belong together (to one image, or to no common one): half of the rows,
    chosen at random, teach it, and the others examine it.

    The one measure that trains: on `device`, a classifier of its own, by `classifiers.fitting`,
    which lets several processes share the examination.

    Args:
        real: Responses or images [n, c, h, w], or features [n, d].
        fake: As many of the other kind.
        seed: Of the halves, the classifier's first weights and its training.
        device: Where to train.
        epochs: Passes over the first half.

    Returns:
        For each row of the second half the share of its two samples that was told correctly: 0,
        1/2 or 1. The mean is the accuracy, .5 where there is nothing to tell. Empty where there
        are fewer than two rows.
    """
    n = len(real)
    if n < 2:
        return torch.empty(0)
    order = torch.randperm(n, generator=runtime.generator(seed, "two-sample halves"))
    taught, held = order[: n // 2].to(real.device), order[n // 2 :].to(real.device)
    samples = torch.cat([real[taught], fake[taught]])
    across = (0, *range(2, samples.ndim))
    mean = samples.mean(across, keepdim=True)
    sd = samples.std(across, keepdim=True, correction=0)
    # A channel that hardly varies stays small, instead of becoming mere noise.
    sd = sd.clamp_min(0.1 * float(sd.square().mean().sqrt()) + 1e-12)

    def prepare(x: Tensor) -> Tensor:
        return (x.float() - mean.to(x.device)) / sd.to(x.device)

    with runtime.own_randomness(runtime.derive_seed(seed, "two-sample weights")):
        network = _classifier(samples.shape[1:])
    fit(
        network,
        network.parameters(),
        samples,
        _kinds(len(taught)).to(real.device),
        epochs=epochs,
        batch=64,
        rate=3e-3,
        weight_decay=0.1,
        seed=runtime.derive_seed(seed, "two-sample training"),
        device=device,
        prepare=prepare,
    )
    logits = predict(network, torch.cat([real[held], fake[held]]), device=device, prepare=prepare)
    right = logits.argmax(1) == _kinds(len(held))
    return right.view(2, -1).float().mean(0)


def _kinds(n: int) -> Int64[Tensor, " both"]:
    """Labels of n real samples, then of n fakes."""
    return torch.arange(2).repeat_interleave(n)


def _classifier(shape: torch.Size) -> nn.Module:
    """Two convolutions for samples with places in a plane, one hidden layer for others."""
    if len(shape) != 3:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(shape.numel(), 64), nn.ReLU(), nn.Linear(64, 2)
        )
    stride = 2 if max(shape[1:]) > SIDE else 1
    return nn.Sequential(
        nn.Conv2d(shape[0], 32, 3, stride, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, 2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 16, 2),
    )
