"""Where images come from: a folder or a dataset of the Hub, as tables by the name of the split."""

import errno
import logging
import pickle
import ssl
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from filtergan.errors import UserError
from filtergan.machine import telling
from filtergan.machine.storage import MIB, batches, keeping

if TYPE_CHECKING:  # takes seconds to import, and the bundled digits need none of it
    import datasets
    import pyarrow

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
TABLE_SUFFIXES = {".parquet", ".arrow"}
ARCHIVE_SUFFIXES = {".tar", ".zip"}
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}


SHARD_COLUMN = "__url__"
"""Column by which a table from WebDataset shards is known."""
SHARD_LABELS = ("cls", "json.label", "json.cls")
"""Where their labels are looked for, in this order, unless a column is named."""
PART = 16 * MIB
"""Bytes of a mapped file that are read before it is opened anew."""


@contextmanager
def open_tables(data: str) -> "Iterator[Mapping[str, datasets.Dataset]]":
    """Open a folder or a Hub dataset as tables by the name of their split.

    Parquet and shards of a local folder are converted in a temporary directory, which leaves no
    copy behind that could go stale; what comes from the Hub stays in its own cache.

    Raises:
        UserError: It is missing, damaged or no dataset; or the disk is full, or the Hub cannot be
            reached (exit code 1).
    """
    folder = Path(data).expanduser()
    if data and folder.is_dir():
        images = _class_folders(folder.resolve(), data)
        if images is not None:
            yield images
            return
        with keeping(f"A copy of {data}") as kept:
            own = tempfile.TemporaryDirectory(
                dir=kept, prefix="tables-", ignore_cleanup_errors=True
            )
        with own as cache:
            yield _load(str(folder.resolve()), data, cache)
    elif data and folder.exists():
        raise UserError(f"{data} is a file; name the folder that holds the dataset.")
    elif data.startswith((".", "~", "/")) or data.count("/") != 1 or folder.is_absolute():
        raise UserError(
            f"There is no folder {data!r}; check the path (a dataset of the Hugging Face Hub is "
            "named with its owner, as in ylecun/mnist)."
        )
    else:
        yield _load(data, data, None)


def of_the_hub(data: str) -> bool:
    """Whether images are fetched from the Hub: they are named so, and nothing lies there."""
    owner, _, name = data.partition("/")
    named = bool(owner and name) and "/" not in name and not data.startswith((".", "~"))
    return named and not Path(data).expanduser().exists()


def at_hand(data: str) -> bool:
    """Whether images can be opened without fetching them: all but what the Hub has alone."""
    if not of_the_hub(data):
        return True
    from datasets import config

    owner, _, name = data.partition("/")
    return (Path(config.HF_DATASETS_CACHE) / f"{owner}___{name}").is_dir()


def read(
    table: "datasets.Dataset", rows: np.ndarray | None = None
) -> "Iterator[pyarrow.ChunkedArray]":
    """Read the only column of a table, in parts.

    Pages of a mapped file count as memory until it is closed, so each part opens it anew.

    Args:
        table: Of one column.
        rows: Those wanted, best in the order of storage; None: all.
    """
    rows, (column,) = np.arange(len(table)) if rows is None else rows, table.column_names
    mapped = sum(Path(file["filename"]).stat().st_size for file in table.cache_files)
    size = max(1, PART * len(table) // mapped) if mapped else len(rows)
    for part in batches(len(rows), size):
        opened: datasets.Dataset = pickle.loads(pickle.dumps(table)) if mapped else table
        found: Any = opened.select(rows[part]).with_format("arrow").iter(100)
        yield from (batch[column] for batch in found)


def _load(path: str, data: str, cache: str | None) -> "Mapping[str, datasets.Dataset]":
    """Call `datasets.load_dataset`; its complaints become one sentence."""
    import pyarrow
    from datasets import DatasetDict, config, exceptions, load_dataset

    local = cache is not None
    online = local or config.HF_HUB_OFFLINE or _reachable(config.HF_ENDPOINT)
    try:
        with _quiet(offline=not online):
            loaded = load_dataset(path, cache_dir=cache)
    except (
        *(OSError, ValueError, RuntimeError, tarfile.TarError),
        *(exceptions.DatasetsError, pyarrow.ArrowException),
    ) as error:
        wrapped = isinstance(error, exceptions.DatasetGenerationError) and error.__cause__
        raise _unreadable(data, local, online, wrapped or error) from error
    assert isinstance(loaded, DatasetDict), "no split was asked for"
    if SHARD_COLUMN in next(iter(loaded.values())).column_names:
        loaded = loaded.flatten()  # the fields of a json become columns
    return {str(name): table for name, table in loaded.items()}


def _unreadable(data: str, local: bool, online: bool, error: BaseException) -> UserError:
    from datasets.data_files import EmptyDatasetError

    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(f"The disk is full: no room to unpack {data}; make some.", exit_code=1)
    if isinstance(error, EmptyDatasetError) and local:
        return UserError(
            f"The folder {data} holds no dataset; expected one folder of images per class, "
            "parquet files, or WebDataset shards (.tar)."
        )
    if "corresponds to no data" in reason or "at least one table" in reason:
        return UserError(f"A split of the dataset {data} is empty; remove it or give it images.")
    if local:
        return UserError(f"The dataset in {data} cannot be read: {reason}.")
    if online:
        return UserError(
            f"{data!r} is no local folder, and the Hugging Face Hub does not give it: {reason}."
        )
    return UserError(
        f"{data!r} is no local folder, and the Hugging Face Hub cannot be reached to look for it "
        "there; check the path or the connection.",
        exit_code=1,
    )


def _reachable(endpoint: str) -> bool:
    """Whether the Hub answers at all: the library itself retries for half a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the library brings its own certificates
    except OSError:
        return False
    return True


@contextmanager
def _quiet(offline: bool) -> Iterator[None]:
    """Silence the libraries (their bars only where nobody watches); offline, use their cache."""
    import datasets
    from datasets import config
    from huggingface_hub import utils as hub

    hub_log = logging.getLogger("huggingface_hub")
    levels = datasets.logging.get_verbosity(), hub_log.level
    was_offline = config.HF_HUB_OFFLINE
    watched = sys.stderr.isatty()
    bars = [lib for lib in (datasets, hub) if not (watched or lib.are_progress_bars_disabled())]
    try:
        datasets.logging.set_verbosity(logging.CRITICAL)  # an error of theirs becomes our sentence
        hub_log.setLevel(logging.CRITICAL)
        config.HF_HUB_OFFLINE = was_offline or offline
        for lib in bars:
            lib.disable_progress_bars()
        yield
    finally:
        datasets.logging.set_verbosity(levels[0])
        hub_log.setLevel(levels[1])
        config.HF_HUB_OFFLINE = was_offline
        for lib in bars:
            lib.enable_progress_bars()


def _class_folders(folder: Path, data: str) -> "Mapping[str, datasets.Dataset] | None":
    """Images in one folder per class, also below train/ and test/; None if it is no such folder.

    Not left to `datasets`, which would take a class `test tube` or a file `cat/test-1.png` for a
    test split and drop the other images in silence.
    """
    files = [path for path in folder.rglob("*") if not path.name.startswith(".")]
    suffixes = Counter(path.suffix.lower() for path in files)
    described = any(path.stem == "metadata" for path in files)
    archives = sum(suffixes[one] for one in ARCHIVE_SUFFIXES)
    # Archives that are as many hold the dataset, and what lies beside them shows what it is.
    few = sum(suffixes[one] for one in IMAGE_SUFFIXES) <= archives
    if few or described or suffixes.keys() & TABLE_SUFFIXES:
        return None
    if archives:
        archive = next(path for path in files if path.suffix.lower() in ARCHIVE_SUFFIXES)
        raise UserError(
            f"{archive} lies among the images of {data}; unpack it into the folders of its "
            "classes, or move it elsewhere."
        )
    parts = _split_folders(folder, data) or {"train": folder}
    images = {
        split: {child.name: found for child in _folders(part) if (found := _images(child, "**/*"))}
        for split, part in parts.items()
    }
    for split, part in parts.items():
        if not images[split] or _images(part, "*"):
            raise UserError(
                f"Images in {data} are unlabelled: {part} must hold one folder of images per "
                "class, and no images beside these folders."
            )
    known = images.get("train", {}).keys()
    if known and (others := sorted(set().union(*images.values()) - known)):
        telling.warn(
            f"{data} has no training images of {', '.join(others)}; a network that is trained on "
            "it cannot name them."
        )
    return _listed(images)


def _split_folders(folder: Path, data: str) -> dict[str, Path]:
    """The folders of splits by split, if what holds images beside them are splits too; else none.

    Raises:
        UserError: Two folders are one split, one of a split holds no images, or what stands beside
            train and another is none.
    """
    split_of = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
    found: dict[str, list[Path]] = {}
    empty: list[Path] = []
    for child in _folders(folder):
        split = split_of.get(child.name.lower(), "")
        if any(map(_is_image, child.rglob("*"))):
            found.setdefault(split, []).append(child)
        elif split:
            empty.append(child)
    others = found.pop("", [])
    if others and not ("train" in found and len(found) > 1):
        return {}  # a class may be called train, or test
    if others:
        raise UserError(
            f"{others[0]} stands beside the splits of {data} and is none; move it elsewhere, or "
            "rename the splits if they are classes."
        )
    if found and empty:
        raise UserError(f"{empty[0]} is a split of {data} without images that can be read.")
    for split, folders in found.items():
        if len(folders) > 1:
            names = " and ".join(child.name for child in folders)
            raise UserError(f"Several folders of {data} are its split {split}: {names}; keep one.")
    return {split: child for split, (child,) in found.items()}


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
    )


def _images(folder: Path, pattern: str) -> list[str]:
    return sorted(str(path) for path in folder.glob(pattern) if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _listed(images: dict[str, dict[str, list[str]]]) -> "Mapping[str, datasets.Dataset]":
    """Tables in memory from file names by split and class; classes sorted by name."""
    import datasets

    names = sorted({name for classes in images.values() for name in classes})
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))
    tables = {}
    for split, classes in images.items():
        paths = [path for name in sorted(classes) for path in classes[name]]
        labels = [names.index(name) for name in sorted(classes) for _ in classes[name]]
        columns = {"image": paths, "label": labels}
        tables[split] = datasets.Dataset.from_dict(columns, features=features)
    return tables
