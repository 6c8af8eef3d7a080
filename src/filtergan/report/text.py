"""Numbers, durations, intervals, lists and sentences, as the report prints them."""

from collections.abc import Sequence

from pydantic import BaseModel

from filtergan.figures.style import DASH, MINUS
from filtergan.machine import wording
from filtergan.runs.record import MeasureRecord


def number(value: float | int | None) -> str:
    """A number as it is printed everywhere: four digits that count, a dash for none."""
    if value is None:
        return DASH
    digits = 4 if abs(value) < 2 else 2 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}".replace("-", MINUS)


def brief(value: float | int | None) -> str:
    """A number with two decimals (none from 100 on), for wide tables and for sentences."""
    if value is None:
        return DASH
    shown = round(value, 2) + 0.0  # no minus before a zero
    return f"{shown:,.{2 if abs(value) < 100 else 0}f}".replace("-", MINUS)


def as_key(value: float | None) -> str:
    """A number by which a column is sorted; nothing for none, which comes last."""
    return "" if value is None else str(value)


def cell(measure: MeasureRecord) -> tuple[str, str]:
    """A value and its interval, with two decimals."""
    low, high = measure.ci95
    return brief(measure.value), "" if low is None else f"{brief(low)} to {brief(high)}"


def duration(seconds: float | int | None) -> str:
    """Seconds as `41 s`, `3 min 20 s` or `1 h 05 min`; a dash for none."""
    return DASH if seconds is None else wording.duration(seconds)


def sentence(text: str | None) -> str:
    """A text with a capital at its beginning and a full stop at its end; none stays empty."""
    if not text:
        return ""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def plain(entry: BaseModel | None) -> dict[str, str]:
    """The plain values of a part of the record, as text."""
    found = {}
    for name, value in entry or ():
        if isinstance(value, MeasureRecord):
            value = value.value
        if isinstance(value, float):
            found[name] = number(value)
        elif isinstance(value, list) and len(value) <= 20:
            found[name] = ", ".join(map(str, value))
        elif isinstance(value, str | int):
            found[name] = str(value)
    return found


def shape(sizes: list[int] | None) -> str | None:
    """Sizes as `64 x 64 x 3 x 3`."""
    return " x ".join(map(str, sizes)) if sizes else None


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
