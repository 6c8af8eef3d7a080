"""Datasets as tensors: what is read, how it is split, and in what size."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lines import without_the_way
from PIL import Image
from sklearn.datasets import load_digits
from small_data import PLAIN, as_set, pictures, png, write_folder, write_parquet

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.errors import UserError
from filtergan.images import sources as tables
from filtergan.images.dataset import load_dataset

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
CIFAR = MNIST.parent / "cifar10"


def test_digits_are_all_of_scikit_learns():
    dataset = load_dataset("digits", PLAIN)
    bunch: Any = load_digits()
    expected = np.floor(bunch.images * 255 / 16 + 0.5).astype(np.uint8)
    both = as_set(dataset.train) + as_set(dataset.test)
    found = np.array([np.frombuffer(pixels, np.uint8) for _, pixels in sorted(both)])
    order = sorted(
        range(len(expected)), key=lambda i: (int(bunch.target[i]), expected[i].tobytes())
    )
    assert dataset.shape == (1, 8, 8)
    assert np.abs(found.astype(int) - expected[order].reshape(-1, 64)).max() <= 1
    assert dataset.classes == tuple("0123456789")
    held_out = np.bincount(dataset.test.labels.numpy()) / np.bincount(bunch.target)
    assert np.all(np.abs(held_out - 0.25) < 0.01)


def test_split_is_fixed_by_its_seed_and_shuffled():
    one, two = load_dataset("digits", PLAIN), load_dataset("digits", PLAIN)
    other = load_dataset("digits", DatasetConfig(split_seed=1))
    assert torch.equal(one.train.images[:], two.train.images[:])
    assert one.fingerprint == two.fingerprint != other.fingerprint
    for split in (one.train, one.test):
        assert torch.bincount(split.labels[:200], minlength=10).min() >= 8


def test_limits_take_the_first():
    whole = load_dataset("digits", PLAIN)
    some = load_dataset("digits", DatasetConfig(train_limit=50, test_limit=7))
    assert (len(some.train), len(some.test)) == (50, 7)
    assert torch.equal(some.train.images[:], whole.train.images[:50])
    assert torch.equal(some.test.labels, whole.test.labels[:7])


def test_fingerprint_and_pixels():
    dataset = load_dataset("digits", PLAIN)
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        digest.update(split.images[:].numpy().tobytes() + split.labels.numpy().tobytes())
    assert dataset.fingerprint == digest.hexdigest()
    pixels = dataset.test.pixels(torch.tensor([3, 1]))
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, dataset.test.images[torch.tensor([3, 1])] / 255)
    assert dataset.test.pixels().max() == 1
    assert dataset.test.images[:].max() == 255


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_parquet_with_both_splits(tmp_path, shape):
    train, test = pictures(150, shape), pictures(4, shape, seed=1)
    write_parquet(tmp_path, "train", train, [0, 1, 1] * 50, image_name="img")
    write_parquet(tmp_path, "test", test, [1, 0, 1, 1], image_name="img")
    dataset = load_dataset(str(tmp_path), PLAIN)
    assert dataset.classes == ("no", "yes")
    assert dataset.shape == (1 if len(shape) == 2 else 3, 4, 5)
    both = ((dataset.train, train, [0, 1, 1] * 50), (dataset.test, test, [1, 0, 1, 1]))
    for split, images, labels in both:
        expected = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        pairs = zip(expected, labels, strict=True)
        assert as_set(split) == sorted((y, x.tobytes()) for x, y in pairs)


def test_validation_split_where_there_is_no_test(tmp_path):
    write_parquet(tmp_path, "train", pictures(6), [0, 1] * 3)
    write_parquet(tmp_path, "validation", pictures(4, seed=1), [0, 1] * 2)
    dataset = load_dataset(str(tmp_path), PLAIN)
    assert (len(dataset.train), len(dataset.test)) == (6, 4)


def test_one_split_is_held_out_by_class(tmp_path):
    write_parquet(tmp_path, "train", pictures(12), [0] * 8 + [1] * 4)
    dataset = load_dataset(str(tmp_path), DatasetConfig(test_fraction=0.5))
    assert sorted(dataset.train.labels.tolist()) == [0] * 4 + [1] * 2
    assert not set(as_set(dataset.train)) & set(as_set(dataset.test))


def test_rewritten_folder_is_read_anew(tmp_path):
    for seed in (0, 1):
        images = pictures(4, seed=seed)
        write_parquet(tmp_path, "train", images, [0, 1] * 2)
        dataset = load_dataset(str(tmp_path), PLAIN)
        found = as_set(dataset.train) + as_set(dataset.test)
        assert sorted(x for _, x in found) == sorted(x.tobytes() for x in images)


def test_grey_beside_colour_becomes_colour(tmp_path):
    grey, colour = pictures(2), pictures(2, (4, 5, 3), seed=1)
    write_parquet(tmp_path, "train", [grey[0], colour[0]], [0, 1])
    write_parquet(tmp_path, "test", [colour[1], grey[1]], [0, 1])
    dataset = load_dataset(str(tmp_path), PLAIN)
    expected = {0: np.stack([grey[0]] * 3), 1: colour[0].transpose(2, 0, 1)}
    for image, label in zip(dataset.train.images[:], dataset.train.labels, strict=True):
        assert np.array_equal(image, expected[int(label)])
    write_parquet(tmp_path, "test", grey, [0, 1])
    assert load_dataset(str(tmp_path), PLAIN).test.images.shape == (2, 3, 4, 5)


def test_palette_and_transparency_become_colour(tmp_path):
    rgba = Image.fromarray(pictures(1, (4, 5, 4))[0])
    palette = Image.fromarray(pictures(1, (4, 5, 3))[0]).quantize(8)
    for i, image in enumerate([rgba, palette] * 2):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        image.save(tmp_path / f"{i % 2}" / f"{i}.png")
    dataset = load_dataset(str(tmp_path), PLAIN)
    expected = [np.asarray(x.convert("RGB")).transpose(2, 0, 1) for x in (rgba, palette)]
    for image, label in zip(dataset.train.images[:], dataset.train.labels, strict=True):
        assert np.array_equal(image, expected[int(label)])


@pytest.mark.parametrize(
    ("values", "dtype", "classes", "codes"),
    [
        (["pear", "fig", "fig", "pear"], "string", ("fig", "pear"), [1, 0, 0, 1]),
        ([10, 9, 9, 10], "int64", ("9", "10"), [1, 0, 0, 1]),
        ([True, False, False, True], "bool", ("False", "True"), [1, 0, 0, 1]),
    ],
)
def test_labels_that_are_named(tmp_path, values, dtype, classes, codes):
    import datasets

    images = pictures(4)
    write_parquet(tmp_path, "train", images, values, datasets.Value(dtype))
    write_parquet(tmp_path, "test", images[:1], values[:1], datasets.Value(dtype))
    with pytest.raises(UserError, match=r"no label column .* \(image, label\) .*--dataset\.label"):
        load_dataset(str(tmp_path), PLAIN)
    dataset = load_dataset(str(tmp_path), DatasetConfig(label_column="label"))
    assert dataset.classes == classes
    pairs = zip(images, codes, strict=True)
    assert as_set(dataset.train) == sorted((y, x.tobytes()) for x, y in pairs)
    assert dataset.test.labels.tolist() == codes[:1]


def test_images_stored_as_plain_bytes_are_read_when_named(tmp_path):
    import datasets

    images = pictures(4)
    raw = (datasets.Value("binary"), [png(x)["bytes"] for x in images])
    struct = ({"bytes": raw[0], "path": datasets.Value("string")}, [png(x) for x in images])
    write_parquet(tmp_path, "train", pictures(4, seed=1), [0, 1] * 2, raw=raw, struct=struct)
    for column in ("raw", "struct"):
        dataset = load_dataset(str(tmp_path), DatasetConfig(image_column=column))
        found = as_set(dataset.train) + as_set(dataset.test)
        assert sorted(x for _, x in found) == sorted(x.tobytes() for x in images)


def test_class_folders(tmp_path):
    images = pictures(6)
    names = ["cat/test-1.png", "cat/2.png", "cat/3.JPG", "test tube/1.png", "test tube/a/2.png"]
    write_folder(tmp_path, dict(zip(names, images, strict=False)))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    dataset = load_dataset(str(tmp_path), PLAIN)
    assert dataset.classes == ("cat", "test tube")
    labels = torch.cat([dataset.train.labels, dataset.test.labels])
    assert torch.bincount(labels).tolist() == [3, 2]


def test_class_folders_in_split_folders(tmp_path):
    images = pictures(5)
    names = ["train/a/1.png", "train/b/1.png", "train/b/2.png", "test/b/1.png", "test/a/1.png"]
    write_folder(tmp_path, dict(zip(names, images, strict=True)))
    dataset = load_dataset(str(tmp_path), PLAIN)
    assert dataset.classes == ("a", "b")
    assert as_set(dataset.test) == sorted([(1, images[3].tobytes()), (0, images[4].tobytes())])
    assert len(dataset.train) == 3


def test_folders_without_images_are_no_classes(tmp_path):
    files = {f"{split}/{c}/1.png": pictures(1)[0] for split in ("train", "test") for c in "ab"}
    write_folder(tmp_path, files)
    (tmp_path / "annotations" / "a").mkdir(parents=True)
    (tmp_path / "annotations" / "a" / "1.json").write_text("{}")
    dataset = load_dataset(str(tmp_path), PLAIN)
    assert dataset.classes == ("a", "b")
    assert len(dataset.train) == len(dataset.test) == 2


def test_a_class_may_be_called_train(tmp_path):
    write_folder(
        tmp_path, {f"{c}/{i}.png": pictures(1)[0] for c in ("train", "boat") for i in "12"}
    )
    assert load_dataset(str(tmp_path), PLAIN).classes == ("boat", "train")


def test_folder_below_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "own", {f"{c}/{i}.png": pictures(1)[0] for c in "ab" for i in "12"})
    assert load_dataset("~/own", PLAIN).name == "~/own"


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
@pytest.mark.parametrize("size", [(3, 7), (9, 2)])
def test_sizes_are_brought_to_one(tmp_path, size, interpolation):
    shapes = [(4, 5), (40, 30), (3, 7), (9, 2, 3), (31, 17, 3)]
    sources = [pictures(1, shape, seed)[0] for seed, shape in enumerate(shapes)]
    names = {f"train/{'ab'[i % 2]}/{i}.png": image for i, image in enumerate(sources)}
    write_folder(tmp_path, names | {"test/a/1.png": sources[1], "test/b/2.png": sources[0]})
    with pytest.raises(UserError, match="--size"):
        load_dataset(str(tmp_path), PLAIN)
    dataset = load_dataset(str(tmp_path), PLAIN, size, interpolation)
    assert dataset.shape == (3, *size)
    method = getattr(Image.Resampling, interpolation.upper())
    wanted = []
    for i, image in enumerate(sources):
        resized = np.array(Image.fromarray(image).resize((size[1], size[0]), method))
        resized = resized if resized.ndim == 3 else np.stack([resized] * 3, axis=-1)
        wanted.append((i % 2, resized.transpose(2, 0, 1).tobytes()))
    assert as_set(dataset.train) == sorted(wanted)
    assert as_set(dataset.test) == sorted([(0, wanted[1][1]), (1, wanted[0][1])])


def test_shrinking_takes_in_every_pixel(tmp_path):
    fine = np.indices((64, 64)).sum(0) % 2 * 255  # a chessboard, grey from afar
    write_folder(tmp_path, {f"{c}/{i}.png": fine.astype(np.uint8) for c in "ab" for i in "12"})
    images = load_dataset(str(tmp_path), PLAIN, (8, 8)).train.images[:]
    assert (images.int() - 127).abs().max() <= 8


def test_digits_of_another_size():
    small, large = load_dataset("digits", PLAIN), load_dataset("digits", PLAIN, (12, 9))
    assert large.shape == (1, 12, 9)
    assert torch.equal(large.train.labels, small.train.labels)
    for i in (0, 7):
        image = Image.fromarray(small.test.images[i : i + 1][0, 0].numpy())
        resized = np.array(image.resize((9, 12), Image.Resampling.BILINEAR))
        assert np.array_equal(large.test.images[i : i + 1][0, 0].numpy(), resized)
    same = load_dataset("digits", PLAIN, (8, 8))
    assert same.fingerprint == small.fingerprint


def test_several_image_and_label_columns(tmp_path):
    import datasets

    images = pictures(4, seed=1)
    mask = (datasets.Image(), [png(x) for x in images])
    coarse = (datasets.ClassLabel(names=["a", "b", "c"]), [0, 2, 0, 2])
    write_parquet(tmp_path, "train", pictures(4), [0, 1] * 2, mask=mask, coarse=coarse)
    with pytest.raises(UserError, match=r"several image columns \(image, mask\)"):
        load_dataset(str(tmp_path), PLAIN)
    with pytest.raises(UserError, match=r"several label columns \(label, coarse\)"):
        load_dataset(str(tmp_path), DatasetConfig(image_column="mask"))
    named = DatasetConfig(image_column="mask", label_column="coarse")
    dataset = load_dataset(str(tmp_path), named)
    assert dataset.classes == ("a", "b", "c")
    found = as_set(dataset.train) + as_set(dataset.test)
    assert sorted(x for _, x in found) == sorted(x.tobytes() for x in images)


def test_quiet_and_without_leftovers(tmp_path):
    """In a process of its own, whose stderr is no terminal."""
    data, home, temporary = (tmp_path / name for name in ("data", "home", "tmp"))
    home.mkdir(), temporary.mkdir()
    write_parquet(data, "train", pictures(4), [0, 1] * 2)
    code = (
        "from filtergan.images.dataset import load_dataset;"
        "from filtergan.config.dataset_fields import DatasetConfig;"
        f"print(len(load_dataset({str(data)!r}, DatasetConfig()).train))"
    )
    environment = {"HOME": str(home), "HF_HOME": str(home / "hf"), "TMPDIR": str(temporary)}
    environment["PYTHONPATH"] = str(Path(tables.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, without_the_way(done.stderr), done.returncode) == ("2\n", "", 0)
    assert not list(temporary.iterdir())
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_digits_need_no_datasets_library():
    code = (
        "import sys; from filtergan.images.dataset import load_dataset;"
        "from filtergan.config.dataset_fields import DatasetConfig;"
        "load_dataset('digits', DatasetConfig());"
        "sys.exit('datasets' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(tables.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.mnist
@pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST in ../shared/data/mnist")
def test_mnist():
    dataset = load_dataset(str(MNIST), PLAIN)
    assert dataset.shape == (1, 28, 28)
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(dataset.train.labels).tolist() == counts
    assert dataset.train.images[:].double().mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    some = load_dataset(str(MNIST), DatasetConfig(train_limit=300, test_limit=100))
    assert torch.equal(some.train.images[:], dataset.train.images[:300])
    assert torch.equal(some.test.labels, dataset.test.labels[:100])


@pytest.mark.mnist
@pytest.mark.skipif(not CIFAR.is_dir(), reason="no CIFAR-10 in ../shared/data/cifar10")
def test_cifar():
    dataset = load_dataset(str(CIFAR), DatasetConfig(train_limit=500, test_limit=100))
    assert dataset.shape == (3, 32, 32)
    assert (len(dataset.train), len(dataset.test)) == (500, 100)
    assert dataset.classes[0] == "airplane"
    assert torch.bincount(dataset.train.labels, minlength=10).min() > 25
