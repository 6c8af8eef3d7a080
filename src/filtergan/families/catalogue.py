"""All known families, in the order in which tables show them; a new one is a file and an entry."""

from filtergan.errors import UserError
from filtergan.families.affine import AFFINE
from filtergan.families.blur import BLUR
from filtergan.families.brightness import BRIGHTNESS
from filtergan.families.colour import COLOUR
from filtergan.families.combined import ALL_THREE, BRIGHTNESS_AFFINE, BRIGHTNESS_WIDTH
from filtergan.families.family import Explained, Family, Fixed
from filtergan.families.ground import GROUND
from filtergan.families.noise import NOISE
from filtergan.families.rotation import ROTATION
from filtergan.families.shift import SHIFT
from filtergan.families.size import SIZE
from filtergan.families.slant import SLANT
from filtergan.families.warp import WARP
from filtergan.families.width import WIDTH

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        BRIGHTNESS,
        GROUND,
        COLOUR,
        BLUR,
        WIDTH,
        BRIGHTNESS_WIDTH,
        AFFINE,
        SHIFT,
        ROTATION,
        SLANT,
        SIZE,
        BRIGHTNESS_AFFINE,
        ALL_THREE,
        WARP,
        NOISE,
    )
}

LOW_LEVEL = ("photometric_width", "colour", "photometric")
"""Shares of what the paper calls low-level; the first that was measured stands for the others."""


def explained(channels: int | None = None) -> dict[str, Explained]:
    """Shares that are measured, by their name in the record.

    Args:
        channels: Of the images; by default, of any.
    """
    return {f.explained.name: f.explained for f in _applying(channels) if f.explained}


def references(channels: int | None = None) -> dict[str, Family]:
    """Families that are set beside traversals, by the name of their reference in the record.

    Args:
        channels: Of the images; by default, of any.
    """
    return {f.reference.name: f for f in _applying(channels) if f.reference}


def fixed(channels: int | None = None) -> dict[str, Fixed]:
    """Transformations that ceilings are asked for, by name.

    Args:
        channels: Of the images; by default, of any.
    """
    return {one.name: one for family in _applying(channels) for one in family.fixed}


def to_ask(name: str) -> Family:
    """The family of a name, of those that ceilings are asked for.

    Raises:
        UserError: There is none.
    """
    found = {family.name: family for family in FAMILIES.values() if family.fixed}
    if name not in found:
        raise UserError(f"There is no family {name!r}; choose {', '.join(found)}.")
    return found[name]


def plantable(channels: int | None = None) -> dict[str, Family]:
    """Families that can be planted, by name, in the order of their names.

    Args:
        channels: Of the images; by default, of any.
    """
    return {f.name: f for f in sorted(_applying(channels), key=lambda f: f.name) if f.strength}


def to_plant(name: str) -> Family:
    """The family of a name that `dataset.planted` gives.

    Raises:
        UserError: There is none, or it cannot be planted.
    """
    found = plantable()
    if name not in found:
        raise UserError(f"Nothing called {name!r} can be planted; choose {', '.join(found)}.")
    return found[name]


def _applying(channels: int | None) -> list[Family]:
    return [f for f in FAMILIES.values() if channels is None or f.applies(channels)]
