"""Kinds of values that fields of a config take, and what else they are read from."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from filtergan.config.site_names import Recipe

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]
FieldKind = Literal["flow", "gain", "brightness", "blur", "offset", "ground"]
SPECIAL: dict[FieldKind, FieldKind] = {"brightness": "gain", "ground": "offset"}
"""Kinds of fields that are a special case of another: the same in all channels."""
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def normalisation(field: Literal["mean", "std"]) -> BeforeValidator:
    """Takes the name of well-known numbers for them."""
    return BeforeValidator(lambda v: IMAGENET[field] if v in ("imagenet", ["imagenet"]) else v)


def _sides(value: Any) -> Any:
    """Height and width from `N` or `HxW`, as a number, as text, or as the command's list of it."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, int | str):
        sides = str(value).split("x")
        return sides * 2 if len(sides) == 1 else sides
    return value


def _several(value: Any) -> Any:
    """One text in the place of several."""
    return (value,) if isinstance(value, str) else value


sides = BeforeValidator(_sides)
Readings = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
Recipes = Annotated[tuple[Recipe, ...], BeforeValidator(_several), Field(min_length=1)]


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config's values by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        flat |= flattened(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
