"""Each augmentation that is compared: what it changes, what it learns, what it needs."""

import copy
import dataclasses
import importlib.util
import sys
from pathlib import Path

import lig
import numpy as np
import pytest
import torch
from augmented import some, subject
from torch import Tensor, nn

from filtergan.augmentation.augment import InvarianceAugment
from filtergan.benchmark.affine_maps import UniformAffine, hand
from filtergan.benchmark.augerino import widths
from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.subject import Subject
from filtergan.config.fields import CnnConfig
from filtergan.errors import UserError
from filtergan.images.splits import Split


@pytest.fixture(scope="module")
def grey() -> Subject:
    return subject()


@pytest.fixture(scope="module")
def coloured() -> Subject:
    return subject(channels=3)


@pytest.fixture(params=[1, 3], ids=["grey", "coloured"])
def either(request: pytest.FixtureRequest, grey: Subject, coloured: Subject) -> Subject:
    return grey if request.param == 1 else coloured


@pytest.mark.parametrize("name", METHODS)
def test_at_no_strength_nothing_changes(either: Subject, name: str) -> None:
    x, labels = some(either)
    transform = either.factory(name)(x, labels, 0.0, 0)
    torch.testing.assert_close(transform(x), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "none"])
def test_images_are_changed_as_torchs_generator_says(either: Subject, name: str) -> None:
    x, labels = some(either)
    most = METHODS[name].strengths(3)[-1]
    transform = either.factory(name)(x, labels, most, 0)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(torch.stack([transform(x) for _ in range(4)]))
    assert found[0].shape[1:] == x.shape
    assert found[0].isfinite().all()
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert (found[0] - x).abs().mean() > 1e-3


def test_every_operation_of_randaugment_takes_grey_and_coloured_images(either: Subject) -> None:
    x, labels = some(either, 3)
    transform = either.factory("randaugment")(x, labels, 0.9, 0)
    torch.manual_seed(0)
    for _ in range(60):
        y = transform(x)
        assert y.shape == x.shape
        assert -1e-4 <= float(y.min()) <= float(y.max()) <= 1 + 1e-4


def test_dials_have_as_many_values() -> None:
    for name, method in METHODS.items():
        strengths = method.strengths(4)
        assert len(strengths) == (1 if name == "none" else 4)
        if method.most is not None:
            assert np.allclose(strengths, method.most * np.array([0.25, 0.5, 0.75, 1]))


def test_widths_of_affine_maps_are_those_of_the_group() -> None:
    """A dot off the centre, turned alone, stays on its circle, within half the width."""
    x = torch.zeros(400, 1, 33, 33)
    x[:, :, 16, 28] = 1  # 12 pixels to the right of the centre
    torch.manual_seed(0)
    turned = UniformAffine(torch.tensor([0, 0, 1.0, 0, 0, 0]))(x)
    places = torch.stack(torch.meshgrid(*[torch.arange(33.0) - 16] * 2, indexing="ij"))
    centre = (turned * places).sum((2, 3)) / turned.sum((2, 3))
    angle = torch.atan2(centre[:, 0], centre[:, 1])
    assert (centre.norm(dim=1) - 12).abs().max() < 0.6
    assert 0.45 < float(angle.abs().max()) < 0.56
    assert abs(float(angle.mean())) < 0.05
    moved = UniformAffine(torch.tensor([4.0, 0, 0, 0, 0, 0]))(x)
    ways = (moved * places).sum((2, 3))[:, 1] / moved.sum((2, 3))[:, 0] - 12
    assert 2.9 < float(ways.abs().max()) < 3.5  # 4 * 5 % of 33 pixels, to either side


# ------------------------------------------------------------------------------- Augerino


def rings(n: int) -> tuple[Tensor, Tensor]:
    """Rings of two radii: however they are turned, they are the same."""
    places = torch.stack(torch.meshgrid(*[torch.arange(9.0) - 4] * 2, indexing="ij"))
    labels = torch.arange(n) % 2
    far = (places.norm(dim=0) - torch.tensor([1.5, 3.0])[labels][:, None, None]).abs()
    return (1 - far).clamp(0, 1)[:, None], labels


def bars(n: int) -> tuple[Tensor, Tensor]:
    """Bars at four angles, a few degrees of which are their own: turned by half a right angle, one
    is another."""
    labels = torch.arange(n) % 4
    angle = labels * torch.pi / 4
    rows, columns = torch.meshgrid(*[torch.arange(9.0) - 4] * 2, indexing="ij")
    off = rows * angle.cos()[:, None, None] - columns * angle.sin()[:, None, None]
    return (1.5 - off.abs()).clamp(0, 1)[:, None], labels


def learner(grey: Subject, x: Tensor, labels: Tensor, steps: int) -> Subject:
    torch.manual_seed(0)
    classes = int(labels.max()) + 1
    small = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, classes))
    split = Split((255 * x).to(torch.uint8), labels)
    config = CnnConfig(rate=0.01)
    return dataclasses.replace(grey, network=small, train=split, config=config, steps=steps)


def test_augerino_widens_what_labels_allow_and_narrows_what_they_do_not(grey: Subject) -> None:
    found = {}
    for name, (x, labels) in {"rings": rings(40), "bars": bars(40)}.items():
        one = learner(grey, x, labels, steps=150)
        found[name] = widths(one, x, labels, 0.1, seed=1, start=0.5)[2]
    start = float(nn.functional.softplus(torch.tensor(0.5)))
    assert found["rings"] > 1.5 * start
    assert found["bars"] < start
    small = widths(learner(grey, *rings(40), steps=10), *rings(40), 0.1, seed=1)
    assert small.shape == (6,)


# ------------------------------------------------------------------------------------ LIG


class Rows(nn.Module):
    """A network whose features are sums of rows: what moves along them, it ignores."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.sum((1, 3)))


def test_lig_finds_what_features_ignore() -> None:
    torch.manual_seed(0)
    few = torch.rand(32, 1, 4, 4)
    x = nn.functional.interpolate(few, (6, 6), mode="bicubic").clamp(0, 1)
    x = nn.functional.pad(x, (2, 2, 2, 2))
    fields, weights = lig.learned(Rows().eval(), x, steps=80, seed=0, count=2)
    assert weights.shape == (10, 10)
    assert float(weights.sum()) == pytest.approx(1)
    norms = lig.products(fields, fields, weights)
    torch.testing.assert_close(norms.diagonal(), torch.ones(2))
    share = (fields[0].square() * weights).sum((1, 2))  # horizontal, vertical
    assert share[0] > 4 * share[1]


def test_a_flow_is_that_of_its_field() -> None:
    """A rotation's, by its closed form; there and back is nowhere."""
    sides = [torch.linspace(-1, 1, 21)] * 2
    columns, rows = torch.meshgrid(*sides, indexing="xy")
    turn = torch.stack([-rows, columns])[None]
    way, time = lig.flowed(turn, 0.4)[0], torch.tensor(0.4)
    there = torch.stack(
        [columns * time.cos() - rows * time.sin(), columns * time.sin() + rows * time.cos()]
    )
    inner = columns.square() + rows.square() < 0.8
    torch.testing.assert_close(
        way[:, inner], (there - torch.stack([columns, rows]))[:, inner], atol=2e-3, rtol=0
    )


def test_what_is_missing_is_named(
    grey: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(Path(__file__).parents[1])
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", root)])
    for name in ("benchmarks.lig", "benchmarks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(UserError, match=r"lies in benchmarks/lig\.py of the repository"):
        grey.factory("lig")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "kornia" else find(name)
    )
    for name in ("randaugment", "elastic"):
        with pytest.raises(UserError, match=r"pip install 'filtergan\[benchmark\]'"):
            grey.factory(name)


def test_ours_goes_beyond_the_training_and_the_null_is_its_own_transformer(grey: Subject) -> None:
    x, labels = some(grey)
    null = grey.gan.null
    assert null is not None
    for name, gan in (("ours", grey.gan), ("null", null)):
        farthest = METHODS[name].strengths(3)[-1]
        alone = grey.factory(name)(x, labels, farthest, 0)
        assert isinstance(alone, InvarianceAugment)
        assert alone.strength == 3
        same(alone.transformer, gan.transformer)
        first, then = grey.factory(f"{name}_affine")(x, labels, 1.0, 0).children()
        assert isinstance(first, InvarianceAugment)
        assert first.strength == 3
        same(first.transformer, gan.transformer)
        assert isinstance(then, UniformAffine)
        assert torch.equal(then.widths, hand(1.0).widths)
    bare = dataclasses.replace(grey, gan=copy.copy(grey.gan))
    bare.gan.null = None
    with pytest.raises(UserError, match="has no null"):
        bare.factory("null")


def same(one: nn.Module, other: nn.Module) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
