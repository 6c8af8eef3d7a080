"""Where walks go: grids, points around z, and the noise that stands beside a walk."""

import pytest
import torch
import torch.nn.functional as F

from filtergan.walks.points import grid_dimensions, latent_grid, matched_noise, points_around


def test_latent_grid() -> None:
    z, offsets = torch.randn(5), torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    before = z.clone()
    grid = latent_grid(z, (3, 1), offsets)
    assert grid.shape == (5, 5, 5)
    assert torch.equal(grid[2, 2], z)
    assert torch.equal(z, before)
    for row, up in enumerate(offsets):
        for column, right in enumerate(offsets):
            want = z.clone()
            want[3] += up
            want[1] += right
            torch.testing.assert_close(grid[row, column], want)


def test_grid_dimensions() -> None:
    dims = grid_dimensions(200, 4, seed=3)
    assert dims.shape == (200, 2)
    assert (dims[:, 0] != dims[:, 1]).all()
    assert {tuple(pair) for pair in dims.tolist()} == {
        (i, j) for i in range(4) for j in range(4) if i != j
    }
    assert torch.equal(dims, grid_dimensions(200, 4, seed=3))
    assert not torch.equal(dims, grid_dimensions(200, 4, seed=4))


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_points_around(radius: float) -> None:
    z = torch.randn(40, 6)
    points = points_around(z, 9, radius, seed=1)
    assert points.shape == (40, 9, 6)
    change = points - z[:, None]
    torch.testing.assert_close(change.norm(dim=-1), torch.full((40, 9), radius))
    assert change.mean((0, 1)).abs().max() < 0.2 * radius, "no direction is preferred"
    assert torch.equal(points, points_around(z, 9, radius, seed=1))
    assert not torch.equal(points, points_around(z, 9, radius, seed=2))


def test_matched_noise() -> None:
    base = torch.randn(5, 6, 4, 3, 3)
    moved = base + torch.rand(5, 6, 1, 1, 1) * torch.randn_like(base)
    moved[2, 3] = base[2, 3]  # a filter that the walk left alone
    rngs = [torch.Generator().manual_seed(i) for i in range(5)]
    noise = matched_noise(base, moved, rngs) - base
    change = moved - base
    torch.testing.assert_close(noise.flatten(2).norm(dim=2), change.flatten(2).norm(dim=2))
    cosine = F.cosine_similarity(noise.flatten(2), change.flatten(2), dim=2)
    assert cosine.mean().abs() < 0.15
