"""Slopes of morphometrics along the latents, against a plan."""

import numpy as np
import pytest
import torch

from filtergan.measures import lookup
from filtergan.measures.morphometry import (
    MORPHOMETRY,
    latent_slopes,
)


def planted(n=200, p=6, latents=3, noise=0.5, seed=0):
    """Offsets, and changes of two morphometrics that follow known slopes."""
    rng = torch.Generator().manual_seed(seed)
    offsets = torch.randn(n, p, latents, generator=rng)
    if latents > 1:  # correlated latents must be told apart
        offsets[..., 1] += 0.6 * offsets[..., 0]
    slopes = torch.tensor([[0.8, 0.0], [0.0, -0.3], [0.0, 0.0]])[:latents]
    change = offsets @ slopes + noise * torch.randn(n, p, 2, generator=rng)
    return offsets, change, slopes


def test_slopes_recover_the_plan_in_units_of_scale():
    offsets, change, slopes = planted()
    scale = torch.tensor([2.0, 0.5])
    found = latent_slopes(offsets, change, scale, resamples=400, seed=0)
    wanted = slopes.double() / scale
    assert ((found.low <= found.value) & (found.value <= found.high)).all()
    torch.testing.assert_close(found.value, wanted, atol=0.08, rtol=0.05)
    signal = (offsets @ slopes).square().mean(dim=(0, 1))
    torch.testing.assert_close(found.r2, (signal / (signal + 0.25)).double(), atol=0.04, rtol=0)
    assert ((found.r2_low <= found.r2) & (found.r2 <= found.r2_high)).all()


def test_slopes_agree_with_plain_least_squares_where_rows_are_missing():
    offsets, change, _ = planted(n=30)
    change[::3, 1, 0] = torch.nan
    change[4, :, 1] = torch.nan
    found = latent_slopes(offsets, change, torch.ones(2), resamples=50, seed=0)
    for column in range(2):
        y = change[..., column].flatten().double().numpy()
        kept = ~np.isnan(y)
        a = offsets.flatten(0, 1).double().numpy()[kept]
        slopes, squares = np.linalg.lstsq(a, y[kept])[:2]
        np.testing.assert_allclose(found.value[:, column], slopes, rtol=1e-6)
        r2 = 1 - squares[0] / (y[kept] ** 2).sum()
        assert float(found.r2[column]) == pytest.approx(r2)


def test_slope_intervals_have_the_width_of_the_standard_error():
    offsets, change, _ = planted(n=400, p=1, latents=1)
    found = latent_slopes(offsets, change, torch.ones(2), resamples=2000, seed=0)
    error = 0.5 / offsets.square().sum().sqrt()
    width = float(found.high[0, 0] - found.low[0, 0])
    assert width == pytest.approx(2 * 1.96 * float(error), rel=0.15)


def test_slope_intervals_hold_the_plan_as_often_as_they_say():
    held = []
    for seed in range(40):
        offsets, change, slopes = planted(n=80, seed=seed)
        found = latent_slopes(offsets, change, torch.ones(2), resamples=200, seed=seed)
        held.append((found.low <= slopes) & (slopes <= found.high))
    assert 0.9 <= float(torch.stack(held).double().mean()) <= 0.98


def test_points_of_one_image_count_as_one():
    offsets, change, _ = planted(n=50, p=1)
    once = latent_slopes(offsets, change, torch.ones(2), resamples=300, seed=0)
    often = latent_slopes(
        offsets.repeat(1, 8, 1), change.repeat(1, 8, 1), torch.ones(2), resamples=300, seed=0
    )
    torch.testing.assert_close(often.low, once.low)
    torch.testing.assert_close(often.high, once.high)


def test_a_shift_in_every_direction_is_not_explained():
    """Strokes that get thicker whatever the latent does follow no latent."""
    offsets, change, _ = planted(noise=0.0)
    found = latent_slopes(offsets, 0 * change + 1, torch.ones(2), resamples=50, seed=0)
    assert found.r2.max() < 0.05
    assert found.value.abs().max() < 0.1


def test_what_has_no_scale_or_points_is_undefined():
    offsets, change, _ = planted(n=10)
    change[..., 1] = torch.nan
    found = latent_slopes(offsets, change, torch.tensor([0.0, 1.0]), resamples=20, seed=0)
    assert all(part.isnan().all() for part in vars(found).values())
    one = latent_slopes(offsets[:1], change[:1], torch.ones(2), resamples=20, seed=0)
    assert one.value[:, 0].isfinite().all()
    assert one.low.isnan().all()
    still = latent_slopes(offsets, 0 * change, torch.ones(2), resamples=20, seed=0)
    assert (still.value[:, 0] == 0).all()
    assert still.r2[0].isnan()


def test_every_slope_is_registered():
    for name in MORPHOMETRY:
        assert "latent z11: joint" in lookup(f"slope_{name}_z11").meaning
        assert name in lookup(f"morphometry_r2_{name}").meaning
    assert lookup("topology_changed").unit == "share"
