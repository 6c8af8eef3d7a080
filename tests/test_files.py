"""Files are whole or absent, and damaged ones are told."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.machine.files import (
    load_metadata,
    load_tensors,
    require_ending,
    require_writable,
    save_tensors,
    sha256,
    write_atomic,
)
from filtergan.runs.directory import RunDirectory

TENSORS = {"weight": torch.arange(24.0).reshape(2, 3, 4), "count": torch.tensor(7)}


def everything(path: Path) -> set[str]:
    return {str(item.relative_to(path)) for item in path.rglob("*") if not item.is_dir()}


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "file"
    write_atomic(file, b"one")
    write_atomic(file, b"two")
    assert file.read_bytes() == b"two"
    assert everything(tmp_path) == {"a/b/file"}


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = tmp_path / "file"
    write_atomic(file, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), full)
    with pytest.raises(
        UserError, match=r"No space left.*then repeat the command \(a study with --resume\)\."
    ) as caught:
        write_atomic(file, b"new")
    assert caught.value.exit_code == 1
    assert file.read_bytes() == b"old"
    assert everything(tmp_path) == {"file"}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written") as caught:
        write_atomic(tmp_path / "file" / "inside", b"")
    assert caught.value.exit_code == 1


def test_what_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "file")
    assert everything(tmp_path) == set()
    (tmp_path / "file").write_text("old")
    require_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    for path, why in ((tmp_path / "a", "Is a directory"), (tmp_path / "file" / "b", "")):
        with pytest.raises(UserError, match=f"{path} cannot be written: {why}.*another") as caught:
            require_writable(path)
        assert caught.value.exit_code == 1
    with pytest.raises(UserError, match=r"It is written as \.json, not to .*file; name such"):
        require_ending(tmp_path / "file", [".json"], "It")


def test_tensors_round_trip(tmp_path: Path) -> None:
    shared = torch.randn(4, 3, 5, 5, requires_grad=True)
    tensors = TENSORS | {
        "a": shared,
        "b": shared,
        "last": shared.to(memory_format=torch.channels_last),
    }
    tensors |= {"turned": shared.mT, "state": torch.get_rng_state()}
    save_tensors(tmp_path / "t", tensors, {"step": "3", "loss": "minimax"})
    back = load_tensors(tmp_path / "t")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor)
        assert back[name].dtype == tensor.dtype
    assert load_metadata(tmp_path / "t") == {"step": "3", "loss": "minimax"}


def test_metadata_may_be_absent(tmp_path: Path) -> None:
    save_tensors(tmp_path / "t", TENSORS)
    assert load_metadata(tmp_path / "t") == {}


@pytest.mark.parametrize("reader", [load_tensors, load_metadata, sha256])
def test_a_missing_file_says_what_to_do(tmp_path: Path, reader: Any) -> None:
    RunDirectory.create(tmp_path / "run", tiny())
    with pytest.raises(UserError, match=r"generator.*filtergan study --config .*run/config.yaml"):
        reader(tmp_path / "run" / "conv4@activation" / "generator.safetensors")
    with pytest.raises(UserError, match="Check the path"):
        reader(tmp_path / "nothing")


@pytest.mark.parametrize("reader", [load_tensors, load_metadata])
def test_every_truncation_is_noticed(tmp_path: Path, reader: Any) -> None:
    file = tmp_path / "t"
    save_tensors(file, TENSORS, {"step": "3"})
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"damaged|cannot be read"):
            reader(file)


@given(st.data())
def test_a_damaged_header_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged"
    save_tensors(file, TENSORS)
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 97))  # before the data: 24 floats
    content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        load_tensors(file)
    except UserError as error:
        assert "damaged" in str(error)  # noqa: PT017 (it may also be readable)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "t")
    with pytest.raises(UserError, match="damaged"):
        load_tensors(tmp_path / "t")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223")
