"""Reference transformations: as large as asked for, one of a group, of the nature they claim."""

import pytest
import torch
from strokes import draw
from torch import Tensor

from filtergan.errors import UserError
from filtergan.families.catalogue import references
from filtergan.families.references import reference
from filtergan.families.transformations import affine, coordinates

REFERENCES = tuple(references(1))


def _change(x: Tensor, x_k: Tensor) -> Tensor:
    return (x_k - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)


def _images() -> tuple[Tensor, Tensor]:
    return draw(torch.linspace(1.2, 2, 6), curves=2), torch.tensor([7, 3, 7, 3, 7, 3])


@pytest.mark.parametrize("name", REFERENCES)
def test_a_group_changes_as_much_as_wanted(name):
    x, groups = _images()
    wanted = torch.tensor([0.1, 0.3, 0.2, 0.3, 0.15, 0.3])
    found = _change(x, reference(name, x, wanted, groups, seed=0)) ** 2
    for group in (3, 7):
        inside = groups == group
        assert float(found[inside].mean()) == pytest.approx(
            float((wanted[inside] ** 2).mean()), rel=1e-2
        )


@pytest.mark.parametrize("name", ["brightness", "warp", "noise"])
def test_an_image_all_but_black_does_not_decide_for_its_group(name):
    x, groups = _images()
    dark = torch.cat([x, 0.01 * x[:1]])
    own = torch.cat([groups, groups[:1]])
    wanted = torch.cat([torch.full((6,), 0.2), torch.tensor([20.0])])
    found = _change(dark, reference(name, dark, wanted, own, seed=0))[:6] ** 2
    assert float(found[groups == 7].mean()) == pytest.approx(0.04, rel=2e-2)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_seed_decides(name):
    x, groups = _images()
    change = torch.full((6,), 0.2)
    first, again = (reference(name, x, change, groups, seed=4) for _ in range(2))
    assert torch.equal(first, again)
    others = [reference(name, x, change, groups, seed=seed) for seed in range(5, 11)]
    assert (name == "brightness") == all(torch.allclose(first, other) for other in others)


@pytest.mark.parametrize("name", ["brightness", "thickness", "affine", "warp"])
def test_equal_images_of_a_group_stay_equal(name):
    x = draw(torch.tensor([1.5])).expand(4, 1, 28, 28)
    change, groups = torch.full((4,), 0.2), torch.tensor([0, 0, 1, 1])
    found = reference(name, x, change, groups, seed=1)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])


def test_brightness_dims():
    x, groups = _images()
    found = reference("brightness", x, torch.full((6,), 0.25), groups, seed=0)
    torch.testing.assert_close(found, 0.75 * x, atol=1e-4, rtol=0)


def test_tint_dims_each_channel_by_its_own_gain():
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    change = torch.full((4,), 0.3)
    found = reference("tint", x, change, torch.tensor([0, 0, 1, 2]), seed=0)
    torch.testing.assert_close(_change(x, found)[2:], change[2:], atol=1e-3, rtol=0)
    gain = (found / x).flatten(2)
    torch.testing.assert_close(gain, gain[:, :, :1].expand_as(gain))
    assert float(gain[0].amax()) == pytest.approx(1)
    torch.testing.assert_close(gain[0, :, 0], gain[1, :, 0])
    assert float(gain[3, :, 0].std()) > 0.05


def test_thickness_makes_strokes_wider_or_narrower_but_does_not_lose_them():
    x = draw(torch.full((8,), 1.5))
    found = reference("thickness", x, torch.full((8,), 0.3), torch.arange(8), seed=0)
    grown = (found - x).sum((1, 2, 3))
    assert {bool(g > 0) for g in grown} == {True, False}
    for change, sign in zip(found - x, grown.sign(), strict=True):
        assert bool((sign * change >= -1e-6).all())
    gone = reference("thickness", x, torch.full((8,), 2.0), torch.arange(8), seed=0)
    assert float(gone.sum((1, 2, 3)).min()) > 0


def test_thickness_is_of_the_width_asked_for():
    thin = torch.full((3,), 1.5)
    x, wider = draw(thin), draw(thin + 0.4)
    for seed in range(9):
        found = reference("thickness", x, _change(x, wider), torch.zeros(3).long(), seed)
        if float((found - x).sum()) > 0:
            share = 1 - (wider - found).square().sum() / (wider - x).square().sum()
            assert float(share) > 0.9
            return
    raise AssertionError("no seed made strokes wider")


def test_a_warp_has_no_affine_part_where_images_have_contrast():
    x, _ = _images()
    slopes = torch.stack(torch.gradient(x, dim=(2, 3)))
    best = torch.inf
    found = reference("warp", x, torch.full((6,), 0.1), torch.zeros(6).long(), seed=0)
    # To first order a warp changes an image by gradient times flow; no small affine map helps.
    place = torch.cat([torch.ones(1, 28, 28), coordinates((28, 28)) / 14])
    design = torch.stack([g[:, 0] * p for g in slopes for p in place]).flatten(1).T
    change = (found - x).flatten()
    left = change - design @ torch.linalg.lstsq(design, change[:, None]).solution[:, 0]
    best = float(1 - left.square().sum() / change.square().sum())
    assert best < 0.25


def test_an_affine_reference_is_one_affine_map():
    x, _ = _images()
    found = reference("affine", x, torch.full((6,), 0.2), torch.zeros(6).long(), seed=3)
    rows = torch.eye(2, 3)
    for _ in range(6):  # Gauss-Newton on the first image; the others must follow
        rows.requires_grad_(True)
        jacobian = torch.autograd.functional.jacobian(
            lambda r: affine(x[:1], r[None]).flatten(), rows
        )
        left = (found[:1] - affine(x[:1], rows[None])).flatten().detach()
        step = torch.linalg.lstsq(jacobian.flatten(1), left[:, None]).solution
        rows = (rows + step.view(2, 3)).detach()
    others = affine(x[1:], rows.expand(5, 2, 3))
    assert float((others - found[1:]).norm() / (found[1:] - x[1:]).norm()) < 0.05


def test_noise_is_white_and_its_own_for_each_image():
    x = draw(torch.full((4,), 1.5))
    found = reference("noise", x, torch.full((4,), 0.3), torch.zeros(4).long(), seed=0)
    noise = (found - x).flatten(1)
    assert float(torch.corrcoef(noise).fill_diagonal_(0).abs().max()) < 0.15
    assert float(noise.mean().abs() / noise.std()) < 0.05


def test_black_images_do_no_harm():
    x, groups = _images()
    x = torch.cat([x, torch.zeros(1, 1, 28, 28)])
    groups, change = torch.cat([groups, groups[:1]]), torch.full((7,), 0.2)
    change[-1] = torch.nan  # as `image_change` says of it
    for name in REFERENCES:
        found = reference(name, x, change, groups, seed=0)
        assert bool(found.isfinite().all())
        assert float(_change(x[:6:2], found[:6:2]).square().mean().sqrt()) == pytest.approx(
            0.2, rel=1e-2
        )


def test_colour_has_no_thickness_but_the_rest():
    x, groups = torch.rand(4, 3, 12, 12), torch.tensor([0, 0, 1, 1])
    change = torch.full((4,), 0.1)
    with pytest.raises(UserError, match="3 channels"):
        reference("thickness", x, change, groups, seed=0)
    for name in ("brightness", "affine", "warp", "noise"):
        assert reference(name, x, change, groups, seed=0).shape == x.shape
