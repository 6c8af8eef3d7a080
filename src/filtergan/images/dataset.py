"""Images and labels by split: the bundled digits, a local folder, or a dataset of the Hub."""

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import Interpolation
from filtergan.errors import UserError
from filtergan.families.catalogue import to_plant
from filtergan.images.planting import plant
from filtergan.images.sources import SHARD_COLUMN, SHARD_LABELS, open_tables, read
from filtergan.images.splits import Dataset, Split
from filtergan.machine import telling
from filtergan.machine.storage import MIB, DiskTensor, batches

if TYPE_CHECKING:  # takes seconds to import, and `digits` needs none of it
    import datasets
    from PIL import Image

GREY_MODES = {"1", "L", "LA"}
COLOUR_MODES = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}
CHUNK = 100  # images held at once besides those that are kept in memory


Images = UInt8[Tensor, "_ _ _ _"] | DiskTensor
Allocate = Callable[[Sequence[int]], Images]
"""Room for the images of a split of this shape, in memory or on disk."""
Resize = Callable[["Image.Image"], "Image.Image"]


@dataclass(frozen=True)
class _Source:
    """One split before its images are read: labels, and how to read the images of given rows."""

    labels: np.ndarray
    read: Callable[[np.ndarray, Allocate], Images]


def load_dataset(
    data: str | os.PathLike[str],
    config: DatasetConfig = DatasetConfig(),
    size: tuple[int, int] | None = None,
    interpolation: Interpolation = "bilinear",
) -> Dataset:
    """Read a dataset into memory or, if it is too large, onto disk.

    A `test` split of the dataset's own is used where there is one, else its `validation` split,
    else a share of the images of every class is held out. Each split is shuffled once by
    `config.split_seed`, so that its first n images are a fair sample of it.
    The training images are transformed where `config.planted` says so; the fingerprint is of
    what comes out.

    Args:
        data: `digits` (bundled with scikit-learn), a folder of images by class, of parquet files or
            of WebDataset shards, or the name of a dataset of the Hugging Face Hub.
        config: Columns, splits and limits.
        size: Height and width to which every image is brought; by default all must have one size.
        interpolation: Pillow's filter for that; all but `nearest` take in every pixel.

    Raises:
        UserError: The dataset is missing, empty, unlabelled, damaged, of mixed sizes, or has
            fewer than two classes; its columns cannot be told apart; or what is to be planted is
            not known, or is no change of such images. Or the disk is full, or the Hub cannot be
            reached (exit code 1).

    Examples:
        >>> import filtergan as fg
        >>> fg.load_dataset("digits")  # or a folder, or a name of the Hub
        Dataset('digits': train Split(...), test Split(...), 10 classes)
    """
    data = os.fspath(data)
    family = to_plant(config.planted) if config.planted is not None else None
    resize = None if size is None else partial(_resized, size, interpolation)
    with ExitStack() as stack:
        if data == "digits":
            sources, classes = _digits(resize)
        else:
            tables = stack.enter_context(open_tables(data))
            sources, classes = _table_sources(data, config, tables, resize)
        train, test = _choose_rows(sources, config, data)
        allocate = partial(_allocate, len(train[1]) + len(test[1]), config.memory_mib)
        pixels = [source.read(rows, allocate) for source, rows in (train, test)]
        labels = [source.labels[rows] for source, rows in (train, test)]
    if len(np.unique(labels[0])) < 2:
        raise UserError(
            f"The training images of {data} are all of one class; at least two are needed."
        )
    pixels = _same_shape(pixels, data, allocate)
    if family is not None:
        plant(pixels[0], family, config.split_seed, config.planted_range)
    digest = hashlib.sha256()
    for images, of_them in zip(pixels, labels, strict=True):
        for part in batches(len(images), CHUNK):
            digest.update(images[part].numpy().tobytes())
        digest.update(of_them.tobytes())
    train, test = (Split(x, torch.from_numpy(y)) for x, y in zip(pixels, labels, strict=True))
    return Dataset(data, train, test, classes, digest.hexdigest())


def _allocate(images: int, memory_mib: int, shape: Sequence[int]) -> Images:
    """Room for a split's images: in memory if there is room for those of both splits."""
    if images * prod(shape[1:]) <= memory_mib * MIB:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    return DiskTensor(shape, torch.uint8, "The decoded images")


def _resized(size: tuple[int, int], interpolation: str, image: "Image.Image") -> "Image.Image":
    from PIL.Image import Resampling

    height, width = size
    return image.resize((width, height), Resampling[interpolation.upper()])


def _digits(resize: Resize | None) -> tuple[list[_Source], tuple[str, ...]]:
    """Scikit-learn's 1,797 handwritten digits of 8x8, their 0..16 scaled to 0..255."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    if resize is not None:
        from PIL import Image

        images = np.stack([np.asarray(resize(Image.fromarray(image))) for image in images])
    pixels = torch.from_numpy(images[:, None])
    source = _Source(bunch.target.astype(np.int64), lambda rows, _: pixels[rows])
    return [source], tuple(map(str, bunch.target_names))


def _choose_rows(
    sources: list[_Source], config: DatasetConfig, data: str
) -> list[tuple[_Source, np.ndarray]]:
    """Return the training and the test source, each with its rows: shuffled, then limited."""
    rng = np.random.default_rng(config.split_seed)
    orders = [rng.permutation(len(source.labels)) for source in sources]
    if len(sources) == 1:
        order, labels = orders[0], sources[0].labels[orders[0]]
        held_out = np.zeros(len(order), dtype=bool)
        for label in np.unique(labels):
            (members,) = np.nonzero(labels == label)
            share = round(len(members) * config.test_fraction)
            chosen = rng.permutation(members)[: min(max(share, 1), len(members) - 1)]
            held_out[chosen] = True
        sources, orders = sources * 2, [order[~held_out], order[held_out]]
    if min(map(len, orders)) == 0:
        raise UserError(
            f"The dataset {data} has too few images to hold some out for the test; "
            "give it at least two of every class."
        )
    limits = (config.train_limit, config.test_limit)
    rows = [order[:limit] for order, limit in zip(orders, limits, strict=True)]
    return list(zip(sources, rows, strict=True))


def _same_shape(pixels: list[Images], data: str, allocate: Allocate) -> list[Images]:
    """Turn a grey split into RGB beside a colour one; splits of two sizes are an error."""
    sizes = {tuple(images.shape[2:]) for images in pixels}
    if len(sizes) > 1:
        raise _mixed_sizes(data, *sizes)
    channels = max(images.shape[1] for images in pixels)
    return [x if x.shape[1] == channels else _coloured(x, channels, allocate) for x in pixels]


def _coloured(grey: Images, channels: int, allocate: Allocate) -> Images:
    coloured = allocate((len(grey), channels, *grey.shape[2:]))
    for part in batches(len(grey), CHUNK):
        coloured[part] = grey[part]
    return coloured


def _mixed_sizes(data: str, *sizes: tuple[int, ...]) -> UserError:
    named = " and ".join("x".join(map(str, size)) for size in sizes)
    return UserError(
        f"The images of {data} have different sizes ({named}); nothing is resized silently, "
        "so name the size to which all are brought, with --size."
    )


def _table_sources(
    data: str,
    config: DatasetConfig,
    tables: "Mapping[str, datasets.Dataset]",
    resize: Resize | None,
) -> tuple[list[_Source], tuple[str, ...]]:
    """Find splits and columns, read the labels, and leave the images to be read later."""
    if "train" not in tables and len(tables) > 1:
        raise UserError(f"{data} has no split called train; it has {', '.join(tables)}.")
    train = "train" if "train" in tables else next(iter(tables))
    test = next((name for name in ("test", "validation") if name in tables and name != train), None)
    chosen = [tables[name] for name in (train, test) if name is not None]
    for name, table in zip((train, test), chosen, strict=False):
        if len(table) == 0:
            raise UserError(f"The {name} split of {data} is empty; it needs images.")
    image = _column(chosen[0], config.image_column, "image", data)
    label = _column(chosen[0], config.label_column, "label", data)
    labels, classes = _labels(chosen, label, data)
    return [
        _Source(y, partial(_read_images, table, image, data, resize))
        for y, table in zip(labels, chosen, strict=True)
    ], classes


def _column(table: "datasets.Dataset", named: str | None, kind: str, data: str) -> str:
    """The column that was named, or the only one whose feature type fits `kind`."""
    import datasets

    columns = ", ".join(table.column_names)
    if named is not None:
        if named not in table.column_names:
            raise UserError(f"{data} has no column {named!r}; its columns are {columns}.")
        return named
    feature_type = {"image": datasets.Image, "label": datasets.ClassLabel}[kind]
    fitting = [name for name, f in table.features.items() if isinstance(f, feature_type)]
    if kind == "label" and SHARD_COLUMN in table.column_names:  # its labels have no type
        fitting = [name for name in SHARD_LABELS if name in table.column_names][:1]
    if len(fitting) == 1:
        return fitting[0]
    which = f"several {kind} columns ({', '.join(fitting)})" if fitting else f"no {kind} column"
    raise UserError(
        f"{data} has {which} by feature type; name one of its columns ({columns}) "
        f"with --dataset.{kind}-column."
    )


def _labels(
    tables: "list[datasets.Dataset]", column: str, data: str
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of each table as indices into the classes, which are sorted unless they are named."""
    import datasets
    import pyarrow.types as kinds

    feature, kind = tables[0].features[column], tables[0].data.schema.field(column).type
    tests = (kinds.is_integer, kinds.is_boolean, kinds.is_string, kinds.is_large_string)
    if not any(test(kind) for test in tests):
        raise UserError(
            f"The label column {column!r} of {data} holds {kind}; labels are integers or names of "
            "classes. Name another column with --dataset.label-column."
        )
    unlabelled = UserError(
        f"{data} has rows without a label in its column {column!r}; remove them, or name another "
        "column with --dataset.label-column."
    )
    raw = [
        [y for part in read(table.select_columns([column])) for y in part.to_pylist()]
        for table in tables
    ]
    if any(y is None for values in raw for y in values):
        raise unlabelled
    if isinstance(feature, datasets.ClassLabel):
        labels = [np.asarray(values, dtype=np.int64) for values in raw]
        if min(values.min() for values in labels) < 0:
            raise unlabelled
        return labels, tuple(feature.names)
    names, codes = np.unique(np.concatenate([np.asarray(y) for y in raw]), return_inverse=True)
    labels = np.split(codes.astype(np.int64), np.cumsum([len(part) for part in raw])[:-1])
    return labels, tuple(map(str, names))


def _read_images(
    table: "datasets.Dataset",
    column: str,
    data: str,
    resize: Resize | None,
    rows: np.ndarray,
    allocate: Allocate,
) -> Images:
    """Decode the images of these rows, one after the other; grey ones become RGB beside colour."""
    import datasets

    feature = table.features[column]
    stored_bytes = getattr(feature, "dtype", None) in ("binary", "large_binary")
    if not (isinstance(feature, datasets.Image) or stored_bytes or _is_image_struct(feature)):
        raise UserError(
            f"The column {column!r} of {data} holds no images; name another with "
            "--dataset.image-column."
        )
    order = np.argsort(rows)  # reading in the order of storage is many times faster
    raw = table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    values = itertools.chain.from_iterable(part.to_pylist() for part in read(raw, rows[order]))
    pixels: Images | None = None
    with telling.progress(len(rows), "reading images", "images") as advance:
        for place, value in zip(order.tolist(), values, strict=True):
            picture = _decode(value, f"row {rows[place]} of {data}", resize)
            if pixels is None:
                pixels = allocate((len(rows), *picture.shape))
            if picture.shape[1:] != pixels.shape[2:]:
                raise _mixed_sizes(data, tuple(pixels.shape[2:]), picture.shape[1:])
            if len(picture) > pixels.shape[1]:
                pixels = _coloured(pixels, len(picture), allocate)
            pixels[place : place + 1] = torch.from_numpy(np.array(picture))
            advance()
    assert pixels is not None, "no source is without rows"
    return pixels


def _is_image_struct(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.keys() == {"bytes", "path"}


def _decode(
    value: "dict[str, Any] | None", where: str, resize: Resize | None
) -> UInt8[np.ndarray, "c h w"]:
    """Pixels of an encoded image: grey as one channel, all else as RGB."""
    import datasets
    from PIL.Image import DecompressionBombError

    if value is None or (not value["bytes"] and not value["path"]):
        raise UserError(f"There is no image in {where}; remove the row.")
    where = f"{where} ({value['path']})" if value["path"] else where
    try:
        content = value["bytes"] or Path(value["path"]).read_bytes()
        image: Image.Image = datasets.Image().decode_example({"bytes": content, "path": None})
    except (OSError, SyntaxError, ValueError, DecompressionBombError) as error:
        raise UserError(f"The image in {where} is damaged; mend or remove it.") from error
    grey = image.mode in GREY_MODES
    if not grey and image.mode not in COLOUR_MODES:
        raise UserError(
            f"The image in {where} has pixels of more than 8 bits (mode {image.mode}); "
            "convert the images to 8 bits first."
        )
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns of a transparent palette otherwise
    image = image.convert("L" if grey else "RGB")
    if resize is not None:
        image = resize(image)
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
