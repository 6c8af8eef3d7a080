"""Invariance measures against closed forms, slow loops and the package tmeasures."""

import math
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from filtergan.measures.invariance import (
    invariance_gain,
    normalized_variance,
    normalized_variances,
    other_images,
)
from filtergan.measures.registry import lookup


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("known", ["noise", "affine", "brightness", "thickness", "warp"])
def test_registered(known):
    assert known in lookup(f"invariance_gain_{known}").meaning
    assert known in lookup(f"normalized_variance_{known}").meaning
    assert lookup("normalized_variance_traversal")


# gain


def gain(x, x_k, t_x):
    return invariance_gain(x, x_k, t_x, resamples=500, seed=0)


@given(st.floats(0.05, 20))
def test_gain_is_the_ratio_of_squared_changes(ratio):
    x, change = normal(12, 1, 4), normal(12, 3, 4, seed=1)
    value, (low, high) = gain(x, x + ratio * change, x + change)
    assert (value, low, high) == pytest.approx((ratio**2,) * 3, rel=1e-2)


def test_gain_compares_means_not_points():
    x = torch.zeros(2, 1, 1)
    ours = torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]]])
    known = torch.tensor([[[2.0], [0.0]], [[1.0], [3.0]]])
    assert gain(x, ours, known)[0] == pytest.approx((1 + 4 + 9) / (4 + 1 + 9))


def test_gain_interval_covers_the_truth():
    hits = 0
    for seed in range(100):
        size = normal(60, 4, 1, seed=3 * seed).exp()
        ours, known = size * normal(60, 4, 5, seed=3 * seed + 1), size * normal(60, 4, 5, seed=seed)
        _, (low, high) = gain(torch.zeros(60, 1, 5), 0.5 * ours, known)
        hits += low < 0.25 < high
    assert hits >= 88


def test_gain_leaves_out_undefined_points():
    x, ours, known = torch.zeros(6, 1, 2), normal(6, 3, 2), normal(6, 3, 2, seed=1)
    ours[0, 0], known[2, 1] = math.nan, math.nan
    keep = ~(ours.isnan() | known.isnan()).any(dim=2)
    truth = ours[keep].square().sum() / known[keep].square().sum()
    assert gain(x, ours, known)[0] == pytest.approx(float(truth), rel=1e-5)
    assert math.isnan(gain(x, ours, torch.zeros(6, 3, 2))[0])


# normalised variance


def tmeasures_result(activations):
    """The package's NormalizedVarianceInvariance, fed with activations instead of a network."""
    # The package loads its figures, and what they need, on import; no figure is plotted here.
    sys.modules.setdefault("tmeasures.visualization", types.ModuleType("tmeasures.visualization"))
    package = pytest.importorskip("tmeasures.np.variance_invariance")
    table = activations.double().numpy()

    class Table:
        def layer_names(self):
            return ["response"]

        def samples_first(self):
            for row in table:
                yield None, [(None, [row])]

        def transformations_first(self):
            for column in range(table.shape[1]):
                yield None, [(None, [table[:, column]])]

    measure = package.NormalizedVarianceInvariance()
    return torch.from_numpy(measure.eval(Table()).layers[0])


def responses(n=30, gains=(1.0, 0.8, 0.6, 0.4)):
    """A small ReLU network's responses to images under brightness, some features dead."""
    images = normal(n, 1, 1, 10, 10).abs()
    under = (images * torch.tensor(gains)[:, None, None, None]).flatten(0, 1)
    bias = torch.cat([torch.full((4,), -50.0), torch.zeros(8)])
    out = F.conv2d(under, normal(12, 1, 3, 3, seed=1) / 3, bias).relu()
    return out.flatten(1).unflatten(0, (n, len(gains)))


def test_normalized_variance_agrees_with_tmeasures():
    activations = responses()
    ours, theirs = normalized_variances(activations), tmeasures_result(activations)
    assert (ours == 1).float().mean() > 0.3  # dead features are compared too
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=0)
    alive = (activations != activations[:1, :1]).any(dim=0).any(dim=0)
    value = normalized_variance(activations)[0]
    assert value == pytest.approx(float(theirs[alive].mean()), rel=1e-4)


@given(st.integers(2, 9), st.integers(2, 6), st.integers(1, 5), st.integers(0, 99))
def test_normalized_variance_agrees_whatever_the_shape(n, t, d, seed):
    activations = normal(n, t, d, seed=seed)
    theirs = tmeasures_result(activations)
    torch.testing.assert_close(
        normalized_variances(activations).double(), theirs, rtol=1e-4, atol=0
    )
    assert normalized_variance(activations)[0] == pytest.approx(float(theirs.mean()), rel=1e-4)


def test_invariant_equal_and_only_transformed_features():
    images, transformed = normal(400, 1, 1), normal(1, 400, 1, seed=1)
    invariant = images.expand(-1, 5, -1)
    assert normalized_variance(invariant)[0] == 0
    both = normal(400, 400, 1, seed=2)  # a transformation moves it as another image does
    assert normalized_variance(both)[0] == pytest.approx(1, abs=0.01)
    assert normalized_variance(transformed.expand(3, -1, -1))[0] == math.inf
    assert math.isnan(normalized_variance(torch.ones(5, 4, 3))[0])


def test_dead_features_do_not_dilute():
    activations = 0.1 * normal(50, 4, 3, seed=1) + normal(50, 1, 3)
    padded = torch.cat([activations, torch.full((50, 4, 30), 0.3)], dim=2)
    value, ends = normalized_variance(activations)
    assert normalized_variance(padded)[0] == pytest.approx(value)
    assert normalized_variance(padded)[1] == pytest.approx(ends)
    assert (normalized_variances(padded)[3:] == 1).all()


def test_interval_is_the_jackknife_of_the_whole_measure():
    activations = responses(n=12)
    value, (low, high) = normalized_variance(activations)
    keep = ~torch.eye(12, dtype=torch.bool)
    without = np.array([normalized_variance(activations[row])[0] for row in keep])
    reach = 2.200985 * without.std() * math.sqrt(11)  # Student's t, 11 degrees of freedom
    assert (low, high) == pytest.approx((value - reach, value + reach), rel=1e-4)


def test_a_network_that_divides_by_the_norm_ignores_brightness():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(30, 1, 100, generator=rng) * torch.tensor([1.0, 0.7, 0.4])[:, None]
    weights = torch.randn(100, 20, generator=rng)
    normed = images / images.norm(dim=2, keepdim=True) @ weights
    assert normalized_variance(normed)[0] < 1e-4 < 0.3 < normalized_variance(images @ weights)[0]


@pytest.mark.parametrize("t", [2, 3, 9])
def test_changes_that_are_other_images_vary_as_much_as_images_do(t):
    value, _ = normalized_variance(normal(400, t, 300))
    assert value == pytest.approx(other_images(t, 400), rel=0.01)
    assert other_images(3, 10**6) == pytest.approx(math.sqrt(math.pi) / 2, rel=1e-4)
