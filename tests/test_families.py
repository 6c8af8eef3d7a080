"""What families of transformations explain: oracles, and the references landing where they must."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from strokes import draw
from torch import Tensor

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.errors import UserError
from filtergan.families.catalogue import FAMILIES, explained, plantable, references
from filtergan.families.references import reference
from filtergan.families.transformations import (
    affine,
    displace,
    photometric,
    spline_flow,
    width_table,
)
from filtergan.images.dataset import load_dataset
from filtergan.measures.explained import explained_all

GREY, COLOUR = (tuple(explained(channels)) for channels in (1, 3))
REFERENCES = tuple(references(1))
# What the families must and must not explain of each reference: lower and upper bounds.
LANDS: dict[str, dict[str, tuple[float, float]]] = {
    "brightness": {"photometric": (0.95, 1.0)},
    "affine": {"affine": (0.95, 1.0), "photometric_width": (0.0, 0.6)},
    "thickness": {"width": (0.8, 1.0), "photometric": (0.0, 0.6), "affine": (0.0, 0.7)},
    "warp": {f: (0.0, 0.6) for f in GREY if f != "spline"} | {"spline": (0.8, 1.0)},
    "noise": dict.fromkeys(GREY, (0.0, 0.2)),
}


def _explained(x: Tensor, x_k: Tensor, families: tuple[str, ...] = GREY) -> dict[str, Tensor]:
    return explained_all(x, x_k, torch.arange(len(x)), families=families)


@pytest.fixture(scope="module")
def strokes() -> Tensor:
    return draw(torch.linspace(1.1, 2, 24), curves=2)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("change", [0.15, 0.35])
def test_references_land_where_they_must(strokes, name, change):
    n = len(strokes)
    x_k = reference(name, strokes, torch.full((n,), change), torch.arange(n) % 8, seed=0)
    found = _explained(strokes, x_k)
    for family, (low, high) in LANDS[name].items():
        assert low <= float(found[family].mean()) <= high + 1e-6, family


@pytest.fixture(scope="module")
def mnist(mnist_path) -> Tensor:
    config = DatasetConfig(train_limit=10, test_limit=24)
    return load_dataset(str(mnist_path), config).test.pixels()


@pytest.mark.mnist
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("change", [0.15, 0.35])
def test_references_of_mnist_land_where_they_must(mnist, name, change):
    x_k = reference(name, mnist, torch.full((24,), change), torch.arange(24) % 4, seed=0)
    found = _explained(mnist, x_k)
    for family, (low, high) in LANDS[name].items():
        assert low <= float(found[family].mean()) <= high + 1e-6, family


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("brightness", "photometric"),
        ("affine", "affine"),
        ("thickness", "width"),
        ("warp", "spline"),
    ],
)
def test_digits_of_eight_pixels_tell_the_same(name, family):
    x = load_dataset("digits").test.pixels(slice(32))
    x_k = reference(name, x, torch.full((32,), 0.25), torch.arange(32) % 4, seed=0)
    assert float(_explained(x, x_k)[family].mean()) > 0.8


def test_families_are_nested(strokes):
    x = strokes[:8]
    x_k = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    found = _explained(x, x_k)
    for large, small in (
        ("photometric_width", "photometric"),
        ("photometric_width", "width"),
        ("photometric_affine", "photometric"),
        ("photometric_affine", "affine"),
        ("photometric_affine_width", "photometric_affine"),
        ("photometric_affine_width", "photometric_width"),
        ("spline", "photometric_affine"),
    ):
        assert bool((found[large] >= found[small] - 1e-6).all())
    assert float(torch.stack([*found.values()]).min()) >= -1e-5


def test_a_composed_transformation_is_explained_by_its_family_alone(strokes):
    x = strokes[:6]
    wide = width_table(x, torch.tensor([0.5]))[:, 0]
    rows = torch.tensor([[[1.05, 0.1, 0.8], [-0.1, 0.95, -0.6]]]).expand(6, 2, 3)
    x_k = photometric(affine(wide, rows), torch.full((6,), 0.7), torch.full((6,), 0.05))
    found = _explained(x, x_k)
    assert float(found["photometric_affine_width"].min()) > 0.99
    for family in ("photometric_affine", "photometric_width"):
        assert float((found["photometric_affine_width"] - found[family]).min()) > 0.01


def test_large_displacements_are_found_too(strokes):
    turn = torch.tensor(0.5)
    rows = torch.tensor([[turn.cos(), -turn.sin(), 2.0], [turn.sin(), turn.cos(), -1.0]])
    found = _explained(strokes, affine(strokes, rows.expand(len(strokes), 2, 3)))
    assert float(found["affine"].median()) > 0.99


def test_a_spline_warp_is_explained_by_the_spline(strokes):
    control = torch.randn(len(strokes), 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found = _explained(strokes, displace(strokes, spline_flow(control, (28, 28))))
    assert float(found["spline"].mean()) > 0.97


def test_photometric_is_the_regression_of_numpy():
    x, x_k = torch.rand(3, 2, 9, 9), torch.rand(3, 2, 9, 9)
    found = _explained(x, x_k, COLOUR)["photometric"]
    for one, other, share in zip(x, x_k, found, strict=True):
        flat, wanted = (v.flatten().double().numpy() for v in (one, other))
        left = np.linalg.lstsq(np.stack([flat, np.ones_like(flat)], 1), wanted)[1][0]
        assert float(share) == pytest.approx(1 - left / ((flat - wanted) ** 2).sum(), abs=1e-5)


def test_colour_is_the_regression_of_numpy_and_holds_the_tint():
    x, x_k = torch.rand(3, 3, 9, 9), torch.rand(3, 3, 9, 9)
    found = _explained(x, x_k, COLOUR)
    for one, other, share in zip(x, x_k, found["colour"], strict=True):
        flat, wanted = (v.flatten(1).double().numpy().T for v in (one, other))
        design = np.concatenate([flat, np.ones_like(flat[:, :1])], 1)
        left = np.linalg.lstsq(design, wanted)[1].sum()
        assert float(share) == pytest.approx(1 - left / ((flat - wanted) ** 2).sum(), abs=1e-5)
    assert bool((found["colour"] >= found["photometric"] - 1e-6).all())
    tinted = reference("tint", x, torch.full((3,), 0.2), torch.arange(3), seed=0)
    found = _explained(x, tinted, COLOUR)
    assert float(found["colour"].min()) > 0.9999
    assert float(found["photometric"].max()) < 0.95
    grey = x[:, :1].expand(-1, 3, -1, -1)
    assert float(_explained(grey, 0.7 * grey, COLOUR)["colour"].min()) > 0.9999


def test_widths_are_at_least_as_good_as_every_width_tried(strokes):
    x, x_k = strokes[:4], draw(torch.linspace(1.6, 2.2, 24), curves=2)[:4]
    found = _explained(x, x_k)
    table = width_table(x, torch.arange(-6, 9) / 4)
    mixed = torch.cat(
        [table[:, :-1] * (1 - part) + table[:, 1:] * part for part in (0.0, 0.3, 0.7)], 1
    )
    change = (x_k - x).square().sum((1, 2, 3))
    best = (mixed - x_k[:, None]).square().sum((2, 3, 4)).amin(1)
    assert bool((found["width"] >= 1 - best / change - 1e-5).all())
    flat, wanted = mixed.flatten(2), x_k.flatten(1)[:, None]
    flat, wanted = flat - flat.mean(-1, keepdim=True), wanted - wanted.mean(-1, keepdim=True)
    along = (flat * wanted).sum(-1) ** 2 / flat.square().sum(-1)
    best = (wanted.square().sum(-1) - along).amin(1)
    assert bool((found["photometric_width"] >= 1 - best / change - 1e-5).all())


@pytest.mark.parametrize("family", ["affine", "photometric_affine"])
def test_warps_are_as_good_as_those_of_scipy(strokes, family):
    x = strokes[:4]
    x_k = reference("warp", x, torch.full((4,), 0.3), torch.arange(4), seed=2)
    found = _explained(x, x_k)[family]
    for one, other, share in zip(x[:, None].double(), x_k.double(), found, strict=True):

        def left(values: np.ndarray, one: Tensor = one, other: Tensor = other) -> np.ndarray:
            rows = torch.from_numpy(values[:6]).view(1, 2, 3) + torch.eye(2, 3)
            moved = affine(one, rows)[0]
            if family == "photometric_affine":
                moved = values[6] * moved + values[7]
            return (moved - other).flatten().numpy()

        start = np.array([0, 0, 0, 0, 0, 0, 1, 0.0])[: 6 if family == "affine" else 8]
        scale = np.array([0.05, 0.05, 0.5, 0.05, 0.05, 0.5, 1, 0.1])[: len(start)]
        best = 2 * least_squares(left, start, x_scale=scale).cost
        wanted = 1 - best / float((other - one).square().sum())
        assert float(share) > wanted - 0.01


def test_owners_share_their_images(strokes):
    x, owner = strokes[:3], torch.tensor([2, 0, 2, 1, 0])
    x_k = (x[owner] + 0.1 * torch.rand(5, 1, 28, 28)).clamp(0, 1)
    found = explained_all(x, x_k, owner)
    alone = _explained(x[owner], x_k)
    for family in GREY:
        torch.testing.assert_close(found[family], alone[family], atol=2e-3, rtol=0)


def test_no_change_has_no_explanation(strokes):
    black = torch.zeros_like(strokes[:1])
    x, x_k = torch.cat([strokes[:1], black]), torch.cat([strokes[:1], strokes[:1]])
    for shares in _explained(x, x_k).values():
        assert bool(shares[0].isnan())
        assert 0 <= float(shares[1]) < 0.3


def test_records_keep_their_names():
    """Numbers of old and new records are compared by these, in this order."""
    assert GREY == (
        "photometric",
        "width",
        "photometric_width",
        "affine",
        "photometric_affine",
        "photometric_affine_width",
        "spline",
    )
    assert COLOUR == ("photometric", "colour", "affine", "photometric_affine", "spline")
    assert REFERENCES == ("brightness", "thickness", "affine", "warp", "noise")
    assert tuple(references(3)) == ("brightness", "tint", "affine", "warp", "noise")
    assert tuple(plantable(1)) == ("blur", "brightness", "rotation", "shift", "width")
    assert tuple(plantable(3)) == ("blur", "brightness", "colour", "rotation", "shift")


@pytest.mark.parametrize("name", plantable())
def test_a_strength_decides_the_change_of_its_own_image(strokes, name):
    family, strength = FAMILIES[name], FAMILIES[name].strength
    assert strength is not None
    some = strength.random(6, np.random.default_rng(0))
    assert strength.low <= float(some.min()) < float(some.max()) <= strength.high
    grey = family.applies(1)
    x = strokes[:6] if grey else torch.rand(6, 3, 8, 8)
    found = family.apply(x, some)
    assert torch.equal(found, family.apply(x, some))
    for i in range(6):
        alone = family.apply(x[i, None], some[i, None])
        torch.testing.assert_close(found[i], alone[0], atol=1e-5, rtol=0)
    known = family.within or family
    if known.explained is not None:
        shares = _explained(x, found, GREY if grey else COLOUR)
        assert float(shares[known.explained.name].mean()) > 0.8


@pytest.mark.parametrize("name", ["width", "colour"])
def test_a_family_refuses_images_that_it_is_no_change_of(name):
    family = FAMILIES[name]
    channels = 3 if family.grey else 1
    assert not family.applies(channels)
    assert family.applies(4 - channels)
    with pytest.raises(UserError, match=rf"these have {channels} channels\. Choose another family"):
        family.require(channels)


def test_colour_has_the_families_without_strokes():
    x = torch.rand(4, 3, 16, 16)
    with pytest.raises(UserError, match="3 channels"):
        _explained(x, x)
    found = _explained(x, 0.8 * x + 0.1, COLOUR)
    assert tuple(found) == COLOUR
    assert all("width" not in family for family in COLOUR)
    assert float(found["photometric"].min()) > 0.999
