"""Walks: an inversion that finds what is known to be there, its null, and its metric."""

import pytest
import torch
from known_effects import NO_PRIOR, planted, smooth_images
from scipy.ndimage import gaussian_filter
from torch import Tensor

from filtergan.config.fields import TraversalConfig
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import PixelSearch, gaussian_blur, invert, smoothed
from filtergan.walks.walk import walk


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
