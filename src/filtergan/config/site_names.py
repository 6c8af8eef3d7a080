"""Names of sites: a layer and where its response is read, written `conv4@bn5`."""

import re
from collections.abc import Iterable

from filtergan.errors import UserError

SIGN = "@"
"""Stands between layer and reading; no module's name may hold it."""
PLAIN = "activation"
"""The reading of the paper: the site's own normalisation and activation function."""


class SiteName(str):
    """A layer together with a reading; as text `layer@point`, which is what records are keyed by.

    Args:
        layer: Dotted name of the convolution.
        point: `conv`, `activation`, the dotted name of a later module, or a depth such as `+1`.

    Raises:
        UserError: One of them is empty or holds an `@`.
    """

    __slots__ = ()

    def __new__(cls, layer: str, point: str) -> "SiteName":
        """Put the two together."""
        text = f"{layer}{SIGN}{point}" if point else layer
        if not layer or not point or text.count(SIGN) != 1:
            raise UserError(
                f"{text!r} names no site; a layer and its reading are written as in conv4@bn5."
            )
        return super().__new__(cls, text)

    def __getnewargs__(self) -> tuple[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What a copy is made of."""
        return self.layer, self.point

    @classmethod
    def parse(cls, text: str) -> "SiteName":
        """The name that a text says.

        Raises:
            UserError: It is no name of a site.
        """
        return cls(*split(text, ""))

    @property
    def layer(self) -> str:
        """Dotted name of the convolution."""
        return self.partition(SIGN)[0]

    @property
    def point(self) -> str:
        """Where its response is read."""
        return self.partition(SIGN)[2]

    @property
    def prose(self) -> str:
        """In a sentence: `conv4 read at bn5`."""
        return f"{self.layer} read at {self.point}"

    @property
    def seeds(self) -> tuple[str, ...]:
        """What a site's random numbers are derived from; at `activation` the layer alone."""
        return (self.layer,) if self.point == PLAIN else (self.layer, self.point)


def split(entry: str, point: str) -> tuple[str, str]:
    """Layer, or pattern of layers, and reading of an entry: its own, or else the one given."""
    layer, sign, own = entry.partition(SIGN)
    return layer, own if sign else point


def named(entries: Iterable[str], readings: Iterable[str]) -> tuple[SiteName, ...]:
    """The sites of some layers: each at its own reading, or else at every one of `readings`.

    Args:
        entries: Layers, some with a reading of their own.
        readings: Of the others.

    Raises:
        UserError: An entry names no site.
    """
    return tuple(
        SiteName(*split(entry, point))
        for entry in entries
        for point in (readings if SIGN not in entry else ("",))
    )


def is_depth(point: str) -> bool:
    """Whether a reading is meant as a number of convolutions behind the site."""
    return re.fullmatch(r"\+[1-9]\d*", point) is not None


def counterpart(name: str, others: Iterable[str]) -> str | None:
    """The same site among others, or else one of the same layer; None: there is none."""
    known = list(others)
    layer = SiteName.parse(name).layer
    alike = (other for other in known if SiteName.parse(other).layer == layer)
    return name if name in known else next(alike, None)


def folder_of(name: str) -> str:
    """Name of a site's folder."""
    return name.replace("/", "_").lstrip(".") or "_"
