"""Intervals over groups of images that share their filters."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from filtergan.measures.claims import difference
from filtergan.measures.invariance import invariance_gain
from filtergan.measures.inversion import independent_changes
from filtergan.measures.latents import latent_intervals
from filtergan.measures.morphometry import latent_slopes
from filtergan.measures.ratios import ratio_interval, summed
from filtergan.measures.registry import summary
from filtergan.measures.smoothness import repeatability
from filtergan.measures.statistics import two_way_interval

Ends = tuple[float, float]
TIMES = 3


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ratio(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    above, below = (1 + normal(12, seed=i).square() for i in (1, 2))
    return ratio_interval(copy(above), copy(below), clusters)[1]


def mean(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    values = copy(normal(12, 4, seed=1))
    low, high = summary("compensation", values, None, clusters, resamples=300, seed=0).ci95
    assert low is not None
    assert high is not None
    return low, high


def gain(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    x, x_k, t_x = (copy(normal(12, p, 5, seed=i)) for i, p in enumerate((1, 2, 2)))
    return invariance_gain(x, x_k, t_x, clusters, resamples=300, seed=0)[1]


def changes(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    return independent_changes(copy(normal(12, 4, 6, seed=1)), clusters)[1]


def repeats(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    points = normal(12, 3, 1, 6, seed=1)
    return repeatability(copy(points + normal(12, 3, 3, 6, seed=2)), clusters)[1]


def slopes(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    offsets, change = (copy(normal(12, 4, n, seed=n)) for n in (2, 1))
    found = latent_slopes(offsets, change, torch.ones(1), clusters, resamples=300, seed=0)
    return float(found.low[0, 0]), float(found.high[0, 0])


def less(clusters: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    early, late = (copy(normal(12, 4, seed=i)) for i in (1, 2))
    groups = torch.arange(len(early)) if clusters is None else clusters
    pairs = torch.stack([torch.arange(len(early))] + 2 * [torch.zeros(len(early)).long()], dim=1)
    return difference(early, late, pairs, groups, resamples=300, seed=0)[1]


@pytest.mark.parametrize("ends", [ratio, mean, gain, changes, repeats, slopes, less])
def test_copies_of_an_image_in_a_group_say_nothing_new(
    ends: Callable[[Tensor | None, Callable[[Tensor], Tensor]], Ends],
) -> None:
    """With every image three times, groups give what single images gave; each alone, less."""

    def copied(values: Tensor) -> Tensor:
        return values.repeat_interleave(TIMES, 0)

    once = ends(None, lambda values: values)
    groups = torch.arange(12).repeat_interleave(TIMES)
    assert ends(groups, copied) == pytest.approx(once, rel=1e-5)
    low, high = ends(None, copied)
    assert high - low < 0.8 * (once[1] - once[0])


def test_groups_without_a_value_do_not_count() -> None:
    values, groups = normal(12, 4, seed=1), torch.arange(12) // 2
    some, few = values.clone(), groups < 4
    some[~few] = torch.nan
    some[0, 1] = torch.nan
    found = [
        summary("compensation", v, None, g, resamples=300, seed=0)
        for v, g in ((some, groups), (some[few], groups[few]))
    ]
    assert found[0] == found[1]
    assert found[0].n == 4
    x, x_k, t_x = (normal(12, p, 5, seed=i) for i, p in enumerate((1, 2, 2)))
    x_k[~few] = torch.nan
    gains = [
        invariance_gain(x[part], x_k[part], t_x[part], groups[part], resamples=300, seed=0)
        for part in (slice(None), few)
    ]
    assert gains[0] == gains[1]


def latents(_: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    z, error = copy(normal(12, 3, seed=1)), copy(normal(12, 3, seed=2))
    return latent_intervals(z, z + error / 2, resamples=2000, seed=0)["latent_r2_mean"]


def two_way(_: Tensor | None, copy: Callable[[Tensor], Tensor]) -> Ends:
    draws = copy(normal(12, 1, seed=1)) + normal(1, 200, seed=2)
    return two_way_interval(draws, resamples=2000, seed=0)


@pytest.mark.parametrize("ends", [mean, gain, slopes, less, latents, two_way])
def test_few_groups_widen_a_bootstrap_as_students_t_does(
    ends: Callable[[Tensor | None, Callable[[Tensor], Tensor]], Ends],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside plain percentiles of the same resamples: 2.30 errors for 12 groups, not 1.96."""
    low, high = ends(None, Tensor.clone)
    monkeypatch.setattr("filtergan.measures.statistics.reach", lambda clusters: 1.959964)
    plain = ends(None, Tensor.clone)
    assert low < plain[0] < plain[1] < high
    assert 1.08 < (high - low) / (plain[1] - plain[0]) < 1.35


def test_sums_over_groups_are_those_of_a_loop() -> None:
    values, clusters = normal(7, 2, seed=0), torch.tensor([4, 0, 4, 2, 0, 4, 2])
    wanted = [values[clusters == one].sum(dim=0) for one in (0, 2, 4)]
    torch.testing.assert_close(summed(values, clusters), torch.stack(wanted))
    assert len(summed(torch.empty(0), torch.empty(0).long())) == 0


def test_intervals_hold_the_truth_where_filters_differ() -> None:
    """16 groups of 16 images, as a study has them; what filters do varies as much as images do."""
    groups = torch.arange(256) % 16
    held = torch.zeros(2)
    for seed in range(100):
        values = normal(16, seed=2 * seed)[groups] + normal(256, seed=2 * seed + 1)
        for i, clusters in enumerate((groups, None)):
            found = summary("compensation", values[:, None], None, clusters, resamples=300, seed=0)
            low, high = found.ci95
            assert low is not None
            assert high is not None
            held[i] += low <= 0 <= high
            assert found.n == (16 if i == 0 else 256)
    assert held[0] >= 90  # of 100
    assert held[1] < 60
