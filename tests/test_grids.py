"""Grids: searched ring by ring, as well as their points alone, and each by itself."""

import pytest
import torch
from known_effects import NO_PRIOR, grids_of, planted, smooth_images

from filtergan.config.fields import TraversalConfig
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import rings_of, walk, walk_grid


def test_a_grid_recovers_known_scales() -> None:
    gan, x = planted(), smooth_images(2)
    grids = grids_of(torch.zeros(2, 2), 0.4, 5)
    grids[..., 1] = 0
    search = PixelSearch(NO_PRIOR, TraversalConfig(evaluations=12, smoothing=0))
    found = walk_grid(gan, search, x, torch.zeros(2, 2), grids)
    want = x[:, None] / grids[..., 0].exp().double().flatten(1)[:, :, None, None, None]
    torch.testing.assert_close(found.images, want.flatten(0, 1), rtol=0, atol=0.01)
    before = (grids[..., 0].exp() - 1).square().double().flatten()
    torch.testing.assert_close(found.before, before, rtol=1e-5, atol=1e-12)


def test_a_grid_is_searched_as_well_as_its_points_alone() -> None:
    gan, x = planted(), smooth_images(2)
    prior = NaturalImagePrior.measured(x, 0.01, 0.01)
    z, config = torch.tensor([[0.1, 0.0], [-0.2, 0.0]]), TraversalConfig(evaluations=6)
    grids = grids_of(z, 0.4, 5)
    ticks: list[int] = []
    grid = walk_grid(gan, PixelSearch(prior, config), x, z, grids, ticks.append)
    alone = walk(gan, PixelSearch(prior, config), x, z, grids.flatten(1, 2))
    objective = [one.after + prior(one.images) for one in (grid, alone)]
    assert objective[0].mean() < objective[1].mean()
    assert (objective[0] < 1.05 * objective[1] + 1e-6).all()
    torch.testing.assert_close(grid.before, alone.before)
    assert sum(ticks) == 2 * 25 * 6
    # The centre's search starts at x, as alone.
    torch.testing.assert_close(grid.images[[12, 37]], alone.images[[12, 37]])


def test_grids_do_not_hang_on_each_other() -> None:
    gan, x = planted(), smooth_images(3)
    z = torch.tensor([[0.1, 0.0], [0.0, 1.0], [-0.2, 0.0]])
    grids = grids_of(z, 0.4, 3)
    search = PixelSearch(NO_PRIOR, TraversalConfig(evaluations=5))
    whole = walk_grid(gan, search, x, z, grids)
    for config in (
        TraversalConfig(evaluations=5, batch=16),
        TraversalConfig(evaluations=5, batch=1),
    ):
        found = walk_grid(gan, PixelSearch(NO_PRIOR, config), x, z, grids)
        torch.testing.assert_close(found.images, whole.images, rtol=1e-6, atol=1e-7)
    alone = walk_grid(gan, search, x[1:2], z[1:2], grids[1:2])
    torch.testing.assert_close(alone.images, whole.images[9:18], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_rings(side: int) -> None:
    rings, middle = rings_of(side), side // 2
    assert sorted(torch.cat([ring.at for ring in rings]).tolist()) == list(range(side * side))
    for radius, ring in enumerate(rings, start=1):
        within = rings[max(0, radius - 2)]
        assert ring.inner_size == len(within.at)
        assert torch.equal(within.at[ring.inner_place], ring.inner)
        for place, inner in zip(ring.at.tolist(), ring.inner.tolist(), strict=True):
            row, column = place // side - middle, place % side - middle
            assert max(1, abs(row), abs(column)) == radius

            def nearer(v: int, radius: int = radius) -> int:
                return v if abs(v) < radius else max(0, abs(v) - 1) * (1 if v > 0 else -1)

            assert inner == (nearer(row) + middle) * side + nearer(column) + middle
