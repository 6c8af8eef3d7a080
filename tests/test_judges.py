"""Judges: of different makes, good, the same for every study, and kept through all that happens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from filtergan import study
from filtergan.classifiers import judges
from filtergan.classifiers.judges import (
    BODIES,
    WIDTH,
    Judges,
    get_judges,
    judges_file,
    train_judges,
    untrained,
)
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import JudgeConfig
from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.images.dataset import load_dataset
from filtergan.images.splits import Dataset, Split
from filtergan.machine.files import load_tensors, save_tensors, sha256
from filtergan.machine.storage import cache_folder
from filtergan.measures.manifold import judges_agree, manifold_percentile
from filtergan.measures.traversals import image_change
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials
from filtergan.study.stages import stages_of

QUICK = JudgeConfig(epochs=1, batch=50)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def few() -> Dataset:
    return load_dataset("digits", DatasetConfig(train_limit=100, test_limit=40))


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache."""
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(judges, "train_judges", trained)


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def dataset_of(*shape: int, n: int = 20) -> Dataset:
    pixels = (255 * images(n, *shape)).to(torch.uint8)
    split = Split(pixels, torch.arange(n) % 3)
    return Dataset("made", split, split, ("a", "b", "c"), f"fingerprint of {shape}")


# the networks


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 150, 100), (2, 3, 1)])
def test_every_make_takes_images_of_any_shape(shape: tuple[int, int, int]) -> None:
    data = dataset_of(*shape)
    config = JudgeConfig(networks=len(BODIES), epochs=1, batch=10)
    made = train_judges(data, config)
    x = images(5, *shape)
    assert made.logits(x).shape == (len(BODIES), 5, 3)
    assert made.logits(x).isfinite().all()
    for network, logits in zip(made.networks, made.logits(x), strict=True):
        values = network.get_submodule("body")(x)
        assert values.shape == (5, WIDTH)
        torch.testing.assert_close(network.get_submodule("head")(values), logits)
    features = made.features(x)
    assert features.shape == (5, 2 * (8 + 24 + 48))
    assert features.isfinite().all()


def test_they_are_as_wide_as_wanted() -> None:
    data = dataset_of(3, 8, 8)
    one, two = (
        [sum(p.numel() for p in network.parameters()) for network in untrained(data, config)]
        for config in (JudgeConfig(), JudgeConfig(width=2))
    )
    assert all(1.5 < b / a < 4 for a, b in zip(one, two, strict=True))
    made = train_judges(data, JudgeConfig(epochs=1, batch=10, width=2))
    assert made.features(images(5, 3, 8, 8)).shape == (5, 2 * 2 * (8 + 24 + 48))


def test_they_are_as_deep_as_wanted() -> None:
    """But for the third, which is of a make that has no depth."""
    data = dataset_of(3, 8, 8)
    counts = [
        [sum(isinstance(m, nn.Conv2d) for m in network.modules()) for network in made]
        for made in (untrained(data, JudgeConfig(depth=depth)) for depth in (1, 3))
    ]
    assert counts == [[3, 1 + 2 * 2 + 1, 2], [9, 1 + 2 * 6 + 1, 2]]
    made = train_judges(data, JudgeConfig(epochs=1, batch=10, depth=2))
    assert made.features(images(5, 3, 8, 8)).shape == (5, 2 * 2 * (8 + 24 + 48))  # every map


@pytest.mark.parametrize("mixed", [False, True])
def test_they_are_trained_in_bfloat16_if_wanted(
    monkeypatch: pytest.MonkeyPatch, mixed: bool
) -> None:
    asked = []
    monkeypatch.setattr(judges, "fit", lambda *_, mixed, **__: asked.append(mixed))
    train_judges(dataset_of(1, 4, 6), JudgeConfig(networks=2, mixed=mixed))
    assert asked == [mixed, mixed]


def test_they_are_shown_images_mirrored_and_shifted_if_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []

    def fit(*_: Any, prepare: Callable[[Tensor], Tensor], **__: Any) -> None:
        shown.append(prepare(data.train.images[:]))

    monkeypatch.setattr(judges, "fit", fit)
    data = dataset_of(1, 4, 6)
    pixels = data.train.pixels()
    for config in (JudgeConfig(), JudgeConfig(flip=True), JudgeConfig(shift=1)):
        train_judges(data, config.model_copy(update={"networks": 1}))
    plain, flipped, shifted = shown
    assert torch.equal(plain, pixels)
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, pixels, strict=True)]
    assert 0 < sum(mirrored) < len(mirrored)
    assert torch.equal(flipped[~torch.tensor(mirrored)], pixels[~torch.tensor(mirrored)])
    wide = torch.nn.functional.pad(pixels, (1,) * 4)
    places = [wide[:, :, i : i + 4, j : j + 6] for i in range(3) for j in range(3)]
    found = [[torch.equal(a, b) for a, b in zip(shifted, place, strict=True)] for place in places]
    assert all(any(one) for one in zip(*found, strict=True))
    assert not all(found[4])  # where it lay


def test_they_differ_in_make_and_beyond_the_makes_in_weights(few: Dataset) -> None:
    found = train_judges(few, JudgeConfig(networks=len(BODIES) + 1, epochs=1, batch=50))
    layers = [{type(m) for m in network.modules()} for network in found.networks]
    for normal, activation, network in (
        (nn.BatchNorm2d, nn.ReLU, layers[0]),
        (nn.GroupNorm, nn.GELU, layers[1]),
        (nn.AvgPool2d, nn.Tanh, layers[2]),
    ):
        assert {normal, activation} <= network
    assert layers[3] == layers[0]
    x = few.test.pixels()
    logits = found.logits(x)
    assert all(not torch.equal(logits[i], logits[j]) for i in range(4) for j in range(i))
    assert not any(p.requires_grad for n in found.networks for p in n.parameters())
    assert not any(m.training for n in found.networks for m in n.modules())


def test_they_know_the_digits(digits: Dataset) -> None:
    found = train_judges(digits, JudgeConfig(epochs=5, batch=32))
    assert min(found.accuracies) > 0.93
    right = found.logits(digits.test.pixels()).argmax(2) == digits.test.labels
    assert torch.equal(right, found.correct)
    assert found.accuracies == pytest.approx(right.float().mean(1).tolist())


def test_their_training_hangs_on_nothing_else(few: Dataset) -> None:
    torch.manual_seed(1)
    one = train_judges(few, QUICK)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = train_judges(few, QUICK)
    assert torch.equal(state, torch.get_rng_state())
    x = few.test.pixels()
    assert torch.equal(one.logits(x), other.logits(x))


def test_features_are_uncorrelated_on_training_images_and_of_one_size(digits: Dataset) -> None:
    """Whitened but for the shrinkage: variances are v / (v + 5 % of their mean)."""
    found = train_judges(digits, JudgeConfig(networks=1, epochs=1, batch=50))
    features = found.features(digits.train.pixels()).double()
    torch.testing.assert_close(features.mean(0), torch.zeros_like(features[0]), atol=1e-3, rtol=0)
    covariance = features.T @ features / len(features)
    variances = covariance.diag()
    torch.testing.assert_close(covariance, variances.diag(), atol=2e-3, rtol=0)
    assert (variances < 1.001).all()
    assert float(variances.max()) > 0.9


# the cache


def same(one: Judges, other: Judges, x: Tensor) -> bool:
    return torch.equal(one.logits(x), other.logits(x)) and torch.equal(one.correct, other.correct)


def test_trained_once(few: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_judges(few, QUICK)
    assert list(cache.iterdir()) == [judges_file(few, QUICK)]
    forbid_training(monkeypatch)
    again = get_judges(few, QUICK)
    assert same(first, again, few.test.pixels())
    assert again.seconds == first.seconds > 0


def test_another_dataset_or_config_has_judges_of_its_own(few: Dataset, digits: Dataset) -> None:
    files = {
        judges_file(few, QUICK),
        judges_file(digits, QUICK),
        judges_file(few, QUICK.model_copy(update={"epochs": 2})),
        judges_file(few, QUICK.model_copy(update={"networks": 4})),
    }
    assert len(files) == 4


def spoil(path: Path, how: str) -> None:
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no metadata":
        save_tensors(path, load_tensors(path))
    else:
        tensors = load_tensors(path)
        name = {"another test split": "correct", "another shape": "1.head.weight"}.get(how)
        if name is None:
            del tensors["whitening.mean"]
        else:
            tensors[name] = tensors[name][:, 1:]
        save_tensors(path, tensors, {"seconds": "1.0"})


@pytest.mark.parametrize(
    "how",
    ["cut off", "empty", "no metadata", "another shape", "another test split", "of an older form"],
)
@pytest.mark.usefixtures("cache")
def test_damaged_judges_are_trained_again(few: Dataset, how: str) -> None:
    path = judges_file(few, QUICK)
    first = get_judges(few, QUICK)
    spoil(path, how)
    assert same(first, get_judges(few, QUICK), few.test.pixels())
    assert same(first, Judges.load(path, few, QUICK), few.test.pixels())  # and whole again


@pytest.mark.usefixtures("cache")
def test_two_at_once(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one trains, another finds nothing either, trains too, and is done first."""
    train = judges.train_judges
    others: list[Judges] = []

    def meanwhile(*arguments: object) -> Judges:
        monkeypatch.setattr(judges, "train_judges", train)
        others.append(get_judges(few, QUICK))
        return train(few, QUICK)

    monkeypatch.setattr(judges, "train_judges", meanwhile)
    own, x = get_judges(few, QUICK), few.test.pixels()
    assert len(others) == 1
    assert same(own, others[0], x)
    assert same(own, Judges.load(judges_file(few, QUICK), few, QUICK), x)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("FILTERGAN_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "filtergan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "filtergan"


def test_a_cache_that_cannot_be_written(
    few: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "file" / "folder"))
    forbid_training(monkeypatch)  # said before the work is done
    with pytest.raises(UserError, match=r"could not be written.*name a folder in FILTERGAN_CACHE"):
        get_judges(few, QUICK)


@pytest.mark.usefixtures("cache")
def test_a_training_that_diverges(few: Dataset) -> None:
    with pytest.raises(UserError, match="lower the learning rate") as caught:
        get_judges(few, JudgeConfig(epochs=3, batch=10, rate=1e30))
    assert "FILTERGAN_CACHE" not in str(caught.value)


# the stage


def test_the_stage_records_how_good_they_are(tmp_path: Path) -> None:
    config = tiny()
    run = RunDirectory.create(tmp_path / "run", config)
    for name in ("train-cnn", "train-gan"):
        with run.stage(name):
            pass
    materials = Materials(config)
    with run.stage("train-judges"):
        study.STAGES["train-judges"].run(run, materials)
    record = json.loads((run.path / "record.json").read_text())["judges"]
    values = [entry["value"] for entry in record["accuracies"]]
    assert values == pytest.approx(materials.judges.accuracies)
    assert all(e["n"] == 100 and 0 < e["null"] < 0.3 for e in record["accuracies"])
    assert all(e["ci95"][0] <= e["value"] <= e["ci95"][1] for e in record["accuracies"])
    assert record["sha256"] == sha256(judges_file(materials.dataset, config.judges))
    assert record["seconds"] == materials.judges.seconds
    assert stages_of(config)[2:5] == ["train-gan", "train-judges", "traverse"]


# MNIST: what the measures need of the features


@pytest.mark.mnist
@pytest.mark.slow
def test_noise_is_seen_off_the_manifold_and_test_images_on_it(mnist_path: Path) -> None:
    """Also at the smallest change at which references are compared, and after short training."""
    data = load_dataset(str(mnist_path), DatasetConfig(train_limit=10000, test_limit=1500))
    found = train_judges(data, JudgeConfig(networks=1, epochs=1))
    x, labels = data.test.pixels(slice(200)), data.test.labels
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=rng)
    size = 0.25 * x.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    noisy = (x + 1.4 * size[:, None, None, None] * noise).clamp(0, 1)  # half of it is clipped
    assert float(image_change(x, noisy).mean()) == pytest.approx(0.25, abs=0.04)
    x_k = torch.stack([x, noisy], dim=1)
    manifold = (found.features(data.train.pixels()), data.train.labels)
    held = (found.features(data.test.pixels(slice(200, None))), labels[200:])
    features = found.features(x_k.flatten(0, 1)).unflatten(0, (200, 2))
    percentile = manifold_percentile(features, labels[:200], *manifold, *held)
    on = (percentile <= 0.95).float().mean(0)
    assert float(on[0]) > 0.88
    assert float(on[1]) < 0.1
    assert float(percentile[:, 1].median()) > 0.95
    kept = judges_agree(found.logits(x), found.logits(x_k.flatten(0, 1)).unflatten(1, (200, 2)))
    assert float(kept[:, 1].mean()) > 0.9  # so labels alone would not have told
