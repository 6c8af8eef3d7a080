"""What a measure is: the meaning of one number of the record."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

PAPER = "Kilcher et al. 2017"
AS_LARGE = "random changes of the filters as large, inverted alike"

OfImages = Callable[
    [Float[Tensor, "n c h w"], Float[Tensor, "n p c h w"]],
    Float[Tensor, "n p"],
]
"""Images x and those recovered from each -> a number for every recovered image."""


@dataclass(frozen=True)
class Measure:
    """What a number in the record means.

    Attributes:
        name: As in the record. Braces stand for a part that varies, as in `latent_r2_{z}`: letters
            and digits, which `meaning` may name likewise.
        meaning: One sentence.
        low: Smallest value it can take; None: unbounded.
        high: Largest value it can take; None: unbounded.
        better: Which way is better.
        null_meaning: What does the same work without the claim being true; empty where there is no
            such thing.
        unit: Of the value.
        source: Where the definition comes from.
        of_images: How it is computed, where it takes nothing but x and the images recovered from
            it: it is then measured of every set of images, the null's and the references' too.
        centre: Of a measure that every image has, whether the record tells the mean or the median.
    """

    name: str
    meaning: str
    low: float | None
    high: float | None
    better: Literal["higher", "lower", "neither"]
    null_meaning: str
    unit: str
    source: str
    of_images: OfImages | None = None
    centre: Literal["mean", "median"] = "mean"

    def named(self, name: str) -> "Measure | None":
        """This measure under a name of the record, its braces filled in; None: not this one."""
        if "{" not in self.name:
            return self if name == self.name else None
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[a-z0-9]+)", self.name)
        match = re.fullmatch(pattern, name)
        if match is None:
            return None
        return replace(self, name=name, meaning=self.meaning.format(**match.groupdict()))
