"""Fixed transformations of known families: each against a plain way to do the same."""

import pytest
import scipy.ndimage as ndi
import torch
from torch import Tensor

from filtergan.errors import UserError
from filtergan.families.catalogue import FAMILIES, fixed, to_ask
from filtergan.families.family import Fixed


def stroke(n: int = 3, side: int = 28) -> Tensor:
    """Smooth blobs well inside the image."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centre = (side - 1) / 2 + torch.tensor([[0.0, 2.0], [3.0, -2.0], [-2.0, 1.0]])[:n]
    away = [(rows - r).square() / 18 + (columns - c).square() / 6 for r, c in centre]
    return torch.exp(-torch.stack(away))[:, None]


def centroid(x: Tensor) -> Tensor:
    """Column and row of the mean of grey levels, from the centre."""
    place = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
    mass = x.sum((1, 2, 3))
    return torch.stack([(x.sum((1, 2)) @ place) / mass, (x.sum((1, 3)) @ place) / mass], dim=1)


def spread(x: Tensor) -> Tensor:
    """Second moments of the grey levels about their centre: cc, cr, rr."""
    place = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
    column, row = centroid(x).T
    c, r = place - column[:, None, None], place[:, None] - row[:, None, None]
    weight = x[:, 0] / x.sum((1, 2, 3))[:, None, None]
    return torch.stack([(weight * p).sum((1, 2)) for p in (c * c, c * r, r * r)], dim=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_changes_every_image_by_itself_and_leaves_its_shape(channels: int) -> None:
    x = torch.rand(4, channels, 12, 14, generator=torch.Generator().manual_seed(0))
    for name, one in fixed(channels).items():
        changed = one(x)
        assert changed.shape == x.shape, name
        assert not torch.allclose(changed, x, atol=1e-3), name
        torch.testing.assert_close(one(x[2:3]), changed[2:3])
        torch.testing.assert_close(one(x), changed)  # the same whenever it is asked


def test_grey_and_colour_have_their_own() -> None:
    grey, colour = set(fixed(1)), set(fixed(3))
    assert grey - colour == {"thicker 0.7 px", "thinner 0.7 px"}
    assert colour - grey == {"tint 0.5"}
    assert set(fixed()) == grey | colour


def test_ground_goes_to_white() -> None:
    got = fixed()["ground +0.15"](torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3))
    torch.testing.assert_close(got.flatten(), torch.tensor([0.15, 0.575, 1.0]))


def test_blur_is_scipys() -> None:
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    got = fixed()["blur 1 px"](x)
    for image, blurred in zip(x[:, 0], got[:, 0], strict=True):
        want = ndi.gaussian_filter(image.double().numpy(), 1, mode="constant", truncate=9)
        torch.testing.assert_close(blurred.double(), torch.from_numpy(want), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("side", "pixels"), [(28, 1), (56, 2)])
def test_shift_moves_to_the_right(side: int, pixels: int) -> None:
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    got = fixed()["shift 1 px"](x)
    torch.testing.assert_close(got[..., pixels:], x[..., :-pixels], atol=1e-5, rtol=0)
    assert got[..., : pixels // 2].abs().max() < 1e-5 if pixels > 1 else True


def test_size_scales_places_and_spread() -> None:
    x = stroke()
    for factor in (1.1, 0.9):
        got = Fixed("", fixed()["size x1.1"].change, factor)(x)
        torch.testing.assert_close(centroid(got), factor * centroid(x), atol=0.02, rtol=0.01)
        torch.testing.assert_close(spread(got), factor**2 * spread(x), atol=0.2, rtol=0.05)


def test_slant_moves_columns_by_the_row() -> None:
    x = stroke()
    got, (column, row) = fixed()["slant 0.2"](x), centroid(stroke()).T
    want = torch.stack([column - 0.2 * row, row], dim=1)  # rows count downwards: to the right
    torch.testing.assert_close(centroid(got), want, atol=0.02, rtol=0.01)


def test_warp_has_its_length() -> None:
    """Of a ramp, which a flow changes by its own part along the ramp."""
    ramp = torch.arange(28.0).expand(1, 1, 28, 28)
    inside = (..., slice(6, -6), slice(6, -6))
    right, down = ((fixed()["warp 1.5 px"](r) - r)[inside] for r in (ramp, ramp.mT))
    assert (right.square() + down.square()).mean().sqrt() == pytest.approx(1.5, abs=0.9)


def test_tint_dims_later_channels_more() -> None:
    got = fixed()["tint 0.5"](torch.ones(1, 3, 2, 2))[0, :, 0, 0]
    torch.testing.assert_close(got, torch.exp(-0.5 * torch.tensor([0, 0.5, 1])))


def test_unknown_families_are_refused() -> None:
    assert to_ask("rotation") is FAMILIES["rotation"]
    with pytest.raises(UserError, match="no family 'noise'; choose brightness, ground, colour"):
        to_ask("noise")
