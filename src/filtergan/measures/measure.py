"""What a measure is: the meaning of one number of the record."""

import re
from dataclasses import dataclass, replace
from typing import Literal

PAPER = "Kilcher et al. 2017"


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
    """

    name: str
    meaning: str
    low: float | None
    high: float | None
    better: Literal["higher", "lower", "neither"]
    null_meaning: str
    unit: str
    source: str

    def named(self, name: str) -> "Measure | None":
        """This measure under a name of the record, its braces filled in; None: not this one."""
        if "{" not in self.name:
            return self if name == self.name else None
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[a-z0-9]+)", self.name)
        match = re.fullmatch(pattern, name)
        if match is None:
            return None
        return replace(self, name=name, meaning=self.meaning.format(**match.groupdict()))
