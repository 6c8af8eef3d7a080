"""The choices of images: which, how they are split, and what is planted in them."""

from typing import Annotated

from pydantic import Field, FiniteFloat, model_validator

from filtergan.config.bases import Frozen
from filtergan.config.values import Count, Share


class DatasetConfig(Frozen):
    """Which images, and how they are split.

    Examples:
        >>> import filtergan as fg
        >>> fg.load_dataset("digits", fg.DatasetConfig(train_limit=100)).train
        Split(...)
    """

    image_column: str | None = None
    """Column that holds the images; by default the one whose feature type is an image."""
    label_column: str | None = None
    """Column that holds the labels; by default the one whose feature type is a class label."""
    test_fraction: Share = 0.25
    """Share of the images held out, by class, where the dataset has neither a test nor a validation
    split of its own."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of that split; apart from the study's seed, so that seeds compare on the same images."""
    train_limit: Count | None = None
    """Use at most so many training images (the first of a fixed shuffle)."""
    test_limit: Count | None = None
    """Use at most so many test images (the first of a fixed shuffle)."""
    memory_mib: Count = 1024
    """Memory for the images, in MiB; where both splits together take more they lie on disk, in the
    cache folder, and each is read when it is needed. The results are the same."""
    planted: str | None = None
    """Plant an invariance, such as brightness, rotation or width: every training image is
    transformed once, by a random strength drawn from split_seed, and network and game see the same
    images. Test images stay as they are."""
    planted_range: tuple[FiniteFloat, FiniteFloat] | None = None
    """Between which strengths, in the family's unit, as -45,45 (degrees) for rotation; by default
    the family's own. Where it begins with a minus, an = before it keeps it from being an option."""

    @model_validator(mode="after")
    def _check(self) -> "DatasetConfig":
        if self.planted_range is not None:
            if self.planted is None:
                raise ValueError("planted_range says how strongly; planted is to say what")
            low, high = self.planted_range
            if not low < high:
                raise ValueError(f"planted_range goes from low to high, not from {low} to {high}")
        return self
