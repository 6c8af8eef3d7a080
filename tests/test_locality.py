"""Locality against planted rules: point maps, small and large neighbourhoods, warps, noise."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from filtergan.families.references import reference
from filtergan.images.dataset import load_dataset
from filtergan.measures.locality import (
    SIZES,
    change_frequency,
    change_support,
    locality,
    locality_r2,
    locality_radius,
)
from filtergan.measures.registry import lookup

GROUPS = torch.arange(32) // 16


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def x():
    """Digits at 28 x 28 pixels: strokes three pixels wide on black, clear of the edge."""
    pixels = load_digits(return_X_y=True)[0][:32].reshape(-1, 1, 8, 8)
    small = torch.tensor(pixels, dtype=torch.float32) / 16
    large = F.interpolate(small, scale_factor=3, mode="bicubic", align_corners=False)
    return F.pad((1.3 * large - 0.2).clamp(0, 1), (2, 2, 2, 2))


def warped(x, flow):
    grid = F.affine_grid(torch.eye(2, 3)[None].expand(len(x), -1, -1), list(x.shape), False)
    return F.grid_sample(x, grid + flow, align_corners=False)


def changed(x, how):
    if how == "gain":
        return 0.7 * x
    if how == "clipped gain":
        return (1.6 * x).clamp(0, 1)
    if how == "power":
        return x**2
    if how == "dilation":
        return F.max_pool2d(x, 3, 1, 1)
    if how == "shift":
        return x.roll((0, 1), (2, 3))
    if how == "far shift":
        return x.roll((2, -1), (2, 3))
    if how == "warp":
        coarse = 0.1 * torch.randn(1, 2, 4, 4, generator=seeded(1))
        flow = F.interpolate(coarse, size=x.shape[-2:], mode="bicubic", align_corners=False)
        return warped(x, flow.movedim(1, 3))
    return (x + 0.1 * torch.randn(x.shape, generator=seeded(2))).clamp(0, 1)


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ("gain", 1),
        ("clipped gain", 1),
        ("power", 1),
        ("dilation", 3),
        ("shift", 3),
        ("far shift", 5),
        ("warp", None),
        ("noise", None),
    ],
)
def test_planted_rules_have_their_size(x, how, size):
    r2 = locality_r2(x, changed(x, how)[:, None], GROUPS, seed=0)
    assert r2.shape == (2, len(SIZES))
    found = locality_radius(r2)
    if size is None:
        assert found.isnan().all()
        assert r2.max() < 0.75
    else:
        assert found.tolist() == [size, size]


def test_points_keep_to_themselves(x):
    """Two points of two groups, each with its own rule: curves in the promised order."""
    x_k = torch.stack([0.5 * x, F.max_pool2d(x, 3, 1, 1)], dim=1)
    x_k[16:] = x_k[16:].flip(1)
    together = locality_r2(x, x_k, GROUPS, seed=0)
    assert locality_radius(together).tolist() == [1, 3, 3, 1]
    alone = locality_r2(x[16:], x_k[16:, :1], GROUPS[16:], seed=0)
    torch.testing.assert_close(alone[0], together[2], atol=1e-4, rtol=0)


def test_a_small_change_is_not_local_for_being_small(x):
    x_k = x + 0.02 * (changed(x, "warp") - x)
    assert locality_r2(x, x_k[:, None], GROUPS, seed=0).max() < 0.75


def test_the_rule_is_scored_on_images_it_has_not_seen(x):
    """Every image has a gain of its own, which no patch of another image tells."""
    gain = torch.linspace(-1, 1, 32)[torch.randperm(32, generator=seeded())][:, None, None, None]
    r2 = locality_r2(x, (x * (1 + gain))[:, None], GROUPS, seed=0)
    assert r2.max() < 0.3


def test_record_of_locality(x):
    found = locality(x, F.max_pool2d(x, 3, 1, 1)[:, None], GROUPS, seed=0)
    assert set(found) == {"locality_size", *(f"locality_r2_k{k}" for k in SIZES)}
    assert all(lookup(name).unit for name in found)
    for value, (low, high) in found.values():
        assert low <= value <= high
    assert found["locality_size"][0] == 3
    noise = locality(x, changed(x, "noise")[:, None], GROUPS, seed=0)
    assert math.isnan(noise["locality_size"][0])


@pytest.mark.mnist
def test_reference_transformations_of_mnist(mnist_path):
    """Brightness is a point map, thickness needs a patch; a warp and noise follow no such rule."""
    x = load_dataset(str(mnist_path)).test.pixels(slice(16))
    sizes = {}
    for name in ("brightness", "thickness", "warp", "noise"):
        x_k = reference(name, x, torch.full((16,), 0.25), GROUPS[:16], 0)
        sizes[name] = locality(x, x_k[:, None], GROUPS[:16], seed=0)["locality_size"][0]
    assert sizes["brightness"] == 1
    assert sizes["thickness"] > 1
    assert math.isnan(sizes["warp"])
    assert math.isnan(sizes["noise"])


def test_patches_larger_than_the_image_are_left_out():
    small = torch.rand(16, 1, 8, 8, generator=seeded())
    found = locality(small, (0.5 * small)[:, None], torch.zeros(16, dtype=torch.long), seed=0)
    assert "locality_r2_k9" not in found
    assert found["locality_size"][0] == 1


def test_colour_images_and_groups_of_one():
    colour = torch.rand(9, 3, 12, 12, generator=seeded())
    mixed = colour.roll(1, dims=1)  # each channel becomes another: 1 x 1 patches tell
    groups = torch.tensor([0] * 8 + [4])
    r2 = locality_r2(colour, mixed[:, None], groups, (1, 3), seed=0)
    assert locality_radius(r2[:1], (1, 3)).tolist() == [1]
    assert r2[1].isnan().all()
    still = locality_r2(colour, colour[:, None], groups, (1,), seed=0)
    assert still.isnan().all()


# where and how fine the change is


def test_support_counts_the_fewest_pixels():
    x, x_k = torch.zeros(1, 1, 4, 5), torch.zeros(1, 3, 1, 4, 5)
    x_k[0, 0, 0, 1, 2] = 0.3
    x_k[0, 1] = 0.5  # 18 of 20 equal pixels hold nine tenths
    found = change_support(x, x_k)[0]
    assert found[:2].tolist() == pytest.approx([1 / 20, 18 / 20])
    assert found[2].isnan()


def test_frequency_of_gratings_flat_changes_and_noise():
    columns = torch.arange(32.0)
    waves = torch.stack([(2 * math.pi * k * columns / 32).cos() for k in (0, 4, 16)])
    x = torch.zeros(1, 2, 32, 32)
    x_k = waves[None, :, None, None, :].expand(1, 3, 2, 32, 32)
    assert change_frequency(x, x_k)[0].tolist() == pytest.approx([0, 4 / 32, 0.5], abs=1e-4)
    white = torch.randn(1, 50, 2, 32, 32, generator=seeded())
    assert float(change_frequency(x, white).mean()) == pytest.approx(0.383, abs=0.003)
    assert change_frequency(x, torch.zeros(1, 1, 2, 32, 32)).isnan().all()


def test_a_group_of_one_image_says_nothing(x):
    some, moved = x[:16], torch.stack([0.7 * x[:16], 0.5 * x[:16]], dim=1)
    moved = moved + 0.02 * torch.randn(moved.shape, generator=seeded(3))
    pairs = torch.arange(16) // 4
    alone = torch.cat([pairs, torch.tensor([9])])
    plain = locality(some, moved, pairs, seed=0)
    more = locality(torch.cat([some, x[20:21]]), torch.cat([moved, moved[:1]]), alone, seed=0)
    for name, (value, ends) in plain.items():
        assert more[name][0] == pytest.approx(value, nan_ok=True, rel=1e-5)
        assert more[name][1] == pytest.approx(ends, nan_ok=True, rel=1e-5)
