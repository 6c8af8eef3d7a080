"""Smoothness of paths and repeatability, against closed forms, loops and a published table."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filtergan.measures.registry import lookup
from filtergan.measures.smoothness import curvature, path_length, repeatability, roughness


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def straight(n=5, t=6, speed=2.0):
    direction = normal(n, 1, 8)
    direction = speed * direction / direction.norm(dim=2, keepdim=True)
    return normal(n, 1, 8, seed=1) + torch.arange(float(t))[:, None] * direction


@pytest.mark.parametrize("name", ["path_length", "roughness", "curvature", "repeatability"])
def test_registered(name):
    assert lookup(name).name == name


@given(st.floats(0.1, 5), st.floats(0.1, 5))
def test_a_straight_path_has_the_length_of_its_speed(speed, step):
    path = straight(speed=speed)
    assert path_length(path, step).tolist() == pytest.approx([(speed / step) ** 2] * 5, rel=1e-2)
    assert roughness(path).tolist() == pytest.approx([1.0] * 5, rel=1e-2)
    assert curvature(path).tolist() == pytest.approx([1.0] * 5, rel=1e-3)


def test_path_length_trims_both_ends_of_all_steps():
    path = normal(40, 11, 3)
    lengths = path.diff(dim=1).square().sum(dim=2).numpy() / 0.25
    low = np.quantile(lengths, 0.01, method="lower")
    high = np.quantile(lengths, 0.99, method="higher")
    kept = np.where((lengths < low) | (lengths > high), np.nan, lengths)
    found = path_length(path, 0.5)
    assert found.tolist() == pytest.approx(np.nanmean(kept, axis=1).tolist(), rel=1e-5)
    assert np.isnan(kept).sum() == 6
    path[0, 5:] += 1000  # one jump, which must not carry the mean
    assert float(path_length(path, 0.5).nanmean()) < 1.2 * float(found.mean())


def test_a_jump_is_rough():
    path = straight(n=3, t=7)
    path[1, 4:] += 5 * (path[1, 1] - path[1, 0])
    assert roughness(path).tolist() == pytest.approx([1.0, 6.0, 1.0], rel=1e-4)


def test_an_arc_is_as_curved_as_geometry_says():
    angles = torch.linspace(0, math.pi, 400)
    arcs = torch.stack([torch.stack([angles.cos(), angles.sin()], 1), angles[:, None].repeat(1, 2)])
    assert curvature(arcs).tolist() == pytest.approx([math.pi / 2, 1.0], rel=1e-4)


def test_paths_that_go_nowhere_are_undefined():
    still = torch.ones(2, 5, 1, 3, 3)
    assert roughness(still).isnan().all()
    assert curvature(still).isnan().all()
    assert path_length(still.flatten(2), 1.0).tolist() == [0.0, 0.0]


# repeatability

SHROUT_FLEISS = (
    (9, 2, 5, 8),
    (6, 1, 3, 2),
    (8, 4, 6, 8),
    (7, 1, 2, 6),
    (10, 5, 6, 9),
    (6, 2, 4, 7),
)


def test_published_table():
    """Shrout and Fleiss 1979, table 2: ICC(1,1) is .17 (.166 from their mean squares)."""
    values = torch.tensor(SHROUT_FLEISS, dtype=torch.float32)[None, :, :, None]
    value, (low, high) = repeatability(values)
    assert value == pytest.approx((11.24 - 6.26) / (11.24 + 3 * 6.26), abs=0.002)
    assert math.isnan(low)  # one image has no interval
    assert math.isnan(high)


def slow_icc(values):
    n, p, r, d = values.shape
    between = within = 0.0
    for image in values.double().numpy():
        for feature in range(d):
            table = image[:, :, feature]
            between += r * ((table.mean(axis=1) - table.mean()) ** 2).sum()
            within += ((table - table.mean(axis=1, keepdims=True)) ** 2).sum()
    msb, msw = between / (n * (p - 1)), within / (n * p * (r - 1))
    return (msb - msw) / (msb + (r - 1) * msw)


@given(st.integers(1, 4), st.integers(2, 4), st.integers(2, 4), st.integers(0, 99))
def test_repeatability_matches_a_slow_analysis_of_variance(n, p, r, seed):
    values = normal(n, p, 1, 5, seed=seed) + normal(n, p, r, 5, seed=seed + 1)
    assert repeatability(values)[0] == pytest.approx(slow_icc(values), abs=1e-6)


def test_planted_share_is_found_and_covered():
    """Variance 4 between points, 1 within: .8; 95 % of the intervals hold it."""
    hits, values = 0, []
    for seed in range(150):
        points = 2 * normal(40, 3, 1, 6, seed=2 * seed)
        value, (low, high) = repeatability(points + normal(40, 3, 3, 6, seed=2 * seed + 1))
        values.append(value)
        hits += low < 0.8 < high
    assert np.mean(values) == pytest.approx(0.8, abs=0.005)
    assert 0.9 < hits / 150 < 0.99


def test_differences_between_images_do_not_pass_for_repeatability():
    noise = normal(50, 3, 3, 20)
    value, (low, high) = repeatability(100 * normal(50, 1, 1, 20, seed=1) + noise)
    assert value == pytest.approx(0, abs=0.05)
    assert low < 0 < high


def test_exact_repeats_and_no_variation():
    points = normal(5, 3, 1, 4).expand(-1, -1, 3, -1)
    assert repeatability(points)[0] == pytest.approx(1.0)
    assert math.isnan(repeatability(torch.ones(5, 3, 3, 4))[0])
