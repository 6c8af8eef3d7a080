"""Rows of numbers that may be too many for memory: on disk, or fetched when they are asked for."""

import errno
import operator
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils import data

from filtergan.errors import UserError

MIB = 2**20


def cache_folder() -> Path:
    """What is kept on disk beside runs: $FILTERGAN_CACHE, or `filtergan` in the user's cache."""
    if own := os.environ.get("FILTERGAN_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "filtergan"


@contextmanager
def keeping(what: str, needed: int = 0) -> Iterator[Path]:
    """The cache folder, made if missing, for large temporary files: /tmp may be memory.

    Args:
        what: What is to be kept there, for the error.
        needed: Its bytes, for the error.

    Raises:
        UserError: An `OSError` arose inside: no room, no right to write (exit code 1).
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        size = f" ({needed / MIB:.0f} MiB)" if needed else ""
        raise UserError(
            f"{what}{size} could not be kept on disk in {folder}: {error.strerror or error}. Put "
            "that right (make room, or get the right to write), or name another folder in "
            "FILTERGAN_CACHE.",
            exit_code=1,
        ) from error


def room_on_disk() -> int:
    """Free bytes where temporary files lie.

    Raises:
        UserError: The folder cannot be made (exit code 1).
    """
    with keeping("What does not fit in memory") as folder:
        return shutil.disk_usage(folder).free


def batches(n: int, size: int) -> list[slice]:
    """The rows 0 to n - 1 in slices of `size`, the last one shorter if need be, as torch splits."""
    return [slice(start, min(start + size, n)) for start in range(0, max(n, 1), size)]


def row_numbers(index: slice | Tensor, n: int) -> Tensor:
    """The rows that an index means among n, as numbers from 0.

    Raises:
        IndexError: One is out of range.
    """
    if isinstance(index, slice):
        start, stop, step = index.indices(n)
        return torch.arange(start, max(start, stop), step)
    numbers = index.nonzero()[:, 0] if index.dtype == torch.bool else index.cpu()
    if len(numbers) and not (-n <= int(numbers.min()) and int(numbers.max()) < n):
        raise IndexError(f"index out of range for {n} rows")
    return numbers % n if n else numbers


@runtime_checkable
class Rows(Protocol):
    """What gives tensors of its rows: a tensor, or what reads or computes them when asked."""

    @property
    def shape(self) -> Sequence[int]:
        """As a tensor's; the first axis are the rows."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """As a tensor's."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, index: slice | Tensor, /) -> Tensor:
        """The rows of a slice, or of a tensor of numbers [n]."""
        ...


RowsLike = Rows | data.Dataset[Any] | data.DataLoader[Any] | np.ndarray
"""What `rows_of` makes rows of."""


def rows_of(given: RowsLike) -> Rows:
    """What people have, as rows.

    Args:
        given: A tensor, or anything else that has rows of its own; a NumPy array; a torch dataset
            of tensors, or of tuples whose first entry is one, as in (image, label); or a torch
            DataLoader, of which only the dataset is taken, in the dataset's own order: batches,
            shuffling, samplers and `collate_fn` play no part.

    Raises:
        UserError: It is none of these, or its items are no tensors.
    """
    if isinstance(given, data.DataLoader):
        given = given.dataset
    if isinstance(given, np.ndarray):
        return _of_array(given)
    if isinstance(given, data.TensorDataset):
        return given.tensors[0]
    if isinstance(given, Rows):
        return given
    if isinstance(given, data.IterableDataset) or not (
        hasattr(given, "__len__") and hasattr(given, "__getitem__")
    ):
        raise UserError(
            f"A {type(given).__name__} cannot be asked for some of its rows; give a tensor, a "
            "torch Dataset with a length, or a DataLoader of one."
        )
    return Items(given)


def pairs_of(given: RowsLike, labels: Tensor | np.ndarray | None = None) -> "Pairs":
    """What people have, as rows that have a label each.

    Args:
        given: As for `rows_of`.
        labels: Whole numbers [n], in the order of the rows; None: those of the dataset, whose items
            are tuples that begin with a tensor and its label, as in (image, label).

    Raises:
        UserError: As for `rows_of`; or there are no rows, or no label for each.
    """
    if labels is None:
        own = given.dataset if isinstance(given, data.DataLoader) else given
        if isinstance(own, data.TensorDataset) and len(own.tensors) > 1:
            labels = own.tensors[1]
    rows = rows_of(given)
    known = None if labels is None else _numbers(_tensor(labels))
    if not len(rows):
        raise UserError("There are no inputs to learn from; give some.")
    if known is not None and len(known) != len(rows):
        raise UserError(f"There are {len(rows)} inputs and {len(known)} labels; give one each.")
    if known is None:
        if not isinstance(rows, Items):
            raise UserError(
                f"A {type(rows).__name__} has no labels of its own; give them beside it, or give a "
                "torch Dataset or DataLoader of (image, label)."
            )
        rows.labelled(slice(1))  # a mistake is told before the work
    return Pairs(rows, known)


def _tensor(labels: Tensor | np.ndarray) -> Tensor:
    """The same numbers; of an array a copy, as it may be read-only or run backwards."""
    return labels if isinstance(labels, Tensor) else torch.from_numpy(np.array(labels))


def _numbers(labels: Tensor) -> Int64[Tensor, " n"]:
    """Labels of any integer kind.

    Raises:
        UserError: They are no labels.
    """
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        raise UserError(
            f"The labels are {labels.dtype} {list(labels.shape)}; let them be whole numbers, one "
            "for each image."
        )
    return labels.long()


class Pairs:
    """Rows that have a label each, which are fetched together.

    Args:
        rows: The rows.
        labels: Their labels [n]; None: the rows are `Items`, which have them.
    """

    def __init__(self, rows: Rows, labels: Tensor | None) -> None:
        self._rows, self._labels = rows, labels

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __getitem__(self, index: Tensor, /) -> tuple[Tensor, Tensor]:
        """The rows at some numbers [m], and their labels [m]."""
        if self._labels is not None:
            return self._rows[index], self._labels[index]
        assert isinstance(self._rows, Items)
        return self._rows.labelled(index)


class Items:
    """The items of a torch dataset as rows, each fetched when it is asked for.

    Args:
        dataset: Gives tensors of one shape, or tuples whose first entry is one.

    Raises:
        UserError: It is empty, or gives something else (also on asking for rows).
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        if not len(dataset):
            raise UserError(f"The {type(dataset).__name__} is empty; give one with items.")
        first = self._tensor(dataset[0])
        self.shape, self.dtype = torch.Size((len(dataset), *first.shape)), first.dtype

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor, /) -> Tensor:
        """The rows of a slice, or of a tensor of numbers."""
        return self._stacked([self._tensor(item) for item in self._items(index)])

    def labelled(self, index: slice | Tensor) -> tuple[Tensor, Int64[Tensor, " m"]]:
        """The rows of a slice, or of a tensor of numbers, and the label that stands beside each.

        Raises:
            UserError: None stands there.
        """
        items = self._items(index)
        labels = torch.tensor([self._label(item) for item in items], dtype=torch.int64)
        return self._stacked([self._tensor(item) for item in items]), labels

    def _items(self, index: slice | Tensor) -> list[Any]:
        return [self._dataset[row] for row in row_numbers(index, len(self)).tolist()]

    def _stacked(self, rows: list[Tensor]) -> Tensor:
        if odd := [list(row.shape) for row in rows if row.shape != self.shape[1:]]:
            raise UserError(
                f"The items of the {type(self._dataset).__name__} have different shapes "
                f"({list(self.shape[1:])}, {odd[0]}); bring them to one first."
            )
        return torch.stack(rows) if rows else torch.empty((0, *self.shape[1:]), dtype=self.dtype)

    def _label(self, item: Any) -> int:
        label = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
        try:
            return operator.index(label)  # pyright: ignore[reportArgumentType]
        except TypeError as error:
            told = "no labels" if label is None else f"labels that are {type(label).__name__}"
            raise UserError(
                f"The items of the {type(self._dataset).__name__} have {told}; let it give (image, "
                "label) with a whole number, or give the labels beside it."
            ) from error

    def _tensor(self, item: Any) -> Tensor:
        item = item[0] if isinstance(item, tuple | list) else item
        if isinstance(item, np.ndarray):
            return _of_array(item)
        if not isinstance(item, Tensor):
            raise UserError(
                f"The items of the {type(self._dataset).__name__} are no tensors but "
                f"{type(item).__name__}; let it give tensors, or tuples that begin with one."
            )
        return item


class Subset:
    """Some rows of others, in an order of their own, fetched when they are asked for."""

    def __init__(self, rows: Rows, index: Tensor) -> None:
        """Take the rows at `index` [n]."""
        self.rows, self.index = rows, index
        self.shape = torch.Size((len(index), *rows.shape[1:]))
        self.dtype = rows.dtype

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.index)

    def __getitem__(self, index: slice | Tensor, /) -> Tensor:
        """The rows of a slice, or of a tensor of numbers."""
        return self.rows[self.index[index]]


class DiskTensor:
    """A tensor of fixed shape on disk, zero at first; what is read of it are copies in memory.

    It lies in a file without a name in the cache folder, so nothing is left after a crash. It is
    read and written, not mapped: mapped pages would count as the process's memory.

    Args:
        shape: As a tensor's.
        dtype: As a tensor's.
        what: What it holds, for the error.

    Raises:
        UserError: The disk has no room, or refuses to write (exit code 1; also on writing rows).
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, what: str) -> None:
        self.shape, self.dtype, self.what = torch.Size(shape), dtype, what
        self._row = prod(shape[1:]) * dtype.itemsize
        with keeping(what, self.nbytes) as folder:
            if self.nbytes > shutil.disk_usage(folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with tempfile.TemporaryFile(dir=folder) as file:
                os.ftruncate(file.fileno(), self.nbytes)
                self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes on disk."""
        return len(self) * self._row

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __setitem__(self, index: slice, values: Tensor) -> None:
        """Write consecutive rows; values are broadcast, as a tensor's are."""
        start, stop, step = index.indices(len(self))
        assert step == 1
        values = values.to("cpu", self.dtype).expand(stop - start, *self.shape[1:])
        place, left = start * self._row, _bytes(values.contiguous())
        with keeping(self.what, self.nbytes):
            while left:
                written = os.pwrite(self._file, left, place)
                place, left = place + written, left[written:]

    def __getitem__(self, index: slice | Tensor, /) -> Tensor:
        """Read the rows of a slice, or of a tensor of numbers."""
        rows = row_numbers(index, len(self))
        found = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        buffer, size = _bytes(found), self._row
        if isinstance(index, slice) and index.step in (None, 1) and len(rows):
            self._read(buffer, int(rows[0]))
            return found
        order = rows.argsort()  # a disk that turns reads far faster forwards
        for place, row in zip(order.tolist(), rows[order].tolist(), strict=True):
            self._read(buffer[place * size : (place + 1) * size], row)
        return found

    def _read(self, buffer: memoryview, row: int) -> None:
        place = row * self._row
        while buffer:
            read = os.preadv(self._file, [buffer], place)
            assert read > 0, "the file is as long as the tensor"
            place, buffer = place + read, buffer[read:]


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.flatten().view(torch.uint8).numpy().data


def _of_array(array: np.ndarray) -> Tensor:
    """As a tensor; NumPy's fractions have 64 bits unless told otherwise, and networks' 32."""
    found = torch.from_numpy(array)
    return found.to(torch.get_default_dtype()) if found.is_floating_point() else found
