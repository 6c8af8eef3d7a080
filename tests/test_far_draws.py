"""Draws by the length of their latents: what is drawn back, and how far."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))
import far_draws


def normal(n: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def test_lengths_of_each_way_and_directions_of_all() -> None:
    z = normal(20_000, 8)
    drawn, near, alike = far_draws.ways(z).values()
    assert drawn is z
    lengths = z.norm(dim=1)
    moved = near.norm(dim=1) < lengths - 1e-6
    assert float(moved.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert lengths[moved].min() >= near.norm(dim=1).max() - 1e-4
    torch.testing.assert_close(near[~moved], z[~moved])
    torch.testing.assert_close(alike.norm(dim=1), torch.full((20_000,), 8**0.5))
    for one in (near, alike):
        assert torch.nn.functional.cosine_similarity(one, z).min() > 0.999


def test_the_correlation_is_that_of_ranks_and_its_interval_covers() -> None:
    """Of normal pairs of correlation r Spearman's is 6 / pi asin(r / 2)."""
    held, true = 0, 6 / torch.pi * float(torch.asin(torch.tensor(-0.3)))
    for seed in range(200):
        one, other = normal(100, 2, seed).unbind(1)
        accuracy = -0.6 * one + 0.8 * other
        found = far_draws.correlation(one.exp(), accuracy**3)
        low, high = found["ci95"]
        held += low <= true <= high
        ranks = [v.argsort().argsort().double() for v in (one, accuracy)]
        slow = torch.corrcoef(torch.stack(ranks))[0, 1]
        assert found["correlation"] == pytest.approx(float(slow))
    assert held >= 180


def test_the_table_has_a_line_for_each_site_and_run() -> None:
    way = {"mean": 0.99, "worst": 0.9, "spread": 0.5}
    ways = {"as drawn": way | {"correlation": -0.7, "ci95": [-0.8, -0.5]}, "near": way}
    found = {"a": {"sites": {"s": ways, "t": ways}}, "b": {"sites": {"s": ways}}}
    head, lines = far_draws.rows_of(found)
    assert head[3:] == ["as drawn: mean; worst; spread", "near: mean; worst; spread"]
    assert [line[:2] for line in lines] == [["s", "a"], ["s", "b"], ["t", "a"]]
    assert lines[0][2:] == ["-0.70 (-0.80 to -0.50)", *2 * ["0.9900; 0.9000; 0.50"]]
    assert far_draws.rows_of({})[1] == []
