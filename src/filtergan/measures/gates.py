"""Tests of a traversal: whether it is to be believed, whether it shows an invariance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INVERTED = 0.95  # share of points whose residual no random pair of images reaches
REPEATABLE = 0.8  # of the variance between points, in inversions from other starts
ON_MANIFOLD = 0.8  # share of points no further from the training images than most test images
LABELS_KEPT = 0.95
IMAGE_CHANGE = 0.15  # norms of x

Found = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """One test of a site's traversals.

    Attributes:
        name: What is tested, in a word or two.
        passed: None: could not be tested.
        told: The numbers behind it.
        failure: What to say where it is failed.
    """

    name: str
    passed: bool | None
    told: str
    failure: str


def gates(found: Found) -> list[Check]:
    """The three tests without which a traversal is shown as failed, never as a finding.

    Args:
        found: Measures of a site, or of any set of recovered images, in the record's form.

    Returns:
        Inversion (the residual beats random pairs of images, and compensation beats
        norm-matched random changes of the filters), repeatability, naturalness.
    """
    share, ours, null = (
        value_of(found, name)
        for name in ("inversion_gate_share", "compensation", "compensation_null")
    )
    low, high = _ends(found, "compensation")[0], _ends(found, "compensation_null")[1]
    known = None not in (share, ours, null, low, high)
    inverted = share >= INVERTED and low > high if known else None
    repeatable, natural = value_of(found, "repeatability"), value_of(found, "on_manifold_share")
    return [
        Check(
            "inversion",
            inverted,
            f"{told(share)} of points beat random pairs of images, compensation {told(ours)} "
            f"against {told(null)} for random changes of the filters",
            "inversion no better than chance",
        ),
        Check(
            "repeatability",
            None if repeatable is None else repeatable >= REPEATABLE,
            f"repeatability (ICC) {told(repeatable)}, to reach {REPEATABLE}",
            "not repeatable",
        ),
        Check(
            "naturalness",
            None if natural is None else natural >= ON_MANIFOLD,
            f"{told(natural)} of images on the manifold, to reach {ON_MANIFOLD}",
            "off the manifold",
        ),
    ]


def findings(found: Found) -> list[Check]:
    """The tests that, beside the gates, a traversal must pass to count as an invariance.

    Args:
        found: As for `gates`.

    Returns:
        Labels kept by the network, and by independent judges where there are any; visible change.
    """
    kept, judged = value_of(found, "labels_kept"), value_of(found, "labels_kept_judges")
    change = value_of(found, "image_change")
    tests = [
        Check(
            "labels",
            None if kept is None else kept >= LABELS_KEPT,
            f"labels kept {told(kept)} by the network",
            "too few labels are kept",
        ),
        Check(
            "change",
            None if change is None else change >= IMAGE_CHANGE,
            f"image change {told(change)}",
            "the images hardly change",
        ),
    ]
    if judged is not None:
        said = f"labels kept {judged:.3f} by independent judges"
        failure = "independent judges keep too few labels"
        tests.insert(1, Check("judges", judged >= LABELS_KEPT, said, failure))
    return tests


def failures(found: Found) -> tuple[str, ...]:
    """What to write across the traversals: the gates failed, in words; empty if none is."""
    return tuple(test.failure for test in gates(found) if test.passed is False)


def is_invariance(found: Found) -> bool:
    """Whether every gate and every finding is passed; one that could not be tested is not."""
    return all(test.passed for test in (*gates(found), *findings(found)))


def value_of(found: Found, name: str) -> Any:
    """Value of a measure in the record's form; None where it was not measured."""
    return found.get(name, {}).get("value")


def _ends(found: Found, name: str) -> tuple[Any, Any]:
    low, high = found.get(name, {}).get("ci95") or (None, None)
    return low, high


def told(value: float | None) -> str:
    """A number as the tests print it."""
    return "not measured" if value is None else f"{value:.2f}"
