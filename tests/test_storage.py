"""Data beyond memory: the same rows, images and studies, wherever they are kept."""

import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.parsing import parse
from filtergan.errors import UserError
from filtergan.images import dataset as data
from filtergan.images.dataset import load_dataset
from filtergan.machine import storage
from filtergan.machine.storage import MIB, DiskTensor, Rows, Subset, batches, cache_folder

KINDS = ("folders", "parquet", "shards")


def picture(i: int, side: int = 64) -> bytes:
    """Noise as a png that is quick to write and to read."""
    pixels = np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def write(folder: Path, kind: str, n: int, side: int = 64) -> Path:
    """So many images of two classes, in one of the layouts that are read."""
    folder.mkdir()
    if kind == "folders":
        for name in "ab":
            (folder / name).mkdir()
        for i in range(n):
            (folder / "ab"[i % 2] / f"{i:05}.png").write_bytes(picture(i, side))
    elif kind == "shards":
        for first in range(0, n, 500):
            fields = {
                f"{i:05}.{name}": content
                for i in range(first, min(first + 500, n))
                for name, content in (("png", picture(i, side)), ("cls", b"%d" % (i % 2)))
            }
            write_shard(folder / f"train-{first:05}.tar", fields)
    else:
        import datasets

        names = datasets.ClassLabel(names=["a", "b"])
        features = datasets.Features(image=datasets.Image(), label=names)
        for first in range(0, n, 500):
            numbers = range(first, min(first + 500, n))
            images = [{"bytes": picture(i, side), "path": None} for i in numbers]
            columns = {"image": images, "label": [i % 2 for i in numbers]}
            table = datasets.Dataset.from_dict(columns, features=features)
            table.to_parquet(folder / f"train-{first:05}.parquet")
    return folder


def write_shard(path: Path, fields: dict[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in fields.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


# ------------------------------------------------------------------------------ rows on disk


def on_disk(values: Tensor) -> DiskTensor:
    kept = DiskTensor(values.shape, values.dtype, "These")
    kept[:] = values
    return kept


@given(st.data())
def test_rows_are_those_of_a_tensor(draw: st.DataObject) -> None:
    n = draw.draw(st.integers(0, 9))
    dtype = draw.draw(st.sampled_from([torch.uint8, torch.float32, torch.float16, torch.int64]))
    values = torch.randint(0, 200, (n, 2, 3)).to(dtype)
    kept = on_disk(values)
    assert (len(kept), kept.shape, kept.dtype) == (n, values.shape, dtype)
    rows = draw.draw(st.lists(st.integers(-n, n - 1), max_size=12)) if n else []
    ends = st.none() | st.integers(-12, 12)
    some = slice(draw.draw(ends), draw.draw(ends), draw.draw(st.sampled_from([None, 1, 3])))
    mask = torch.tensor(
        draw.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool
    )
    for index in (some, torch.tensor(rows, dtype=torch.long), mask):
        assert torch.equal(kept[index], values[index])
        chosen = torch.tensor(rows, dtype=torch.long)
    assert torch.equal(Subset(kept, chosen)[:2], values[chosen][:2])
    assert Subset(kept, chosen).shape == values[chosen].shape


def test_rows_are_written_one_by_one_and_are_zero_before() -> None:
    values = torch.randn(5, 3)
    kept = DiskTensor(values.shape, values.dtype, "These")
    kept[3:4] = values[3:4]
    assert torch.equal(kept[:], values * torch.eye(5)[3][:, None])
    for i in (4, 0, 2, 1):
        kept[i : i + 1] = values[i : i + 1]
    assert torch.equal(kept[:], values)


def test_fractions_of_numpy_become_those_of_networks() -> None:
    array = np.random.default_rng(0).random((3, 1, 2, 2))
    assert storage.rows_of(array).dtype == torch.float32
    assert storage.rows_of((255 * array).astype(np.uint8)).dtype == torch.uint8


def test_rows_out_of_range() -> None:
    kept = DiskTensor((3, 2), torch.float32, "These")
    for wrong in (3, -4):
        with pytest.raises(IndexError, match="out of range for 3 rows"):
            kept[torch.tensor([0, wrong])]


def test_all_kinds_are_rows() -> None:
    kept = DiskTensor((3, 2), torch.float32, "These")
    for rows in (kept, torch.zeros(3, 2), Subset(kept, torch.tensor([1]))):
        assert isinstance(rows, Rows)


@given(st.integers(0, 50), st.integers(1, 60))
def test_batches_are_those_of_torch(n: int, size: int) -> None:
    rows = torch.arange(n)
    assert [rows[b].tolist() for b in batches(n, size)] == [x.tolist() for x in rows.split(size)]


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "cache"))
    gc.collect()
    opened = len(os.listdir("/proc/self/fd"))
    kept = DiskTensor((100, 10), torch.float32, "These")
    assert not list((tmp_path / "cache").iterdir())  # not even while it is in use
    del kept
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=3 * MIB)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError) as caught:
        DiskTensor((5, MIB), torch.uint8, "These")
    assert caught.value.exit_code == 1
    message = (
        f"These (5 MiB) could not be kept on disk in {cache_folder()}: No space left on device"
    )
    assert str(caught.value).startswith(message)
    DiskTensor((3, MIB), torch.uint8, "These")


def test_a_disk_that_fills_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = DiskTensor((2, 4), torch.float32, "These")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "pwrite", full)
    with pytest.raises(UserError, match=r"These .* No space left") as caught:
        kept[:1] = torch.ones(1, 4)
    assert caught.value.exit_code == 1


def test_a_cache_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"name another folder in FILTERGAN_CACHE") as caught:
        DiskTensor((2, 4), torch.float32, "These")
    assert caught.value.exit_code == 1


# ------------------------------------------------------------------------------ datasets


@pytest.mark.parametrize("planted", [None, "rotation"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_images_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, planted: Any
) -> None:
    """More than a chunk of planting, and a table that is opened anew many times."""
    monkeypatch.setattr("filtergan.images.sources.PART", 2**15)
    folder = str(write(tmp_path / "data", kind, 700, side=24))
    inside, outside = (
        load_dataset(folder, DatasetConfig(memory_mib=m, planted=planted)) for m in (2, 1)
    )
    assert inside.fingerprint == outside.fingerprint
    assert inside.classes == outside.classes
    assert inside.shape == outside.shape == (3, 24, 24)
    for one, other in ((inside.train, outside.train), (inside.test, outside.test)):
        assert isinstance(one.images, Tensor)
        assert isinstance(other.images, DiskTensor)
        assert torch.equal(one.images, other.images[:])
        assert torch.equal(one.labels, other.labels)
        index = torch.tensor([7, 3, 3])
        assert torch.equal(one.pixels(index), other.pixels(index))
    if planted is None:
        both = torch.cat([inside.train.images[:], inside.test.images[:]])
        labels = torch.cat([inside.train.labels, inside.test.labels]).tolist()
        found = sorted(zip(labels, (x.numpy().tobytes() for x in both), strict=True))
        decoded = [np.asarray(Image.open(io.BytesIO(picture(i, 24)))) for i in range(700)]
        expected = [(i % 2, x.transpose(2, 0, 1).tobytes()) for i, x in enumerate(decoded)]
        assert found == sorted(expected)


def test_colour_after_grey_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that fits as long as it is grey."""
    monkeypatch.setattr(data, "MIB", 400)  # 20 images of 25 pixels in one of these, 6 in colour
    noise = np.random.default_rng(0).integers(0, 256, (20, 5, 5, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if i in (10, 13) else pixels[..., 0]).save(path)
    outside, inside = (
        load_dataset(str(tmp_path / "data"), DatasetConfig(memory_mib=m)) for m in (2, 99)
    )
    assert isinstance(outside.train.images, DiskTensor)
    assert outside.fingerprint == inside.fingerprint
    assert outside.shape == (3, 5, 5)


@pytest.mark.parametrize("wrong", [0, -1, 0.5])
def test_a_budget_that_makes_no_sense(wrong: float) -> None:
    with pytest.raises(UserError, match=r"dataset\.memory_mib"):
        parse({"dataset": {"memory_mib": wrong}}, "the command line")


def test_tables_are_unpacked_in_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in /tmp, which may be memory; they are gone afterwards."""
    from filtergan.images.sources import open_tables

    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path / "cache"))
    with open_tables(str(write(tmp_path / "data", "parquet", 4))) as tables:
        files = [Path(file["filename"]) for file in tables["train"].cache_files]
        assert files
        assert all(file.is_relative_to(tmp_path / "cache") for file in files)
    assert not list((tmp_path / "cache").iterdir())


# ------------------------------------------------------------------------------ shards

CLS = {f"{i}.cls": b"%d" % (i % 2) for i in range(8)}
PNG = {f"{i}.png": picture(i, 4) for i in range(8)}
SEVEN_CLS, SEVEN_PNG = ({k: v for k, v in x.items() if k < "7"} for x in (CLS, PNG))


def samples(*parts: dict[str, bytes]) -> dict[str, bytes]:
    """The fields of all samples in the order of a shard."""
    together = {name: content for part in parts for name, content in part.items()}
    return dict(sorted(together.items()))


def test_shards_with_labels_in_json(tmp_path: Path) -> None:
    for field, config in (
        ("label", DatasetConfig()),
        ("kind", DatasetConfig(label_column="json.kind")),
    ):
        told = {
            f"{i}.json": json.dumps({field: ["fig", "pear"][i % 2], "w": 3}).encode()
            for i in range(8)
        }
        write_shard(tmp_path / "data" / "train-0.tar", samples(PNG, told))
        write_shard(tmp_path / "data" / "test-0.tar", samples(PNG, told))
        found = load_dataset(str(tmp_path / "data"), config)
        assert found.classes == ("fig", "pear")
        assert (len(found.train), len(found.test)) == (8, 8)


def test_shards_of_grey_and_colour_jpegs(tmp_path: Path) -> None:
    for mode, channels in (("L", 1), ("RGB", 3)):
        jpegs = {}
        for i in range(8):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(picture(i, 16))).convert(mode).save(buffer, "JPEG")
            jpegs[f"{i}.jpg"] = buffer.getvalue()
        write_shard(tmp_path / mode / "shard-0.tar", samples(jpegs, CLS))
        found = load_dataset(str(tmp_path / mode))
        assert found.shape == (channels, 16, 16)
        assert (len(found.train), len(found.test)) == (6, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            samples(PNG),
            r"no label column .* \(png, __key__, __url__\) with --dataset\.label-column",
        ),
        (
            samples(PNG, {k: v for k, v in CLS.items() if k < "7"}),
            "rows without a label in .* 'cls'",
        ),
        (samples({k: v for k, v in PNG.items() if k < "7"}, CLS), "There is no image in row 7"),
        (samples(PNG, CLS, {"7.png": picture(7, 4)[:-30]}), r"row 7 .*\(7\.png\) is damaged"),
        (samples(PNG, CLS, {"7.png": picture(7, 5)}), "different sizes .*4x4.*5x5"),
        (samples(PNG, CLS, {"7.cls": b"x"}), "cannot be read: invalid literal for int"),
        ({}, "is empty; remove it or give it images"),
    ],
)
def test_shards_that_make_no_dataset(
    tmp_path: Path, fields: dict[str, bytes], message: str
) -> None:
    write_shard(tmp_path / "data" / "train-0.tar", fields)
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(str(tmp_path / "data"))
    assert caught.value.exit_code == 2


def test_a_damaged_shard(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    write_shard(path, samples(PNG, CLS))
    path.write_bytes(path.read_bytes()[:2600])
    with pytest.raises(UserError, match="cannot be read: unexpected end of data"):
        load_dataset(str(tmp_path))


# ------------------------------------------------------------------------------ memory

SMALL, LARGE = 1600, 12000  # 19 and 141 MiB of pixels: both more than is read at once
BOUND = (LARGE - SMALL) * 64 * 64 * 3 / MIB / 16
AT_ONCE = {  # gives freed memory back: what allocators keep differs by 40 MiB from run to run
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "0",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, kind: str) -> None:
    peaks = []
    for n in (SMALL, LARGE):
        folder = write(tmp_path / f"{n}", kind, n)
        script = Path(__file__).with_name("large_data.py")
        variables = {
            "PYTHONPATH": str(Path(storage.__file__).parents[2]),
            "FILTERGAN_CACHE": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
            "HF_HOME": str(tmp_path / "hf"),
            **AT_ONCE,
        }
        command, environment = [sys.executable, script, folder], os.environ | variables
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
        shutil.rmtree(folder)
    assert peaks[1] - peaks[0] < BOUND
