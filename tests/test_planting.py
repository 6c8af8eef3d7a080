"""Planted truth: which images are transformed and how, and the table that ranks what is found."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from records import begun
from scipy import ndimage

from filtergan import cli
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import StudyConfig
from filtergan.errors import UserError
from filtergan.families.catalogue import FAMILIES, plantable
from filtergan.families.transformations import width_table
from filtergan.images import planting
from filtergan.images.dataset import load_dataset
from filtergan.measures.contrasts import Estimate
from filtergan.measures.registry import result
from filtergan.runs.record import SiteRecord


def fixed(monkeypatch: pytest.MonkeyPatch, kind: str, strength: float) -> None:
    """Every image gets this strength."""
    family = FAMILIES[kind]
    assert family.strength is not None
    same = replace(family.strength, low=strength, high=strength)
    monkeypatch.setitem(FAMILIES, kind, replace(family, strength=same))


def plant(images: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Transformed copies of images."""
    copies = torch.from_numpy(images.copy())
    planting.plant(copies, FAMILIES[kind], seed)
    return copies.numpy()


def strokes(n: int = 4, size: int = 28) -> np.ndarray:
    """Smooth blobs on black that stay clear of the border."""
    noise = np.random.default_rng(0).standard_normal((n, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2))
    edge = 5
    smooth[:, :edge] = smooth[:, -edge:] = smooth[:, :, :edge] = smooth[:, :, -edge:] = 0
    return (255 * (smooth / smooth.max()).clip(0, 1)).astype(np.uint8)[:, None]


def disc(radius: float, size: int = 28) -> np.ndarray:
    """An antialiased disc in the middle."""
    fine = 16
    place = (np.arange(size * fine) + 0.5) / fine - size / 2
    inside = place[:, None] ** 2 + place**2 <= radius**2
    grey = inside.reshape(size, fine, size, fine).mean((1, 3))
    return (255 * grey).round().astype(np.uint8)[None, None]


@pytest.mark.parametrize("kind", plantable(channels=1))
def test_only_the_training_images_change(kind: str) -> None:
    plain = load_dataset("digits")
    transformed = load_dataset("digits", DatasetConfig.model_validate({"planted": kind}))
    assert torch.equal(transformed.test.images[:], plain.test.images[:])
    assert torch.equal(transformed.train.labels, plain.train.labels)
    changed = (transformed.train.images[:] != plain.train.images[:]).flatten(1).any(1)
    # Of 8 x 8 pixels the smallest blurs change none by a grey level.
    assert changed.float().mean() > (0.5 if kind == "blur" else 0.95)
    assert transformed.fingerprint != plain.fingerprint


@pytest.mark.parametrize("kind", plantable(channels=1))
def test_the_seed_of_the_split_decides(kind: str) -> None:
    images = strokes(6)
    assert np.array_equal(plant(images, kind, 0), plant(images, kind, 0))
    assert not np.array_equal(plant(images, kind, 0), plant(images, kind, 1))
    assert np.array_equal(plant(images[:3], kind, 0), plant(images, kind, 0)[:3])


@given(st.integers(0, 1000))
def test_gains_are_uniform_between_their_ends(seed: int) -> None:
    white = np.full((300, 1, 1, 1), 255, dtype=np.uint8)
    gains = plant(white, "brightness", seed).ravel() / 255
    strength = FAMILIES["brightness"].strength
    assert strength is not None
    low, high = strength.low, strength.high
    assert low - 0.01 <= gains.min() < low + 0.05
    assert high - 0.05 < gains.max() <= high
    assert abs(gains.mean() - (low + high) / 2) < 0.06  # five standard errors


@given(st.floats(-2, 0.7), st.floats(0.05, 2), st.integers(0, 100))
def test_strengths_lie_between_those_that_are_asked_for(low: float, wide: float, seed: int) -> None:
    white = torch.full((300, 1, 1, 1), 200, dtype=torch.uint8)
    planting.plant(white, FAMILIES["brightness"], seed, (low, low + wide))
    gains = white.ravel().double() / 200
    inside = min(max(low, 0), 1.275), min(max(low + wide, 0), 1.275)  # pixels end at 0 and 255
    assert inside[0] - 0.003 <= gains.min() <= gains.max() <= inside[1] + 0.003
    assert gains.max() - gains.min() >= 0.9 * (inside[1] - inside[0]) - 0.01


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (("--dataset.planted-range=1,2",), "planted is to say what"),
        (("--dataset.planted", "rotation", "--dataset.planted-range=45,4"), "from low to high"),
        (("--dataset.planted", "rotation", "--dataset.planted-range=-inf,4"), "finite"),
        (("--dataset.planted", "rotation", "--dataset.planted-range=4"), "planted_range"),
    ],
)
def test_a_range_that_is_none_is_refused(
    chosen: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "run"
    assert cli.main(["study", "digits", *chosen, "-o", str(place)]) == 2
    assert said in capsys.readouterr().err
    assert not place.exists()


def test_every_pixel_of_an_image_has_the_same_gain() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, 0)
    for before, after in zip(images, plant(images, "brightness", 0), strict=True):
        gain = after.max() / 255
        assert np.abs(after - gain * before.astype(float)).max() <= 1.1


def test_a_tint_dims_later_channels_alike_in_every_pixel() -> None:
    white = np.full((4, 3, 5, 5), 255, dtype=np.uint8)
    red, green, blue = (plant(white, "colour", 0) / 255).transpose(1, 0, 2, 3)
    assert (red == 1).all()
    assert (green == green[:, :1, :1]).all()
    assert np.abs(green**2 - blue).max() < 0.01  # by half as much in its logarithm
    strength = FAMILIES["colour"].strength
    assert strength is not None
    assert (blue >= np.exp(-strength.high) - 0.01).all()
    with pytest.raises(UserError, match="images in colour"):
        plant(strokes(), "colour", 0)


@pytest.mark.parametrize("degrees", [-60.0, 17.0, 45.0])
def test_rotation_is_scipys(monkeypatch: pytest.MonkeyPatch, degrees: float) -> None:
    fixed(monkeypatch, "rotation", degrees)
    images = strokes()
    turned = plant(images, "rotation", 0).astype(float)
    wanted = ndimage.rotate(images.astype(float), degrees, axes=(3, 2), order=1, reshape=False)
    assert np.abs(turned - wanted).max() <= 1.1


def test_a_quarter_turn_moves_pixels_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed(monkeypatch, "rotation", 90.0)
    images = strokes()
    turned = plant(images, "rotation", 0).astype(int)
    both = [np.abs(turned - np.rot90(images, k, (2, 3))).max() for k in (1, 3)]
    assert min(both) <= 1


@pytest.mark.parametrize("step", [-0.5, 0.25, 1.0, 1.2])
def test_a_disc_grows_by_the_step(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    fixed(monkeypatch, "width", step)
    before, after = disc(6.0), plant(disc(6.0), "width", 0)
    radius = [math.sqrt(x.sum() / 255 / math.pi) for x in (before, after)]
    assert radius[1] - radius[0] == pytest.approx(step, abs=0.08)
    assert after.max() == 255


def test_no_step_changes_nothing_and_a_small_image_has_small_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed(monkeypatch, "width", 0.0)
    assert np.array_equal(plant(strokes(), "width", 0), strokes())
    fixed(monkeypatch, "width", 1.2)
    small = plant(disc(2.0, 8), "width", 0)
    radius = [math.sqrt(x.sum() / 255 / math.pi) for x in (disc(2.0, 8), small)]
    assert radius[1] - radius[0] == pytest.approx(1.2 * 8 / 28, abs=0.08)


@pytest.mark.mnist
def test_width_is_the_measured_family(mnist_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One grey level stands for the eight of the family by which a traversal is judged.
    data = load_dataset(str(mnist_path), DatasetConfig(train_limit=16, test_limit=2))
    for step in (-0.4, 0.6, 1.1):
        fixed(monkeypatch, "width", step)
        ours = torch.from_numpy(plant(data.train.images[:].numpy(), "width", 0)).float() / 255
        x = data.train.pixels()
        table = width_table(x, torch.tensor([step]))[:, 0].clamp(0, 1)
        left = ((ours - table) ** 2).sum() / ((ours - x) ** 2).sum()
        assert left < 0.1


def test_colour_has_no_stroke_width(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
    for place, array in enumerate(colours):
        path = tmp_path / ("yes" if place % 2 else "no") / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(path)
    for kind in ("brightness", "rotation"):
        config = DatasetConfig.model_validate({"planted": kind})
        assert load_dataset(str(tmp_path), config).shape == (3, 9, 7)
    with pytest.raises(UserError, match="3 channels"):
        load_dataset(str(tmp_path), DatasetConfig(planted="width"))


def test_the_kind_is_a_field_of_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study", "planted", "--dataset.planted", "rotation", "--dry-run"]
    assert cli.main(command) == 0
    assert "planted: rotation" in capsys.readouterr().out


def test_an_unknown_kind_is_refused_before_any_image_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'shear' can be planted; choose blur, bri"):
        load_dataset(str(tmp_path / "missing"), DatasetConfig(planted="shear"))


# -------------------------------------------------------------------------------------- the table


def write_record(folder: Path, kind: str, seed: int, **measures: tuple[float, float]) -> None:
    """A record of one site whose measures have this value and half width."""
    found = {m: result(m, v, (v - half, v + half), 128) for m, (v, half) in measures.items()}
    sites = {"conv4@activation": SiteRecord(measures=found)}
    record = begun(StudyConfig(layer=("conv4",), seed=seed), sites=sites)
    path = folder / kind / f"seed{seed}"
    path.mkdir(parents=True)
    (path / "record.json").write_text(record.model_dump_json(by_alias=True))


def test_the_table_ranks_planted_against_plain(tmp_path: Path) -> None:
    for seed in range(2):
        plain = {"explained_affine": (0.2, 0.02), "normalized_variance_affine": (0.5, 0.02)}
        write_record(tmp_path, "none", seed, **plain)
        measures = {
            "explained_affine": ((0.4, 0.21)[seed], 0.02),
            "normalized_variance_affine": ((0.3, 0.6)[seed], 0.02),
        }
        write_record(tmp_path, "rotation", seed, **measures)
    head, lines = planted.rows(tmp_path)
    assert head[3:] == ["seed 0: planted; plain", "seed 1: planted; plain", "right"]
    cells = {line[2]: line for line in lines}
    assert cells["explained_affine"][:2] == ["rotation", "conv4@activation"]
    assert cells["explained_affine"][3] == "0.400 (0.380 to 0.420); 0.200 (0.180 to 0.220)"
    assert cells["explained_affine"][-1] == "2 of 2, 1 beyond the interval"
    # A network is planted an invariance where its responses vary less.
    assert cells["normalized_variance_affine"][-1] == "1 of 2, 1 beyond the interval"
    assert cells["slope of slant"][3:] == ["-; -", "-; -", "0 of 0, 0 beyond the interval"]


def test_the_table_of_no_records_is_empty(tmp_path: Path) -> None:
    assert planted.rows(tmp_path)[1] == []


def test_the_slope_is_that_of_the_steepest_direction() -> None:
    def steepest(values: tuple[float, ...], half: float) -> Estimate:
        slopes = {
            f"slope_slant_z{z}": result(f"slope_slant_z{z}", v, (v - half, v + half), 10**6)
            for z, v in enumerate(values)
        }
        found = planted._slope(slopes, "slant")
        assert found is not None
        return found

    sharp = steepest((3.0, 0.0, -4.0), 1e-6)
    assert sharp.value == pytest.approx(5)
    one = steepest((3.0, 4.0), 0.196)
    assert math.sqrt(one.variance) == pytest.approx(0.1, rel=1e-3)
    # Noise alone has a length, which is taken off.
    rng = np.random.default_rng(0)
    noise = [steepest(tuple(rng.standard_normal(8)), 1.96) for _ in range(300)]
    assert np.mean([e.value**2 for e in noise]) < 3
    assert np.mean([e.low == 0 for e in noise]) > 0.8
