"""Measures against closed forms: known covariances and correlations, analytic errors."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from filtergan.measures import REGISTRY, filters, latents, lookup, registry, traversals
from filtergan.measures import statistics as stats
from filtergan.runs.record import MeasureRecord
from filtergan.walks.inverter import compensation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# registry


def test_registry_is_complete_and_sane():
    for name, measure in REGISTRY.items():
        assert name == measure.name
        assert measure.meaning.endswith(".")
        assert measure.unit
        assert measure.source
        assert measure.low is None or measure.high is None or measure.low < measure.high
    assert {"real_accuracy", "labels_kept", "compensation_null", "filter_spread"} <= set(REGISTRY)


def test_numbered_measures_resolve():
    assert latents.latent_name(3) == "latent_r2_3"
    assert "z3" in lookup(latents.latent_name(3)).meaning
    assert "7 draws" in lookup("pooled_accuracy_k7").meaning


@pytest.mark.parametrize("name", ["accuracy", "latent_r2_", "pooled_accuracy_k"])
def test_unregistered_names_fail(name):
    with pytest.raises(KeyError, match=name):
        lookup(name)


# intervals


def width(ends):
    return ends[1] - ends[0]


def test_mean_interval_matches_the_standard_error():
    values = torch.randn(400, generator=seeded())
    low, high = stats.interval(values, resamples=4000, seed=0)
    error = float(values.std()) / 20
    assert (low + high) / 2 == pytest.approx(float(values.mean()), abs=error / 10)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_clusters_widen_the_interval_as_they_should():
    """Eight copies of each of 200 values are worth 200 values, not 1600."""
    values = torch.randn(200, generator=seeded())
    copies, clusters = values.repeat_interleave(8), torch.arange(200).repeat_interleave(8)
    once = stats.interval(values, resamples=3000, seed=0)
    clustered = stats.interval(copies, clusters, resamples=3000, seed=0)
    assert clustered == pytest.approx(once)
    assert width(stats.interval(copies, resamples=3000, seed=0)) == pytest.approx(
        width(once) / math.sqrt(8), rel=0.1
    )


def test_mean_interval_is_of_the_counts_that_resample_gives():
    """So a seed means the same resamples for every measure."""
    values, clusters = torch.randn(90, generator=seeded()), torch.arange(90) % 40
    total, members = (np.bincount(clusters, w) for w in (values.double(), torch.ones(90)))
    (counts,) = stats.resample(40, 300, 4)
    low, high = stats.ends(torch.from_numpy(counts @ total / (counts @ members)), 40)
    found = stats.interval(values, clusters, resamples=300, seed=4)
    assert found == pytest.approx((float(low), float(high)), rel=1e-14)


def test_ends_are_those_of_students_t_where_resamples_are_normal():
    """Of n clusters: sqrt(n / (n - 1)) times Student's 95 % point of n - 1, in bootstrap errors."""
    normal = torch.from_numpy(norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    for clusters, t in ((5, 2.776445), (8, 2.364624), (16, 2.131450), (10**6, 1.959967)):
        wanted = t * math.sqrt(clusters / (clusters - 1))
        low, high = stats.ends(3 * normal[:, None] + torch.tensor([0.0, 7.0]), clusters)
        assert low.tolist() == pytest.approx([-3 * wanted, 7 - 3 * wanted], abs=0.01)
        assert high.tolist() == pytest.approx([3 * wanted, 7 + 3 * wanted], abs=0.01)


@pytest.mark.parametrize(("size", "least"), [(5, 0.89), (8, 0.92), (16, 0.92)])
def test_intervals_of_few_values_cover_the_truth(size, least):
    """Plain percentiles cover .84, .90 and .92 of normal means."""
    rng = np.random.default_rng(0)
    ends = [
        stats.interval(torch.from_numpy(rng.normal(size=size)), resamples=500, seed=0)
        for _ in range(400)
    ]
    assert np.mean([low <= 0 <= high for low, high in ends]) > least


def test_median_interval_matches_a_plain_bootstrap_and_the_normal_law():
    values = torch.randn(301, generator=seeded(3))
    low, high = stats.interval(values, statistic="median", resamples=4000, seed=0)
    rng = np.random.default_rng(1)
    plain = np.median(values.numpy()[rng.integers(0, 301, (4000, 301))], axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(plain, (0.025, 0.975))), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(math.pi / 2 / 301), rel=0.25)


def test_median_with_clusters_equals_median_of_repeats():
    values = torch.tensor([3.0, 1.0, 2.0, 5.0])
    same = stats.interval(values, statistic="median", resamples=500, seed=2)
    pairs = stats.interval(
        values.repeat_interleave(2),
        torch.arange(4).repeat_interleave(2),
        statistic="median",
        resamples=500,
        seed=2,
    )
    assert same == pairs


def test_undefined_values_are_left_out_and_too_few_give_no_interval():
    values = torch.tensor([1.0, math.nan, 2.0, 3.0])
    assert stats.interval(values, resamples=200, seed=0) == stats.interval(
        values[[0, 2, 3]], resamples=200, seed=0
    )
    assert all(map(math.isnan, stats.interval(values[:2], resamples=200, seed=0)))
    empty = torch.full((3,), math.nan)
    assert all(map(math.isnan, stats.interval(empty, resamples=200, seed=0)))


def test_intervals_repeat_with_the_seed_and_blocks_change_nothing(monkeypatch):
    values = torch.randn(50, generator=seeded())
    whole = stats.interval(values, resamples=300, seed=5)
    assert whole != stats.interval(values, resamples=300, seed=6)
    monkeypatch.setattr(stats, "CELLS", 50 * 7)
    assert stats.interval(values, resamples=300, seed=5) == whole


def test_two_way_interval_adds_both_variances():
    """Draw effects and image effects add: Var = s_d²/D + s_i²/I."""
    draws, images = torch.randn(80, 1, generator=seeded()), torch.randn(1, 120, generator=seeded(1))
    matrix = draws + 2 * images
    error = math.sqrt(float(draws.var()) / 80 + 4 * float(images.var()) / 120)
    ends = stats.two_way_interval(matrix, resamples=4000, seed=0)
    assert width(ends) == pytest.approx(2 * 1.96 * error, rel=0.07)


def test_two_way_sd_and_min():
    draws = 0.1 * torch.randn(100, 1, generator=seeded())
    matrix = draws.expand(100, 30)
    low, high = stats.two_way_interval(matrix, statistic="sd", resamples=1000, seed=0)
    assert low < float(draws.std()) < high
    assert high - low < 4 * 0.1 / math.sqrt(200) * 1.3
    low, high = stats.two_way_interval(matrix, statistic="min", resamples=1000, seed=0)
    assert low == pytest.approx(float(draws.min()))
    assert high < float(draws.median())


def test_result_is_plain_json():
    values = torch.tensor([0.1, math.nan, 0.3])
    found = registry.result(
        "compensation",
        float("nan"),
        (0.1, math.inf),
        3,
        null=np.float64(0.25),
        quantiles=stats.quantiles(values),
    )
    assert MeasureRecord.model_validate_json(found.model_dump_json()) == found
    assert json.loads(found.model_dump_json())["ci95"] == [0.1, None]
    assert found.value is None
    assert found.ci95 == (0.1, None)
    assert (found.null, found.better, found.unit) == (0.25, "higher", "share")
    assert found.quantiles["0.5"] == pytest.approx(0.2)
    assert registry.result("filter_spread", 0.1, None, 5).ci95 == (None, None)
    with pytest.raises(KeyError):
        registry.result("nonsense", 1.0, None, 1)


# filters


def test_spread_of_a_known_gaussian():
    """Independent weights of sd s around W: spread = s sqrt(weights) / ||W||, half the pairs'."""
    real = torch.randn(8, 4, 3, 3, generator=seeded())
    draws = real + 0.2 * torch.randn(200, *real.shape, generator=seeded(1))
    expected = 0.2 * math.sqrt(real.numel()) / float(real.norm())
    assert filters.filter_spread(draws, real) == pytest.approx(expected, rel=0.01)
    pair = float((draws[::2] - draws[1::2]).flatten(1).square().sum(1).mean().sqrt() / real.norm())
    assert filters.filter_spread(draws, real) == pytest.approx(pair / math.sqrt(2), rel=0.02)
    assert filters.filter_spread(real.expand(5, -1, -1, -1, -1), real) == pytest.approx(0, abs=1e-6)
    assert math.isnan(filters.filter_spread(draws[:1], real))


def test_nearest_real_distance_against_a_loop():
    real = torch.randn(5, 2, 3, 3, generator=seeded())
    draws = torch.randn(4, 5, 2, 3, 3, generator=seeded(1))
    expected = [
        min(float((g - w).norm()) for w in real) / float(real[i].norm())
        for draw in draws
        for i, g in enumerate(draw)
    ]
    assert filters.nearest_real_distance(draws, real) == pytest.approx(np.mean(expected), rel=1e-5)
    assert filters.nearest_real_distance(real[None], real) == pytest.approx(0, abs=1e-6)
    shuffled = real[torch.tensor([1, 2, 3, 4, 0])][None]
    assert filters.nearest_real_distance(shuffled, real) == pytest.approx(0, abs=1e-6)


def test_nearest_real_distance_leaves_out_dead_filters():
    real = torch.ones(2, 1, 2, 2)
    real[1] = 0
    assert filters.nearest_real_distance(1.5 * real[None], real) == pytest.approx(0.5)


@pytest.mark.parametrize("directions", [3, 40, 300])
def test_participation_ratio_of_isotropic_draws(directions):
    """Isotropic in p directions gives p, also where there are fewer draws than directions."""
    basis = torch.linalg.qr(torch.randn(360, directions, generator=seeded()))[0]
    z = torch.randn(120, directions, generator=seeded(1))
    draws = (z @ basis.T).reshape(120, 10, 4, 3, 3) + 2
    assert filters.participation_ratio(draws) == pytest.approx(directions, rel=0.06)
    low, high = filters.draws_interval(filters.participation_ratio, draws)
    assert low < directions < high


def test_participation_ratio_of_unequal_directions():
    scale = torch.tensor([2.0, 1.0, 0.5])
    draws = (torch.randn(4000, 3, generator=seeded()) * scale).reshape(4000, 1, 3, 1, 1)
    expected = float(scale.square().sum() ** 2 / scale.pow(4).sum())
    assert filters.participation_ratio(draws) == pytest.approx(expected, rel=0.05)


def test_participation_ratio_against_sums_over_distinct_draws():
    draws = torch.randn(6, 2, 1, 2, 1, generator=seeded()).double()
    x = draws.flatten(1)
    x, n = x - x.mean(0), 6
    g = (x @ x.T).numpy()
    index = np.array(list(np.ndindex(n, n, n, n)))
    index = index[[len(set(row)) == 4 for row in index]]
    i, j, k, m = index.T
    square = np.mean((g[i, j] - g[i, k] - g[m, j] + g[m, k]) ** 2) / 4
    trace = np.trace(g) / (n - 1)
    assert filters.participation_ratio(draws) == pytest.approx(trace**2 / square)


def test_draws_that_do_not_differ_have_no_participation_ratio():
    draws = torch.randn(1, 4, 2, 3, 3, generator=seeded()).expand(10, -1, -1, -1, -1)
    assert math.isnan(filters.participation_ratio(draws))
    assert math.isnan(filters.participation_ratio(draws[:3]))
    assert all(map(math.isnan, filters.draws_interval(filters.participation_ratio, draws)))
    four = torch.randn(4, 2, 3, 3, generator=seeded(5))  # of three, each left out, it has none
    assert all(map(math.isnan, filters.draws_interval(filters.participation_ratio, four)))


def test_jackknife_of_the_mean_is_the_standard_error():
    draws = torch.randn(50, 1, 1, 1, 1, generator=seeded()) + 9
    low, high = filters.draws_interval(lambda d: float(d.mean()), draws)
    error = float(draws.std()) / math.sqrt(50)
    assert (high - low) / 2 == pytest.approx(2.0096 * error, rel=1e-3)


def test_noise_matched_has_the_variance_of_the_draws_per_filter():
    real = torch.randn(3, 8, 3, 3, generator=seeded())
    scale = torch.tensor([0.1, 0.5, 2.0]).reshape(3, 1, 1, 1)
    draws = real + scale * torch.randn(100, *real.shape, generator=seeded(1))
    noisy = filters.noise_matched(real, draws, 400, seeded(2))
    assert noisy.shape == (400, 3, 8, 3, 3)
    sd = (noisy - real).flatten(2).std(dim=(0, 2))
    assert torch.allclose(sd, scale.flatten(), rtol=0.03)
    assert filters.filter_spread(noisy, real) == pytest.approx(
        filters.filter_spread(draws, real), rel=0.02
    )


def test_random_filters_have_mean_and_norm_of_the_real_ones():
    real = torch.randn(3, 8, 3, 3, generator=seeded()) * torch.tensor([0.1, 1, 3]).reshape(
        3, 1, 1, 1
    )
    random = filters.random_filters(real, 500, seeded(1))
    assert torch.equal(random, filters.random_filters(real, 500, seeded(1)))
    norms = random.flatten(2).square().sum(dim=2).mean(dim=0).sqrt()
    assert torch.allclose(norms, real.flatten(1).norm(dim=1), rtol=0.02)
    tolerance = 5 * real.flatten(1).std(dim=1) / math.sqrt(500 * 72)
    assert ((random.mean(dim=(0, 2, 3, 4)) - real.mean(dim=(1, 2, 3))).abs() < tolerance).all()


def test_random_filters_of_one_weight_are_not_the_real_ones():
    real = torch.tensor([0.5, -2.0]).reshape(2, 1, 1, 1)
    random = filters.random_filters(real, 4000, seeded(1)).flatten(1)
    assert random.mean(dim=0).tolist() == pytest.approx([0, 0], abs=0.15)
    assert random.square().mean(dim=0).sqrt().tolist() == pytest.approx([0.5, 2.0], rel=0.05)


# latents


def test_latent_r2_of_known_predictions():
    z = torch.randn(5000, 4, generator=seeded())
    noise = torch.randn(5000, generator=seeded(1))
    best = 0.8 * (0.8 * z[:, 2] + 0.6 * noise)
    predicted = torch.stack([z[:, 0], z[:, 1].mean().expand(5000), best, -z[:, 3]], dim=1)
    r2 = latents.latent_r2(z, predicted)
    assert r2.tolist() == pytest.approx([1, 0, 0.64, -3], abs=0.05)
    ends = latents.latent_intervals(z, predicted, resamples=300, seed=0)
    assert set(ends) == {
        *(latents.latent_name(i) for i in range(4)),
        "latent_r2_min",
        "latent_r2_mean",
        "information_nats",
    }
    assert ends["latent_r2_2"][0] < 0.64 < ends["latent_r2_2"][1]
    assert ends["latent_r2_min"][0] < float(r2.min()) < ends["latent_r2_min"][1]


def test_information_of_a_known_correlation():
    """Two Gaussians of correlation rho share -1/2 log(1 - rho²) nats; latents add up."""
    rho = torch.tensor([0.6, 0.9])
    expected = -0.5 * (math.log(1 - 0.36) + math.log(1 - 0.81))
    assert float(latents.information_nats(rho**2)) == pytest.approx(expected, rel=1e-5)
    assert float(latents.information_nats(torch.tensor([-2.0, 0.0]))) == 0
    assert math.isfinite(float(latents.information_nats(torch.ones(8))))


# traversals


def test_compensation():
    found = compensation(
        torch.tensor([[0.2, 0.2], [0.2, 0.0]]), torch.tensor([[0.2, 0.05], [0.3, 0.0]])
    )
    assert found.flatten().tolist() == pytest.approx([0, 0.75, -0.5, math.nan], nan_ok=True)


def test_image_change_broadcasts_and_knows_black_images():
    x = torch.rand(3, 1, 1, 4, 4, generator=seeded())
    x[2] = 0
    change = traversals.image_change(x, x * torch.tensor([1.0, 1.5]).reshape(1, 2, 1, 1, 1))
    assert change.shape == (3, 2)
    assert change[:2].flatten().tolist() == pytest.approx([0, 0.5, 0, 0.5], abs=1e-6)
    assert change[2].isnan().all()


def test_labels_kept():
    before = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    after = torch.tensor([[0.0, 9.0], [0.0, 9.0]])
    assert traversals.labels_kept(before, after).tolist() == [True, False]
    assert traversals.labels_kept(before[:, None], after[None]).shape == (2, 2)


def test_coordinates_keep_all_that_draws_differ_by() -> None:
    generated = (
        torch.randn(12, 6, 5, 3, 3, generator=seeded(4))
        * torch.linspace(0.1, 1, 12)[:, None, None, None, None]
    )
    real, points = torch.randn(6, 5, 3, 3), filters.coordinates(generated)
    assert points.shape == (12, 1, 12)
    for statistic in (filters.participation_ratio, lambda g: filters.filter_spread(g, real)):
        assert statistic(points) == pytest.approx(statistic(generated), rel=1e-6)
        assert filters.draws_interval(statistic, points) == pytest.approx(
            filters.draws_interval(statistic, generated), rel=1e-5
        )
