"""The inversion gate and the number of independent changes, against loops and planted truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr, ttest_ind

from filtergan.measures.inversion import gate, independent_changes, pair_null, profile_agreement
from filtergan.measures.ratios import jackknife_reach, ratio_interval
from filtergan.measures.registry import lookup

NAMES = (
    "inversion_gate_share",
    "profile_correlation",
    "profile_rank_correlation",
    "profile_snr",
    "independent_image_changes",
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


@pytest.mark.parametrize("name", NAMES)
def test_registered(name):
    assert lookup(name).name == name


# ratios


def test_ratio_is_that_of_sums_and_its_inverse_has_the_inverse_interval():
    above, below = normal(30).square(), normal(30, seed=1).square()
    value, (low, high) = ratio_interval(above, below)
    assert value == pytest.approx(float(above.sum() / below.sum()), rel=1e-6)
    inverse, (other_low, other_high) = ratio_interval(below, above)
    assert (inverse, other_low, other_high) == pytest.approx((1 / value, 1 / high, 1 / low))


def test_ratio_interval_covers_the_truth():
    """Skewed clusters whose ratio is 2: about 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        below = rng.exponential(1.0, 60)
        above = 2 * below * rng.lognormal(-0.125, 0.5, 60)
        _, (low, high) = ratio_interval(torch.tensor(above), torch.tensor(below))
        hits += low < 2 < high
    assert 0.91 < hits / 400 < 0.98


def test_ratio_without_a_denominator_or_a_second_cluster():
    none, (low, high) = ratio_interval(torch.zeros(3), torch.zeros(3))
    assert all(map(math.isnan, (none, low, high)))
    one, (low, high) = ratio_interval(torch.tensor([3.0, math.nan]), torch.tensor([2.0, 1.0]))
    assert one == 1.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_jackknife_of_a_mean_is_its_standard_error():
    values = normal(50).double()
    reach = jackknife_reach((values.sum() - values) / 49)
    assert reach == pytest.approx(2.00957 * float(values.std()) / math.sqrt(50), rel=1e-4)


def test_jackknife_over_two_sources_is_that_of_welch():
    """Of a difference of two means, the interval of Welch's t."""
    one, other = normal(12).double(), 3 * normal(5, seed=1).double()
    reach = jackknife_reach((one.sum() - one) / 11, (other.sum() - other) / 4)
    low, high = ttest_ind(one, other, equal_var=False).confidence_interval()
    assert reach == pytest.approx((high - low) / 2, rel=1e-4)
    assert jackknife_reach(torch.ones(4), torch.ones(3)) == 0
    assert math.isnan(jackknife_reach(torch.ones(4), torch.tensor([1.0, math.inf])))


# gate


def test_null_is_the_residual_between_two_images():
    wanted, other = normal(200, 3, 4, 4), normal(200, 3, 4, 4, seed=1)
    null = pair_null(wanted, other)
    slow = [float(((b - a) ** 2).sum() / (a**2).sum()) for a, b in zip(wanted, other, strict=True)]
    assert null.tolist() == pytest.approx(slow, rel=1e-5)
    wanted[3] = 0
    assert pair_null(wanted, other).isnan().nonzero().flatten().tolist() == [3]


def test_gate_passes_what_only_one_pair_in_a_hundred_reaches():
    null = torch.arange(1.0, 1001.0)
    after = torch.tensor([[5.0, 10.0], [11.5, math.nan]])
    assert gate(after, null).tolist() == [[True, True], [False, False]]
    pairs = normal(20000, seed=2).exp()
    assert float(gate(normal(20000, seed=3).exp(), pairs).float().mean()) == pytest.approx(
        0.01, abs=0.003
    )


def test_gate_without_pairs_passes_nothing():
    assert not gate(torch.zeros(3), torch.full((4,), math.nan)).any()


# agreement of profiles


def test_agreement_matches_scipy_ties_included():
    wanted = normal(150, 2, 5, 5).relu()
    found = (wanted + 0.3 * normal(150, 2, 5, 5, seed=1)).relu()
    agreement = profile_agreement(found, wanted)
    for i in (0, 70, 149):
        a, b = found[i].flatten().numpy(), wanted[i].flatten().numpy()
        assert float(agreement["profile_correlation"][i]) == pytest.approx(
            pearsonr(a, b)[0], abs=1e-5
        )
        assert float(agreement["profile_rank_correlation"][i]) == pytest.approx(
            spearmanr(a, b)[0], abs=1e-5
        )


@given(st.floats(0.01, 0.9))
def test_a_relative_error_gives_its_decibels(error):
    wanted = normal(4, 50)
    found = profile_agreement(wanted * (1 + error), wanted)
    assert found["profile_snr"].tolist() == pytest.approx([-20 * math.log10(error)] * 4, abs=1e-2)
    assert found["profile_correlation"].tolist() == pytest.approx([1.0] * 4, abs=1e-5)


def test_agreement_at_its_edges():
    wanted = torch.stack([torch.zeros(5), torch.ones(5), torch.arange(5.0)])
    found = profile_agreement(
        torch.stack([torch.ones(5), torch.arange(5.0), torch.arange(5.0)]), wanted
    )
    assert found["profile_snr"].isnan().tolist() == [True, False, False]
    assert found["profile_snr"][2] == math.inf
    assert found["profile_correlation"].isnan().tolist() == [True, True, False]
    assert found["profile_rank_correlation"].isnan().tolist() == [True, True, False]


# independent changes


def slow_changes(change):
    """One over the mean squared cosine, one pair of different draws of an image at a time."""
    means = []
    for draws in change.double():
        cosines = [
            float(one @ other / (one.norm() * other.norm())) ** 2
            for k, one in enumerate(draws)
            for m, other in enumerate(draws)
            if k != m
        ]
        means.append(sum(cosines) / len(cosines))
    return len(means) / sum(means)


def test_changes_match_a_slow_loop():
    change = normal(5, 4, 7) * torch.rand(5, 4, 1, generator=seeded(1))
    assert independent_changes(change)[0] == pytest.approx(slow_changes(change), rel=1e-5)


def test_brightness_in_either_direction_is_one_change():
    images = torch.rand(20, 1, 50, generator=seeded())
    value, (low, high) = independent_changes(normal(20, 6, 1) * images)
    assert (value, low, high) == pytest.approx((1, 1, 1), abs=1e-5)


@pytest.mark.parametrize("dimension", [2, 10, 784])
def test_isotropic_noise_has_as_many_changes_as_dimensions(dimension):
    """Far more than the eight draws of an image, so the estimate must not be biased by them."""
    value, (low, high) = independent_changes(normal(256, 8, dimension))
    assert value == pytest.approx(dimension, rel=0.08)
    assert low < value < high


def planted(images, draws, shares, seed):
    """Changes along orthogonal directions of each image's own, taken as often as `shares` says."""
    basis = torch.linalg.qr(normal(images, 40, len(shares), seed=seed)).Q.transpose(1, 2)
    rng = seeded(seed + 1)
    taken = torch.multinomial(torch.tensor(shares), images * draws, True, generator=rng)
    size = torch.randn(images, draws, 1, generator=rng)
    change = size * basis[torch.arange(images)[:, None], taken.unflatten(0, (images, draws))]
    return change, 1 / sum(share**2 for share in shares)


def test_planted_directions_are_counted():
    change, truth = planted(400, 8, [0.4, 0.3, 0.2, 0.1], 5)
    assert independent_changes(change)[0] == pytest.approx(truth, rel=0.05)


def test_interval_of_changes_covers_the_truth():
    hits = 0
    for seed in range(200):
        change, truth = planted(64, 8, [0.5, 0.3, 0.2], 2 * seed)
        _, (low, high) = independent_changes(change)
        hits += low < truth < high
    assert 0.91 < hits / 200 < 0.99


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_changes_do_not_depend_on_the_scale_of_an_image(seed, scale):
    change = normal(6, 4, 9, seed=seed)
    scaled = change * torch.tensor([scale, 1, 1, 1, 1, 1])[:, None, None]
    assert independent_changes(scaled)[0] == pytest.approx(independent_changes(change)[0], rel=1e-4)


def test_points_without_change_have_no_say():
    change = normal(8, 5, 9)
    without = change.clone()
    without[2:4] = 0
    assert independent_changes(without)[0] == pytest.approx(
        independent_changes(change[[0, 1, 4, 5, 6, 7]])[0]
    )
    without[2:4] = math.nan
    assert math.isfinite(independent_changes(without)[0])
    assert math.isnan(independent_changes(torch.zeros(3, 4, 5))[0])
