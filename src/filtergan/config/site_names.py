"""Names of sites: a layer, where its response is read, and the recipe: `conv4@bn5/natural`."""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from filtergan.errors import UserError

SIGN = "@"
"""Stands between layer and reading; no module's name may hold it."""
PLAIN = "activation"
"""The reading of the paper: the site's own normalisation and activation function."""
Recipe = Literal["paper", "natural"]
"""How a generator is made: by the paper's game, or together with a transformer of images that has
to undo what its filters change."""
PAPER: Recipe = "paper"
"""The recipe that a name does not mention."""
NATURAL: Recipe = "natural"
RECIPES: tuple[Recipe, ...] = get_args(Recipe)


class SiteName(str):
    """A layer together with a reading, and the recipe by which its generator is made.

    As text, which is what records are keyed by, it is `layer@point` for the paper's recipe, and
    `layer@point/recipe` for another.

    Args:
        layer: Dotted name of the convolution.
        point: `conv`, `activation`, the dotted name of a later module, or a depth such as `+1`.
        recipe: One of `RECIPES`.

    Raises:
        UserError: Layer or point is empty or holds an `@`, or the point ends like a recipe.
    """

    __slots__ = ()

    def __new__(cls, layer: str, point: str, recipe: Recipe = PAPER) -> "SiteName":
        """Put them together."""
        text = f"{layer}{SIGN}{point}" if point else layer
        if not layer or not point or text.count(SIGN) != 1 or split(text).recipe:
            raise UserError(
                f"{text!r} names no site; a layer and its reading are written as in conv4@bn5."
            )
        return super().__new__(cls, text if recipe == PAPER else f"{text}/{recipe}")

    def __getnewargs__(self) -> tuple[str, str, Recipe]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What a copy is made of."""
        return self.layer, self.point, self.recipe

    @classmethod
    def parse(cls, text: str) -> "SiteName":
        """The name that a text says.

        Raises:
            UserError: It is no name of a site.
        """
        layer, point, recipe = split(text)
        return cls(layer, point or "", recipe or PAPER)

    def under(self, recipe: Recipe) -> "SiteName":
        """The same layer and reading under a recipe."""
        return SiteName(self.layer, self.point, recipe)

    @property
    def layer(self) -> str:
        """Dotted name of the convolution."""
        return split(self).layer

    @property
    def point(self) -> str:
        """Where its response is read."""
        return split(self).point or ""

    @property
    def recipe(self) -> Recipe:
        """How its generator is made."""
        return split(self).recipe or PAPER

    @property
    def prose(self) -> str:
        """In a sentence: `conv4 read at bn5`, in brackets a recipe not the paper's."""
        said = f"{self.layer} read at {self.point}"
        return said if self.recipe == PAPER else f"{said} ({self.recipe})"

    @property
    def seeds(self) -> tuple[str, ...]:
        """What a site's random numbers are derived from; at `activation` the layer alone.

        A recipe other than the paper's is the last of them.
        """
        plain = (self.layer,) if self.point == PLAIN else (self.layer, self.point)
        return plain if self.recipe == PAPER else (*plain, f"/{self.recipe}")


class Entry(NamedTuple):
    """Parts of what a layer is asked for with; None: not said, so the study's ones hold.

    Attributes:
        layer: A layer, or a pattern of some.
        point: Its own reading.
        recipe: Its own recipe.
    """

    layer: str
    point: str | None
    recipe: Recipe | None

    def recipes(self, others: Iterable[Recipe]) -> Iterable[Recipe]:
        """Its own, or else the others."""
        return others if self.recipe is None else (self.recipe,)


def split(text: str) -> Entry:
    """The parts of an entry or a name; after a `/` only what is exactly a recipe counts as one."""
    found: list[Recipe] = [r for r in RECIPES if text.endswith(f"/{r}")]
    recipe = found[0] if found else None
    site = text if recipe is None else text[: -len(recipe) - 1]
    layer, sign, own = site.partition(SIGN)
    return Entry(layer, own if sign else None, recipe)


def named(
    entries: Iterable[str], readings: Iterable[str], recipes: Iterable[Recipe] = (PAPER,)
) -> tuple[SiteName, ...]:
    """The sites of some layers: each at its own reading and recipe, or else at every one of these.

    Args:
        entries: Layers, some with a reading or a recipe of their own.
        readings: Of the others.
        recipes: Of the others.

    Raises:
        UserError: An entry names no site.
    """
    return tuple(
        SiteName(one.layer, point, recipe)
        for one in map(split, entries)
        for point in (readings if one.point is None else (one.point,))
        for recipe in one.recipes(recipes)
    )


def is_depth(point: str) -> bool:
    """Whether a reading is meant as a number of convolutions behind the site."""
    return re.fullmatch(r"\+[1-9]\d*", point) is not None


def counterpart(name: str, others: Iterable[str]) -> str | None:
    """The same site among others, or else one of its layer and recipe; None: there is none."""
    known, own = list(others), SiteName.parse(name)
    sites = map(SiteName.parse, known)
    alike = (s for s in sites if (s.layer, s.recipe) == (own.layer, own.recipe))
    return name if name in known else next(alike, None)


def folder_of(name: str) -> str:
    """Name of a site's folder."""
    return name.replace("/", "_").lstrip(".") or "_"
