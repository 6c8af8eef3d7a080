"""Small datasets, written as folders of images and as parquet files."""

import io

import numpy as np
from PIL import Image

from filtergan.config.dataset_fields import DatasetConfig

PLAIN = DatasetConfig()


def pictures(n, shape=(4, 5), seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, (n, *shape), dtype=np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write_parquet(folder, split, images, labels, label_feature=None, image_name="image", **more):
    import datasets

    features = datasets.Features({image_name: datasets.Image()})
    if labels is not None:
        features["label"] = label_feature or datasets.ClassLabel(names=["no", "yes"])
    columns = {image_name: [png(x) if x is not None else None for x in images]}
    columns |= {"label": labels} if labels is not None else {}
    for name, (feature, values) in more.items():
        features[name], columns[name] = feature, values
    folder.mkdir(exist_ok=True)
    table = datasets.Dataset.from_dict(columns, features=features)
    table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def write_folder(root, files):
    for name, array in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def as_set(split):
    """Every image with its label, whatever the order."""
    pairs = zip(split.images[:], split.labels, strict=True)
    return sorted((int(y), x.numpy().tobytes()) for x, y in pairs)
