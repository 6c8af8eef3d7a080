"""Tables of text that fit the terminal: what is too wide is wrapped or divided, never cut."""

import dataclasses
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNSEEN = 160
"""Columns where no terminal says how many there are."""
NAME = 10
"""Least width that a row's name is wrapped to while there are other ways to save room."""

_BREAKS = re.compile(r"(?<=[_@/])|(?<=[^\d\s]\.)|(?<=\.)(?=\D)|(?=\s)")


@dataclass(frozen=True)
class Sheet:
    """A table whose cells are text.

    Attributes:
        title: Above it.
        head: Of the columns; the first one's cells name the rows.
        rows: Cells; a line break in one is taken where there is no room for it on a line; brackets
            around what then stands on a line of its own are left out.
        caption: Below it.
        words: Places of columns, beside the first, that hold words, which may be wrapped; all
            others hold numbers, and stand on the right.
        styles: Of rows, by place.
        title_style: Of the title.
        caption_style: Of the caption.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str | None = None
    words: Sequence[int] = ()
    styles: Mapping[int, str] = field(default_factory=dict)
    title_style: str = "bold"
    caption_style: str = "none"


def console() -> Console:
    """What results are printed on: as wide as the terminal, or as COLUMNS says, or `UNSEEN`."""
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(width=None if known else UNSEEN, markup=False, highlight=False)


def show(*sheets: Sheet) -> None:
    """Print sheets on stdout."""
    screen = console()
    for place, sheet in enumerate(sheets):
        screen.print(*[""][:place], *fitted(sheet, screen.width), sep="\n")


def fitted(sheet: Sheet, width: int) -> list[Table | Text]:
    """A sheet as one table, or where it is too wide as several, of some of its columns each.

    What can be is first set on two lines and closer together, and names are wrapped. Title and
    caption stand above and below.
    """
    below = [] if sheet.caption is None else [Text(sheet.caption, sheet.caption_style)]
    return [Text(sheet.title, sheet.title_style), *_tables(sheet, width), *below]


def _tables(sheet: Sheet, width: int) -> list[Table]:
    flat = [[cell.replace("\n", " ") for cell in row] for row in sheet.rows]
    sheet = dataclasses.replace(sheet, rows=[[_bare(cell) for cell in row] for row in sheet.rows])
    columns = list(range(len(sheet.head)))
    whole = [_widest(sheet, flat, c) for c in columns]
    if sum(whole) + 2 * len(columns) - 2 <= width:
        return [_table(sheet, flat, dict(zip(columns, whole, strict=True)), 2)]
    for gap in (2, 1):
        if widths := _narrowed(sheet, columns, width, gap):
            return [_table(sheet, sheet.rows, widths, gap)]
    return _divided(sheet, width)


def _bare(cell: str) -> str:
    """A cell on several lines, of which those in brackets do without."""
    return re.sub(r"\n\((.*)\)", r"\n\1", cell)


def _divided(sheet: Sheet, width: int) -> list[Table]:
    """Tables of as many columns each as there is room for, the first column in all of them."""
    parts: list[dict[int, int]] = []
    for column in range(1, len(sheet.head)):
        wider = _narrowed(sheet, [*parts[-1], column], width, 1) if parts else None
        if wider is not None:
            parts[-1] = wider
            continue
        own = _widest(sheet, sheet.rows, column)
        parts.append(
            _narrowed(sheet, [0, column], width, 1) or {0: max(1, width - own - 1), column: own}
        )
    return [_table(sheet, sheet.rows, one, 1) for one in parts]


def _narrowed(sheet: Sheet, columns: Sequence[int], width: int, gap: int) -> dict[int, int] | None:
    """Widths of columns that fit, the widest made narrower; None: there are none."""
    found = {c: _widest(sheet, sheet.rows, c) for c in columns}
    least = {c: min(found[c], _narrowest(sheet, c)) for c in columns}
    while sum(found.values()) + gap * (len(columns) - 1) > width:
        able = [c for c in columns if found[c] > least[c]]
        if not able:
            return None
        found[max(able, key=found.__getitem__)] -= 1
    return found


def _widest(sheet: Sheet, rows: Sequence[Sequence[str]], column: int) -> int:
    """Characters of a column's longest line."""
    cells = (sheet.head[column], *(row[column] for row in rows))
    return max(cell_len(line) for cell in cells for line in cell.split("\n"))


def _narrowest(sheet: Sheet, column: int) -> int:
    """Characters to which a column can be wrapped: heads and words can, numbers cannot."""
    cells = [line for row in sheet.rows for line in row[column].split("\n")]
    words = [sheet.head[column], *(cells if _wraps(sheet, column) else ())]
    parts = [part.strip() for text in words for part in _parts(text)]
    least = NAME if column == 0 else 1
    return max(least, *map(cell_len, parts if _wraps(sheet, column) else [*parts, *cells]))


def _wraps(sheet: Sheet, column: int) -> bool:
    return column == 0 or column in sheet.words


def _table(
    sheet: Sheet,
    rows: Sequence[Sequence[str]],
    widths: Mapping[int, int],
    gap: int,
) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
    )
    for c, size in widths.items():
        side = "left" if _wraps(sheet, c) else "right"
        table.add_column(wrap(sheet.head[c], size), justify=side, width=size, overflow="fold")
    for place, row in enumerate(rows):
        cells = (wrap(row[c], size) if _wraps(sheet, c) else row[c] for c, size in widths.items())
        table.add_row(*cells, style=sheet.styles.get(place))
    return table


def wrap(text: str, width: int) -> str:
    """A text in lines of so many characters, broken at spaces, or within names as `_parts` has it.

    What cannot be broken is left as long as it is.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines.append("")
        for part in _parts(line):
            if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
                lines.append("")
            lines[-1] += part if lines[-1] else part.lstrip()
    return "\n".join(line.rstrip() for line in lines)


def _parts(text: str) -> list[str]:
    """The pieces between which a text may be broken: words, and names after `_`, `@`, `/`, dots."""
    return [part for part in _BREAKS.split(text) if part]
