"""Walks: their points, their null, and an inversion that finds what is known to be there."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, TraversalConfig
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.machine.runtime import Tick
from filtergan.sites.site import Site
from filtergan.walks.inverter import Inversion, Points, residual
from filtergan.walks.points import grid_dimensions, latent_grid, matched_noise, points_around
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import PixelSearch, gaussian_blur, invert, smoothed
from filtergan.walks.walk import rings_of, walk, walk_grid

NO_PRIOR = NaturalImagePrior(1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 1.5, 2.4])
@pytest.mark.parametrize("shape", [(2, 3, 12, 17), (1, 1, 3, 2)])
def test_gaussian_blur(sigma: float, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, dtype=torch.float64)
    radius = max(1, round(3 * sigma))
    want = gaussian_filter(x.numpy(), sigma, mode="constant", axes=(2, 3), radius=(radius, radius))
    torch.testing.assert_close(gaussian_blur(x, sigma), torch.from_numpy(want))


def test_no_blur() -> None:
    x = torch.rand(1, 1, 4, 4)
    assert torch.equal(gaussian_blur(x, 0.0), x)


def test_the_metric_shortens_detail() -> None:
    noise = torch.randn(1, 1, 40, 40, dtype=torch.float64)
    blurred = torch.from_numpy(gaussian_filter(noise.numpy(), 2**0.5, axes=(2, 3)))
    inside = (..., slice(9, -9), slice(9, -9))  # two Gaussians of width 1 are one of width sqrt(2)
    want = (blurred + 0.01 * noise)[inside]
    torch.testing.assert_close(smoothed(noise, 1.0)[inside], want, rtol=0, atol=2e-3)
    assert torch.equal(smoothed(noise, 0.0), noise)


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


class Planted(Generator):
    """Filters of known effect: z0 scales by exp(z0), z1 moves them by so many pixels.

    So the image that keeps its profile is the image times exp(-z0), moved the other way.
    """

    def __init__(self, filters: Tensor) -> None:
        o, i, kh, kw = filters.shape
        super().__init__((o, i, kh, kw), latent=2, hidden=1)
        self.real = filters

    def forward(self, z: Tensor) -> Tensor:
        moved = [torch.roll(self.real, round(float(shift)), dims=3) for _, shift in z]
        return torch.stack(moved) * z[:, 0].exp()[:, None, None, None, None]


def planted(point: str = "activation") -> FilterGAN:
    """A convolution whose 3x3 filters stand in the middle of 5x5, so that they can move."""
    rng = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(1, 8, 5, padding=2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.zero_()[..., 1:4, 1:4] = torch.randn(8, 1, 3, 3, generator=rng)
    network = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 144, 3).double())
    site = Site(network, "0", smooth_images(1), point)
    real = site.respond(site.input(smooth_images(8)))
    discriminator = Discriminator(tuple(real.shape[1:]), latent=2, channels=4)
    return FilterGAN(site, Planted(site.filters), discriminator, GanConfig(latent=2))


def smooth_images(n: int) -> Tensor:
    """Images of 12x12 from 0 to 0.6, dark at the border."""
    noise = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    x = gaussian_blur(F.pad(noise, (2, 2, 2, 2)), 0.6)
    x = x * F.pad(torch.ones(1, 1, 8, 8), (2, 2, 2, 2))
    return 0.6 * x / x.amax((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
def test_inversion_recovers_a_known_scale(smoothing: float) -> None:
    gan, x = planted(), smooth_images(3)
    scales = torch.tensor([-0.4, 0.3, 0.8])  # x / exp(-0.4) is still below 1
    targets = torch.stack([scales, torch.zeros(3)], dim=1).repeat(3, 1, 1)
    config = TraversalConfig(evaluations=40, smoothing=smoothing)
    found = walk(gan, PixelSearch(NO_PRIOR, config), x, torch.zeros(3, 2), targets)
    want = x[:, None] / scales.exp().double()[None, :, None, None, None]
    torch.testing.assert_close(found.images, want.flatten(0, 1), rtol=0, atol=0.01)
    # The profile was scaled by g: |g R - R|^2 / |R|^2.
    before = (scales.exp() - 1).square().double().repeat(3)
    torch.testing.assert_close(found.before, before, rtol=1e-5, atol=0)
    assert (found.after < 1e-3 * found.before).all()


@pytest.mark.parametrize("point", ["conv", "activation"])
def test_inversion_recovers_a_known_shift(point: str) -> None:
    gan, x = planted(point), smooth_images(2)
    targets = torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.2, 1.0]]).repeat(2, 1, 1)
    config = TraversalConfig(evaluations=60, smoothing=0)
    found = walk(gan, PixelSearch(NO_PRIOR, config), x, torch.zeros(2, 2), targets)
    # Where a filter lies further right, it sees what is further right.
    want = [s * x.roll(by, dims=3) for s, by in ((1, 1), (1, -1), (0.8187308, 1))]
    torch.testing.assert_close(
        found.images, torch.stack(want, dim=1).flatten(0, 1), rtol=0, atol=0.02
    )
    assert (found.after < 1e-3 * found.before).all()


def test_inversion_keeps_to_the_range_of_pixels() -> None:
    gan, x = planted(), smooth_images(2)
    targets = torch.tensor([[-1.5, 0.0]]).repeat(2, 1, 1)  # x / g is brighter than white
    config = TraversalConfig(evaluations=60, smoothing=0)
    found = walk(gan, PixelSearch(NO_PRIOR, config), x, torch.zeros(2, 2), targets)
    assert found.images.min() >= 0
    assert found.images.max() == 1
    assert (found.after < found.before).all()
    assert (found.after > 0.01).all()


def test_the_starting_point_is_not_left_without_need() -> None:
    gan, x = planted(), smooth_images(3)
    z = torch.tensor([[0.3, 0.0], [0.0, 0.0], [-0.5, 1.0]])
    found = walk(gan, PixelSearch(NO_PRIOR, TraversalConfig(evaluations=5)), x, z, z[:, None])
    torch.testing.assert_close(found.images, x, rtol=0, atol=1e-9)
    assert found.before.max() < 1e-12


def test_the_prior_draws_towards_natural_images() -> None:
    gan, x = planted(), smooth_images(3)
    targets = torch.tensor([[0.3, 0.0]]).repeat(3, 1, 1)
    config, z = TraversalConfig(evaluations=30, smoothing=0), torch.zeros(3, 2)
    for weights in ((0.3, 0.0), (0.0, 0.3)):
        prior = NaturalImagePrior.measured(x, *weights)
        free = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets)
        held = walk(gan, PixelSearch(prior, config), x, z, targets)
        assert (prior(held.images) < prior(free.images)).all()
        assert (held.after > free.after).all()
        assert (held.after + prior(held.images) < free.after + prior(free.images)).all()


def test_points_do_not_hang_on_their_batch() -> None:
    gan, x = planted(), smooth_images(3)
    prior = NaturalImagePrior.measured(x, 0.01, 0.01)
    z = torch.tensor([[0.1, 0.0], [0.0, 1.0], [-0.2, 0.0]])
    targets = z[:, None] + torch.tensor([[0.3, 0.0], [-0.2, -1.0], [0.1, 0.0], [0.0, 0.0]])
    ticks: dict[int, int] = {}

    def walked(batch: int) -> list[Tensor]:
        steps: list[int] = []
        config = TraversalConfig(evaluations=8, batch=batch)
        found = walk(gan, PixelSearch(prior, config), x, z, targets, tick=steps.append)
        ticks[batch] = sum(steps)
        return [found.images, found.before, found.after]

    whole = walked(100)
    assert [len(part) for part in whole] == [12, 12, 12]
    for batch in (2, 5):
        torch.testing.assert_close(walked(batch), whole, rtol=1e-6, atol=1e-7)
    assert set(ticks.values()) == {12 * 8}
    # Rows are the points of the first image, then of the second.
    search = PixelSearch(prior, TraversalConfig(evaluations=8))
    alone = walk(gan, search, x[1:2], z[1:2], targets[1:2, 2:3])
    torch.testing.assert_close(alone.images[0], whole[0][4 + 2], rtol=1e-6, atol=1e-7)


def test_the_null_of_a_walk() -> None:
    gan, x = planted(), smooth_images(2)
    targets, z = torch.tensor([[0.3, 0.0]]).repeat(2, 1, 1), torch.zeros(2, 2)
    config = TraversalConfig(evaluations=30, smoothing=0)
    walked = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets)
    null = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets, null_seed=5)
    again = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets, null_seed=5)
    assert torch.equal(null.images, again.images)
    # A change that is no transformation of images cannot be made good as well.
    assert (1 - null.after / null.before < 1 - walked.after / walked.before).all()


def test_inversion_leaves_what_it_was_given() -> None:
    gan, x = planted(), smooth_images(2)
    z = torch.tensor([[0.3, 0.0], [0.0, 1.0]])
    given = [x, gan.site.respond(gan.site.input(x)), gan.draw(z)]
    kept = [value.clone() for value in given]
    found, _ = invert(gan.site, NO_PRIOR, x, given[1], given[2], TraversalConfig(evaluations=3))
    torch.testing.assert_close(given, kept, rtol=0, atol=0)
    assert not any(value.requires_grad for value in (found.images, found.before, found.after))
    assert all(p.grad is None for p in gan.site.network.parameters())


def test_another_start_leads_to_the_same_image() -> None:
    """The target is x's profile wherever the search starts, and the planted image is unique."""
    gan, x = planted(), smooth_images(2)
    targets, z = torch.tensor([[0.3, 0.0], [-0.2, 0.0]]).repeat(2, 1, 1), torch.zeros(2, 2)
    config = TraversalConfig(evaluations=60, smoothing=0)
    rng = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.rand(2, 2, *x.shape[1:], generator=rng).double()
    starts = (x[:, None] + noise).clamp(0, 1)
    found = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets, starts=starts)
    usual = walk(gan, PixelSearch(NO_PRIOR, config), x, z, targets)
    torch.testing.assert_close(found.images, usual.images, rtol=0, atol=0.02)
    torch.testing.assert_close(found.before, usual.before)


def test_the_null_of_a_point_is_the_same_in_any_company() -> None:
    gan, x = planted(), smooth_images(2)
    targets, z = torch.randn(2, 3, 2).clamp(-0.4, 0.4), torch.zeros(2, 2)
    config = TraversalConfig(evaluations=5, smoothing=0)
    search = PixelSearch(NO_PRIOR, config)
    whole = walk(gan, search, x, z, targets, null_seed=5).images.unflatten(0, (2, 3))
    fewer = walk(gan, search, x, z, targets[:, :2], null_seed=5).images
    torch.testing.assert_close(fewer.unflatten(0, (2, 2)), whole[:, :2], rtol=1e-6, atol=1e-7)


def grids_of(z: Tensor, extent: float, side: int) -> Tensor:
    offsets = torch.linspace(-extent, extent, side)
    return torch.stack([latent_grid(one, (0, 1), offsets) for one in z])


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


# ------------------------------------------------------------------- something else that inverts


@dataclass(frozen=True)
class Places:
    """What the inverter below learns of a point: where it is."""

    z_k: Tensor

    def at(self, index: Tensor) -> "Places":
        return Places(self.z_k[index])


class Exact:
    """Knows what the planted filters do, so that it needs x, z and z_k alone; an inverter."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, list[Points]()

    def at_once(self, gan: FilterGAN, images: Tensor) -> int:
        return self.size

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, Places | None]:
        self.seen.append(points)
        images = points.images * (points.z - points.targets)[:, 0].exp()[:, None, None, None]
        before, after = (
            residual(points.gan.site, x, points.profiles, points.filters)
            for x in (points.images, images)
        )
        tick(len(images))
        return Inversion(images, before, after), Places(points.targets)


def scaled(x: Tensor, z: Tensor, targets: Tensor) -> Tensor:
    """By hand: [images, points, ...], one point after the other."""
    return torch.stack(
        [
            torch.stack([one * (at[0] - to[0]).exp() for to in row])
            for one, at, row in zip(x, z, targets, strict=True)
        ]
    )


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_walk_takes_whatever_recovers_images(size: int) -> None:
    gan, x, exact = planted(), smooth_images(3), Exact(size)
    z = torch.tensor([[0.1, 0.0], [0.0, 1.0], [-0.2, 0.0]])
    targets = z[:, None] + torch.tensor([[0.3, 0.0], [-0.2, 0.0], [0.1, 0.0]])
    ticks: list[int] = []
    found = walk(gan, exact, x, z, targets, tick=ticks.append)
    torch.testing.assert_close(found.images, scaled(x, z, targets).flatten(0, 1))
    assert (found.after < 1e-12).all()
    assert (found.before > 1e-3).all()
    assert sum(ticks) == 9
    for points in exact.seen:
        assert len(points.images) <= size
        torch.testing.assert_close(points.filters, gan.draw(points.targets))
        response = gan.site.respond(gan.site.input(points.images), gan.draw(points.z))
        torch.testing.assert_close(points.profiles, response)
        assert points.learned is None
    null = walk(gan, exact, x, z, targets, null_seed=5)
    assert torch.equal(null.images, found.images)
    assert (null.after > 1e-3).all()  # its filters are others, which this one does not look at


def test_a_grid_hands_on_what_was_learned_within() -> None:
    gan, x, exact = planted(), smooth_images(2), Exact(100)
    z = torch.tensor([[0.1, 0.0], [-0.2, 0.0]])
    grids = grids_of(z, 0.4, 5)
    grids[..., 1] = grids[..., 1].round()
    found = walk_grid(gan, exact, x, z, grids)
    torch.testing.assert_close(found.images, scaled(x, z, grids.flatten(1, 2)).flatten(0, 1))
    within, around = exact.seen
    assert within.learned is None
    assert within.starts is not None
    torch.testing.assert_close(within.starts, within.images)
    assert isinstance(around.learned, Places)
    own, neighbour = (at[:, 0] - around.z[:, 0] for at in (around.targets, around.learned.z_k))
    on_a_side = own.abs() > 0.3  # rows at 0.4 from z; their neighbours' rows are at 0.2
    torch.testing.assert_close(neighbour, torch.where(on_a_side, own / 2, own))
