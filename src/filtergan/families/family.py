"""One known kind of change of images: what it is called, made with and recognised by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.errors import UserError

Change = Callable[[Float[Tensor, "n c h w"], Float[Tensor, " n"]], Float[Tensor, "n c h w"]]
"""Images and a strength for each -> the images, changed."""

Transform = Callable[[Float[Tensor, " n"]], Float[Tensor, "n c h w"]]
"""The images, each transformed with its own strength; 0 leaves them as they are."""

Direction = Callable[
    [Float[Tensor, "n c h w"], Int64[Tensor, " n"], torch.Generator], tuple[Transform, float]
]
"""Images, the group of each (counted from 0), and what is random -> the images along one direction
of the family for each group, and a strength to try first."""

Fit = Callable[[Float[Tensor, "m c h w"], Float[Tensor, "m c h w"]], Float[Tensor, " m"]]
"""Images and what became of them -> squared norm of what the best of the family leaves."""


@dataclass(frozen=True)
class Strength:
    """One number that says how much an image is changed.

    Attributes:
        change: Changes each image by a strength of its own. Nothing is clipped.
        low: Smallest strength that is planted.
        high: The largest.
        planted: How the page tells that images were changed so, a clause.
        morphometric: The morphometric of strokes that follows it, if one does.
    """

    change: Change
    low: float
    high: float
    planted: str
    morphometric: str | None = None

    def random(
        self, n: int, rng: np.random.Generator, between: tuple[float, float] | None = None
    ) -> Float[Tensor, " n"]:
        """So many strengths, uniform from `low` to `high`, or between two others."""
        low, high = between or (self.low, self.high)
        return torch.from_numpy(rng.uniform(low, high, n)).float()


@dataclass(frozen=True)
class Fixed:
    """One transformation of the family, the same for every image: what a ceiling is asked for.

    Lengths are pixels in images of 28 x 28; in others as large a part of the image.

    Attributes:
        name: In records, tables and figures.
        change: Changes each image by a strength of its own. Nothing is clipped.
        strength: In the unit of the family.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> def faded(x, strength):
        ...     return x * (1 - strength)[:, None, None, None]
        >>> fg.Fixed("faded by .3", faded, 0.3)(torch.ones(1, 1, 2, 2)).mean()
        tensor(0.7000)
    """

    name: str
    change: Change
    strength: float

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The images, changed."""
        return self.change(x, x.new_full((len(x),), self.strength))


@dataclass(frozen=True)
class Reference:
    """A transformation of the family, as large as a traversal's change.

    Attributes:
        name: In the record.
        direction: Makes it.
    """

    name: str
    direction: Direction


@dataclass(frozen=True)
class Explained:
    """The share of an image change that the family explains.

    Attributes:
        name: In the record, after `explained_`.
        meaning: What the transformations are, exactly.
        words: The same in a sentence.
        title: The same above a column.
        symbol: The same in the head of a table.
        fit: What the best transformation leaves; None: the search in `measures.explained`, which
            nests families in each other, finds it.
        main: Whether the share is shown without asking.
    """

    name: str
    meaning: str
    words: str
    title: str
    symbol: str
    fit: Fit | None = None
    main: bool = True


@dataclass(frozen=True)
class Family:
    """A known kind of change of images; what a family lacks is not asked of it.

    One of your own needs a name, words and what is `fixed`, for `ceilings_of` and `ask`.

    Attributes:
        name: What settings call it.
        words: The same in a sentence, and above the column of its reference.
        grey: Whether it applies to grey images.
        colour: Whether it applies to images in colour.
        strength: How it is applied and planted, where one number says how much.
        reference: How it is set beside traversals.
        explained: How it is recognised.
        fixed: What ceilings are asked for.
        within: The family that it is a part of, whose reference and share then tell of it.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> def faded(x, strength):
        ...     return x * (1 - strength)[:, None, None, None]
        >>> fading = fg.Family("fading", "fading", fixed=(fg.Fixed("faded by .3", faded, 0.3),))
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> fg.ask(site, images, torch.rand(32, 1, 8, 8), [fading])
        {'faded by .3': Answer('faded by .3': ...)}
    """

    name: str
    words: str
    grey: bool = True
    colour: bool = True
    strength: Strength | None = None
    reference: Reference | None = None
    explained: Explained | None = None
    fixed: tuple[Fixed, ...] = ()
    within: "Family | None" = None

    def applies(self, channels: int) -> bool:
        """Whether it is a change of images with so many channels.

        Examples:
            >>> import filtergan as fg
            >>> fg.Family("fading", "fading", colour=False).applies(3)
            False
        """
        return self.grey if channels == 1 else self.colour

    def require(self, channels: int) -> None:
        """Refuse images that it is no change of.

        Raises:
            UserError: The images are in colour, or they are grey.

        Examples:
            >>> import filtergan as fg
            >>> fg.Family("fading", "fading", colour=False).require(1)
        """
        if not self.applies(channels):
            kind = "grey images" if self.grey else "images in colour"
            raise UserError(
                f"{self.words[:1].upper()}{self.words[1:]} is a matter of {kind}; these have "
                f"{channels} channels. Choose another family than {self.name}, or leave it out."
            )

    def apply(
        self, x: Float[Tensor, "n c h w"], strength: Float[Tensor, " n"]
    ) -> Float[Tensor, "n c h w"]:
        """Images, each changed by a strength of its own; the same whenever it is asked.

        Args:
            x: Images in [0, 1].
            strength: One number for each, in the unit of the family; nothing is clipped.

        Raises:
            UserError: The images are in colour, or they are grey, and it is no change of such; or
                the family has no `strength`.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> fg.Family("fading", "fading").apply(torch.ones(2, 1, 4, 4), torch.ones(2))
            Traceback (most recent call last):
            ...
            filtergan.errors.UserError: The family fading has no one number that says how much.
        """
        if self.strength is None:
            raise UserError(f"The family {self.name} has no one number that says how much.")
        self.require(x.shape[1])
        return self.strength.change(x, strength)
