"""Data that makes no dataset, and the sentence that says why."""

import urllib.error

import numpy as np
import pytest
from small_data import PLAIN, pictures, write_folder, write_parquet

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.errors import UserError
from filtergan.images import sources as tables
from filtergan.images.dataset import load_dataset


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"1.png": (4, 5)}, "unlabelled"),
        ({"a/1.png": (4, 5), "b/1.png": (4, 5), "1.png": (4, 5)}, "no images beside these folders"),
        ({"a/1.png": (4, 5), "a/2.png": (4, 5)}, "all of one class"),
        ({"a/1.png": (4, 5), "b/1.png": (4, 5)}, "too few images to hold some out"),
        ({f"{c}/{i}.png": (4, 5 + i) for c in "ab" for i in range(2)}, r"4x5.*4x6|4x6.*4x5"),
        ({"test/a/1.png": (4, 5), "val/a/1.png": (4, 5)}, "no split called train; it has test, "),
        (
            {f"{part}/a/1.png": (4, 5) for part in ("train", "test", "more")},
            "/more stands beside the splits of .* move it elsewhere",
        ),
        (
            {f"{part}/a/1.png": (4, 5) for part in ("train", "val", "valid")},
            "are its split validation: val and valid; keep one",
        ),
    ],
)
def test_folders_that_make_no_dataset(tmp_path, files, message):
    write_folder(tmp_path, {name: pictures(1, shape)[0] for name, shape in files.items()})
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(str(tmp_path), PLAIN)
    assert caught.value.exit_code == 2


def test_a_split_without_images_that_can_be_read(tmp_path):
    write_folder(tmp_path, {f"train/{c}/{i}.png": pictures(1)[0] for c in "ab" for i in "12"})
    (tmp_path / "test" / "a").mkdir(parents=True)
    (tmp_path / "test" / "a" / "1.heic").write_bytes(b"")
    with pytest.raises(UserError, match="test is a split of"):
        load_dataset(str(tmp_path), PLAIN)


def test_an_archive_beside_class_folders_is_named(tmp_path):
    write_folder(tmp_path, {f"{c}/{i}.png": pictures(1)[0] for c in "ab" for i in "12"})
    (tmp_path / "more.ZIP").touch()
    with pytest.raises(UserError, match=r"more\.ZIP lies among the images of .*; unpack it into"):
        load_dataset(str(tmp_path), PLAIN)


def test_a_class_without_training_images_is_told(tmp_path, capsys):
    names = ["train/a/1.png", "train/b/1.png", "test/b/1.png", "test/z/1.png"]
    write_folder(tmp_path, {name: pictures(1)[0] for name in names})
    assert load_dataset(str(tmp_path), PLAIN).classes == ("a", "b", "z")
    assert f"filtergan: {tmp_path} has no training images of z; a " in capsys.readouterr().err


def test_splits_of_different_sizes(tmp_path):
    shapes = {"train/a/1.png": (4, 5), "train/b/1.png": (4, 5), "test/a/1.png": (6, 6)}
    write_folder(tmp_path, {name: pictures(1, shape)[0] for name, shape in shapes.items()})
    with pytest.raises(UserError, match=r"different sizes .* nothing is resized"):
        load_dataset(str(tmp_path), PLAIN)


def test_images_of_sixteen_bits(tmp_path):
    deep = np.full((4, 5), 40_000, dtype=np.uint16)
    write_folder(tmp_path, {f"{c}/{i}.png": deep for c in "ab" for i in "12"})
    with pytest.raises(UserError, match=r"more than 8 bits \(mode I;16\)"):
        load_dataset(str(tmp_path), PLAIN)


def test_damaged_image_is_named(tmp_path):
    write_folder(tmp_path, {f"{c}/{i}.png": pictures(1)[0] for c in "ab" for i in "12"})
    path = tmp_path / "a" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"a/1\.png\) is damaged"):
        load_dataset(str(tmp_path), DatasetConfig(test_fraction=0.1))


@pytest.mark.parametrize(
    ("images", "labels", "config", "message"),
    [
        ([], [], PLAIN, "split of .* is empty"),
        (pictures(4), None, PLAIN, r"no label column by feature type; name one .* \(image\)"),
        (pictures(4), [0, 1, -1, 1], PLAIN, "rows without a label"),
        (pictures(4), [0, 1, None, 1], PLAIN, "rows without a label"),
        (pictures(4), [1] * 4, PLAIN, "all of one class"),
        ([*pictures(3), None], [0, 1, 0, 1], PLAIN, "There is no image in row 3"),
        (
            pictures(4),
            [0, 1] * 2,
            DatasetConfig(image_column="x"),
            "no column 'x'; .* image, label",
        ),
        (pictures(4), [0, 1] * 2, DatasetConfig(image_column="label"), "holds no images"),
        (pictures(4), [0, 1] * 2, DatasetConfig(label_column="image"), "labels are integers or"),
    ],
)
def test_parquet_that_makes_no_dataset(tmp_path, images, labels, config, message):
    write_parquet(tmp_path, "train", images, labels)
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(str(tmp_path), config)
    assert caught.value.exit_code == 2


def test_labels_that_are_floats(tmp_path):
    import datasets

    write_parquet(tmp_path, "train", pictures(4), [0.0, 1.0] * 2, datasets.Value("float64"))
    with pytest.raises(UserError, match="holds double; labels are integers or names"):
        load_dataset(str(tmp_path), DatasetConfig(label_column="label"))


def test_damaged_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="holds no dataset; expected one folder of images per"):
        load_dataset(str(tmp_path), PLAIN)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match="cannot be read"):
        load_dataset(str(tmp_path), PLAIN)


@pytest.mark.parametrize("name", ["", "nowhere", "imagefolder", "./nowhere", "/no/where", "a/b/c"])
def test_folder_that_does_not_exist(name, monkeypatch):
    monkeypatch.setattr(tables, "_reachable", lambda endpoint: pytest.fail("asked the network"))
    with pytest.raises(UserError, match=f"There is no folder '{name}'"):
        load_dataset(name, PLAIN)


def test_file_instead_of_a_folder(tmp_path):
    (tmp_path / "a.parquet").touch()
    with pytest.raises(UserError, match="is a file; name the folder"):
        load_dataset(str(tmp_path / "a.parquet"), PLAIN)


def test_hub_that_cannot_be_reached(monkeypatch, capfd):
    from datasets import config

    def fail(*args, **kwargs):
        raise urllib.error.URLError(OSError("no network"))

    monkeypatch.setattr(tables.urllib.request, "urlopen", fail)
    with pytest.raises(UserError, match=r"no local folder, and the .* Hub cannot be reached") as e:
        load_dataset("nobody/nothing-of-that-name", PLAIN)
    assert e.value.exit_code == 1
    assert not config.HF_HUB_OFFLINE
    assert capfd.readouterr() == ("", "")


def test_hub_that_does_not_have_it(monkeypatch):
    import datasets
    from datasets import exceptions

    def fail(*args, **kwargs):
        raise exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub.")

    monkeypatch.setattr(tables, "_reachable", lambda endpoint: True)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match="Hub does not give it: Dataset 'a/b' doesn't exist on"):
        load_dataset("a/b", PLAIN)


def test_full_disk(tmp_path, monkeypatch):
    import datasets
    from datasets import exceptions

    def fail(*args, **kwargs):
        raise exceptions.DatasetGenerationError("failed") from OSError(28, "No space left")

    write_parquet(tmp_path, "train", pictures(4), [0, 1] * 2)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match="disk is full") as caught:
        load_dataset(str(tmp_path), PLAIN)
    assert caught.value.exit_code == 1
