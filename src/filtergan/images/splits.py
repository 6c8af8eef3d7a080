"""Datasets as they are once they are read: images and labels, of a training and a test split."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from filtergan.machine.storage import DiskTensor


@dataclass(frozen=True)
class Split:
    """Images and their labels, in an order that has nothing to do with the labels.

    Attributes:
        images: Pixels from 0 to 255, grey (c = 1) or RGB (c = 3), at their native size. Where they
            lie on disk, `images[index]` reads some of them as a tensor.
        labels: Index into the dataset's classes.

    Examples:
        >>> import filtergan as fg
        >>> fg.load_dataset("digits").train.labels.unique()
        tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    images: UInt8[Tensor, "n c h w"] | DiskTensor
    labels: Int64[Tensor, " n"]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __repr__(self) -> str:
        """How many images, and their shape."""
        return f"Split({len(self)} images of {'x'.join(map(str, self.images.shape[1:]))})"

    def pixels(self, index: Tensor | slice | None = None) -> Float[Tensor, "m c h w"]:
        """Return the images, or those at `index`, as float32 from 0 to 1.

        Examples:
            >>> import filtergan as fg
            >>> data = fg.load_dataset("digits")
            >>> data.test.pixels(slice(3)).shape
            torch.Size([3, 1, 8, 8])
        """
        chosen = self.images[slice(None) if index is None else index]
        return chosen.to(torch.float32).div_(255)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split.

    Attributes:
        name: What the user called it.
        train: Training images.
        test: Test images.
        classes: Names of the classes; a label is an index into them.
        fingerprint: SHA-256 over the pixels and labels of both splits.

    Examples:
        >>> import filtergan as fg
        >>> data = fg.load_dataset("digits")
        >>> data.classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    fingerprint: str

    def __repr__(self) -> str:
        """Name, splits and classes."""
        classes = f"{len(self.classes)} classes"
        return f"Dataset({self.name!r}: train {self.train}, test {self.test}, {classes})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image.

        Examples:
            >>> import filtergan as fg
            >>> fg.load_dataset("digits").shape
            (1, 8, 8)
        """
        c, h, w = self.train.images.shape[1:]
        return c, h, w
