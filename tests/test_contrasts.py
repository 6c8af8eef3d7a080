"""Intervals over seeds and images, and tests, against closed forms and simulation."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from records import measured
from scipy import stats

from filtergan.measures.contrasts import crossed_interval, difference, holm, pool
from filtergan.measures.registry import lookup, result


def test_a_single_seed_keeps_its_own_interval() -> None:
    found = measured(0.5).model_copy(update={"ci95": (0.3, 0.6)})
    estimate = pool([found], lookup("compensation"))
    assert (estimate.value, estimate.low, estimate.high, estimate.seeds) == (0.5, 0.3, 0.6, 1)
    assert math.isnan(estimate.sd)
    bare = pool([measured(0.5)])
    assert math.isnan(bare.low)
    assert math.isnan(difference(estimate, bare).p)


def test_without_intervals_the_test_is_welchs() -> None:
    a, b = [0.41, 0.45, 0.38], [0.52, 0.61, 0.55, 0.49]
    one, base = pool([measured(v) for v in b]), pool([measured(v) for v in a])
    oracle: Any = stats.ttest_ind(b, a, equal_var=False)
    found = difference(one, base)
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval()))
    mean = stats.t.interval(0.95, 3, np.mean(b), stats.sem(b))
    assert (one.low, one.high) == pytest.approx(mean)


def test_equal_seeds_leave_the_error_of_the_images() -> None:
    estimate = pool([measured(0.5, 0.0196, n=10**6)] * 4)
    assert math.sqrt(estimate.variance) == pytest.approx(0.01, rel=1e-4)
    assert estimate.high - estimate.value == pytest.approx(0.0196, rel=1e-3)


def test_what_cannot_be_tested_is_not() -> None:
    certain = [pool([measured(v, 0.0)]) for v in (1.0, 1.0, 0.9)]
    assert difference(certain[0], certain[1]).p == 1
    assert math.isnan(difference(certain[0], certain[2]).p)


def test_an_interval_stays_within_the_measures_range() -> None:
    kept = [result("labels_kept", v, (v - 0.01, 1.0), 100) for v in (0.98, 1.0, 0.99)]
    assert pool(kept, lookup("labels_kept")).high == 1
    assert pool(kept).high > 1


@pytest.mark.parametrize(("images", "seeds"), [(1.0, 0.2), (0.2, 1.0), (1.0, 1.0)])
def test_intervals_cover_and_tests_hold_their_level(images: float, seeds: float) -> None:
    # All seeds of both configurations share the images; each seed has an error of its own.
    rng, covered, found, trials = np.random.default_rng(0), 0, 0, 250
    for shared in images * rng.standard_normal(trials):
        values = shared + seeds * rng.standard_normal((2, 3))
        a, b = (pool([measured(v, 1.959964 * images) for v in row]) for row in values)
        covered += a.low <= 0 <= a.high
        found += difference(a, b).p < 0.05
    assert covered / trials > 0.88  # .93 to .95 of many
    assert found / trials < 0.08


@pytest.mark.parametrize(
    ("seeds", "of_images", "of_seeds"),
    [(2, 1.0, 1.0), (3, 0.3, 1.0), (5, 1.0, 0.1), (5, 1.0, 1.0)],
)
def test_intervals_over_seeds_and_images_cover_the_truth(
    seeds: int, of_images: float, of_seeds: float
) -> None:
    rng, covered, trials = np.random.default_rng(0), 0, 300
    for _ in range(trials):
        matrix = of_seeds / 4 * rng.normal(size=(seeds, 1)) + of_images * rng.normal(size=60)
        low, high = crossed_interval(torch.from_numpy(matrix + rng.normal(size=matrix.shape)))
        covered += low <= 0 <= high
    assert (0.87 if seeds == 2 else 0.9) < covered / trials < 0.99


def test_intervals_over_seeds_and_images_are_those_of_the_part_that_varies() -> None:
    """Where images are alike, Student's t over seeds; where seeds are, the normal law."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=4)
    alike = torch.from_numpy(values)[:, None].expand(4, 50)
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert crossed_interval(alike) == pytest.approx(expected)
    images = rng.normal(size=4000)
    same = torch.from_numpy(images).expand(4, 4000)
    expected = stats.t.interval(0.95, 3999, images.mean(), stats.sem(images))
    assert crossed_interval(same) == pytest.approx(expected)
    (low, high), error = crossed_interval(same[:1]), stats.sem(images)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def slow_holm(p: list[float]) -> list[float]:
    """From the definition: the smallest level at which the step-down procedure rejects."""
    corrected = []
    for value in p:
        below = [q for q in p if q <= value]
        steps = [min(1.0, (len(p) - sum(r < q for r in p)) * q) for q in below]
        corrected.append(max(steps))
    return corrected


@given(st.lists(st.floats(0, 1), max_size=8, unique=True), st.integers(0, 3))
def test_holm(p: list[float], undefined: int) -> None:
    found = holm([math.nan] * undefined + p)
    assert all(map(math.isnan, found[:undefined]))
    assert found[undefined:] == pytest.approx(slow_holm(p))
