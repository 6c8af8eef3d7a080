"""The help of a command, as wide as the terminal."""

import argparse
import re
import textwrap
from itertools import groupby

LEAST = 11
"""Characters of a line, however narrow the terminal; argparse has as many."""

_ROW = re.compile(r" +\S.*? {2,}(?=\S)")
"""What stands before the meaning in a row of a table."""


class Wrapped(argparse.HelpFormatter):
    """Wraps what a description says: paragraphs, and the meanings in tables below their beginning.

    A line that begins with spaces is a row of a table where two or more stand before its meaning,
    else a command, which is left as it is.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled: list[str] = []
        for whole, lines in groupby(text.splitlines(), lambda line: line[:1] in ("", " ")):
            for line in lines if whole else [" ".join(lines)]:
                row = _ROW.match(line)
                filled += (
                    [line] if whole and not row else _hung(line, row.end() if row else 0, width)
                )
        return "\n".join(indent + line for line in filled)


def _hung(line: str, hang: int, width: int) -> list[str]:
    """A line wrapped to a width; its parts but the first begin so many characters further on."""
    parts = textwrap.wrap(line[hang:], max(width - hang, LEAST), break_on_hyphens=False)
    return [(" " * hang if place else line[:hang]) + part for place, part in enumerate(parts)]
