"""Tests of a traversal: whether it is to be believed, whether it shows an invariance."""

from filtergan.runs.record import NOT_MEASURED, CheckRecord, Ends, Found

INVERTED = 0.95  # share of points whose residual no random pair of images reaches
REPEATABLE = 0.8  # of the variance between points, in inversions from other starts
ON_MANIFOLD = 0.8  # share of points no further from the training images than most test images
LABELS_KEPT = 0.95
IMAGE_CHANGE = 0.15  # norms of x


def beats_null(found: Found) -> bool:
    """Whether more is undone than by the null, by intervals, and more than by doing nothing.

    Nothing is the bar where a null does worse than that, as one does whose training went wrong.
    """
    low, high = ends_of(found, "compensation")[0], ends_of(found, "compensation_null")[1]
    return low is not None and high is not None and low > max(high, 0.0)


def gates(found: Found) -> list[CheckRecord]:
    """The three tests without which a traversal is shown as failed, never as a finding.

    Args:
        found: Measures of a site, or of any set of recovered images, in the record's form.

    Returns:
        Inversion (the residual beats random pairs of images, and compensation beats
        random changes of the filters as large and images left as they are), repeatability,
        naturalness.
    """
    share, ours, null = (
        value_of(found, name)
        for name in ("inversion_gate_share", "compensation", "compensation_null")
    )
    low, high = ends_of(found, "compensation")[0], ends_of(found, "compensation_null")[1]
    inverted, failure = None, "inversion no better than chance"
    if share is not None and low is not None and high is not None:
        beaten = beats_null(found)
        inverted = share >= INVERTED and beaten
        if beaten:
            failure = "inversion fails at too many points"
        elif low > high:
            failure = "inversion no better than leaving images as they are"
    repeatable, natural = value_of(found, "repeatability"), value_of(found, "on_manifold_share")
    return [
        CheckRecord(
            name="inversion",
            passed=inverted,
            told=f"{told(share)} of points beat random pairs of images, compensation {told(ours)} "
            f"against {told(null)} for random changes of the filters{_searched(found)}",
            failure=failure,
        ),
        CheckRecord(
            name="repeatability",
            passed=None if repeatable is None else repeatable >= REPEATABLE,
            told=f"repeatability (ICC) {told(repeatable)}, to reach {REPEATABLE}",
            failure="not repeatable",
        ),
        CheckRecord(
            name="naturalness",
            passed=None if natural is None else natural >= ON_MANIFOLD,
            told=f"{told(natural)} of images on the manifold, to reach {ON_MANIFOLD}",
            failure="off the manifold",
        ),
    ]


def _searched(found: Found) -> str:
    """What a search for each image alone reaches where a rule for all images made them."""
    search = found.get("search_compensation", NOT_MEASURED)
    if search.value is None:
        return ""
    return f"; searched image by image {told(search.value)} against {told(search.null)}"


def findings(found: Found) -> list[CheckRecord]:
    """The tests that, beside the gates, a traversal must pass to count as an invariance.

    Args:
        found: As for `gates`.

    Returns:
        Labels kept by the network, and by independent judges where there are any; visible change.
    """
    kept, judged = value_of(found, "labels_kept"), value_of(found, "labels_kept_judges")
    change = value_of(found, "image_change")
    tests = [
        CheckRecord(
            name="labels",
            passed=None if kept is None else kept >= LABELS_KEPT,
            told=f"labels kept {told(kept)} by the network",
            failure="too few labels are kept",
        ),
        CheckRecord(
            name="change",
            passed=None if change is None else change >= IMAGE_CHANGE,
            told=f"image change {told(change)}",
            failure="the images hardly change",
        ),
    ]
    if judged is not None:
        said = f"labels kept {judged:.3f} by independent judges"
        failure = "independent judges keep too few labels"
        passed = judged >= LABELS_KEPT
        tests.insert(1, CheckRecord(name="judges", passed=passed, told=said, failure=failure))
    return tests


def failures(found: Found) -> tuple[str, ...]:
    """What to write above the traversals: the gates failed, in words; empty if none is."""
    return tuple(test.failure for test in gates(found) if test.passed is False)


def is_invariance(found: Found) -> bool:
    """Whether every gate and every finding is passed; one that could not be tested is not."""
    return all(test.passed for test in (*gates(found), *findings(found)))


def value_of(found: Found, name: str) -> float | None:
    """Value of a measure; None where it was not measured."""
    return found.get(name, NOT_MEASURED).value


def ends_of(found: Found, name: str) -> Ends:
    """Ends of the interval of a measure; None where it has none."""
    return found.get(name, NOT_MEASURED).ci95


def told(value: float | None) -> str:
    """A number as the tests print it."""
    return "not measured" if value is None else f"{value:.2f}"
