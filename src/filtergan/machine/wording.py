"""Numbers as they are told to people, in the terminal, on the page and in notebooks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # takes a second to import
    import pandas


def count_of(number: int, thing: str) -> str:
    """`1 draw`, `2,000 draws`, `2 processes`."""
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"


def duration(seconds: float | int) -> str:
    """Seconds as `4.1 s`, `41 s`, `3 min 20 s` or `1 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def letter(place: int) -> str:
    """What one of several things beside each other is called: A to Z, then C26, C27, ..."""
    return chr(ord("A") + place) if place < 26 else f"C{place}"


SHOWN = 20
"""Rows that a notebook shows of a long table."""


def as_html(frame: "pandas.DataFrame", escape: bool = True, most: int | None = None) -> str:
    """A table as notebooks show it.

    Args:
        frame: The table.
        escape: Whether its texts are no HTML.
        most: Rows to show, of more the first and the last; None: all.
    """
    return frame.to_html(escape=escape, float_format="{:.3g}".format, na_rep="", max_rows=most)
