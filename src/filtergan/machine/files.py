"""Files that are written whole or not at all, and read with a sentence where they are damaged."""

import errno
import hashlib
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.machine.distributed import lead

PART = ".filtergan-part"
"""Ending of a temporary file; one that a killed process left behind means nothing."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the world's refusal to write into a sentence.

    Args:
        path: What is being written, for the error.

    Raises:
        UserError: An `OSError` arose inside: a full disk, no right to write (exit code 1).
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}. "
            "Put that right (make room, or get the right to write), then repeat the command "
            "(a study with --resume).",
            exit_code=1,
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then a rename.

    Of several processes the first writes, and all go on when the file is there.

    Args:
        path: Where to; missing folders are made, an existing file is replaced.
        data: The file's content.

    Raises:
        UserError: The file could not be written (exit code 1); what was there before still is.
    """
    lead(lambda: _write(path, data))


def require_ending(path: Path, endings: Collection[str], what: str) -> None:
    """Refuse a file that nothing knows how to write, before the work.

    Args:
        path: The file.
        endings: Those known, in the order in which they are told.
        what: Is to be written, at the beginning of a sentence.

    Raises:
        UserError: It has none of the endings.
    """
    if path.suffix not in endings:
        *others, last = endings
        known = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{what} is written as {known}, not to {path}; name such a file.")


def require_writable(path: Path) -> None:
    """Refuse a file that could not be written, before the work; missing folders are made.

    Args:
        path: The file.

    Raises:
        UserError: No file can be made there, or a folder has its name (exit code 1).
    """
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        part.touch()
        part.unlink()
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. Name another file.", exit_code=1
        ) from error


def _write(path: Path, data: bytes) -> None:
    part = _part(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    with suppress(OSError):  # some file systems cannot; the file is whole in any case
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _part(path: Path) -> Path:
    """The temporary file beside a file, of this process alone."""
    return path.with_name(f".{path.name}.{os.getpid()}{PART}")


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors of any shapes as one safetensors file, whole or not at all.

    Args:
        path: Where to.
        tensors: By name; may lie on any device and share memory.
        metadata: Words about them, read back by `load_metadata`.

    Raises:
        UserError: The file could not be written (exit code 1).
    """
    # Clones, because safetensors refuses tensors that share memory.
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_atomic(path, safetensors.torch.save(plain, metadata))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU; of several processes the first reads it for all.

    Raises:
        UserError: The file is missing, unreadable or damaged.
    """
    return lead(lambda: _load(path))


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. {remedy(path)}") from error
    except (safetensors.SafetensorError, ArithmeticError, LookupError, ValueError) as error:
        raise UserError(f"{path} is damaged. {remedy(path)}") from error


def load_weights(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put tensors into a module that they must fit exactly.

    Args:
        module: The module.
        tensors: By the names that it has for them.
        path: Where they come from, for the error.

    Raises:
        UserError: They do not fit.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit this configuration; the run directory was changed by hand or "
            "made by another version: run the study again with --overwrite."
        ) from error


def load_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a file of `save_tensors`.

    Raises:
        UserError: The file is missing, unreadable or damaged.
    """
    return lead(lambda: _load_metadata(path))


def _load_metadata(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}. {remedy(path)}") from error
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is damaged. {remedy(path)}") from error


def remedy(path: Path) -> str:
    """What to do about a missing or damaged file of a run, as a sentence."""
    for folder in path.parents:
        if (folder / "config.yaml").is_file():
            return (
                f"Make it anew with `filtergan study --config {folder / 'config.yaml'} "
                f"--out {folder} --overwrite`."
            )
    return "Check the path, or make the file anew."


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: The file cannot be read.
    """
    return lead(lambda: _sha256(path))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. {remedy(path)}") from error


def json_safe(value: Any) -> Any:
    """The same value with every number that JSON does not know as None."""
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
