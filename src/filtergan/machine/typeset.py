"""Sheets as Markdown and as LaTeX."""

import re
from collections.abc import Iterable, Sequence

from filtergan.machine.sheets import Sheet

_ESCAPED = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": "$<$", ">": "$>$", "|": r"\textbar{}"},
    }
)


def markdown(title: str, lines: Iterable[str], sheets: Iterable[Sheet]) -> str:
    """A page: its title, lines as a list, and each sheet under its own title."""
    page = [f"# {title}", "", *(f"- {line}" for line in lines), ""]
    for sheet in sheets:
        page += [f"## {sheet.title}", ""]
        page += [_line(sheet.head), _line(["---"] * len(sheet.head)), *map(_line, sheet.rows), ""]
        page += [sheet.caption, ""] if sheet.caption else []
    return "\n".join(page)


def latex(lines: Iterable[str], sheets: Iterable[Sheet]) -> str:
    """A table (booktabs) for each sheet, whose caption ends with the lines."""
    told = [f"{line.rstrip('.')}." for line in lines]
    head = "% Wants \\usepackage{booktabs}.\n"
    return head + "\n".join(_tabular(sheet, told) for sheet in sheets)


def escaped(text: str) -> str:
    """Text as LaTeX sets it, with minus signs before numbers."""
    plain = text.replace("\n", " ").translate(_ESCAPED)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", plain)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("\n", " ")


def _tabular(sheet: Sheet, told: Sequence[str]) -> str:
    title = sheet.title if sheet.title.endswith("?") else f"{sheet.title}."
    caption = " ".join([title, *([sheet.caption] if sheet.caption else []), *told])
    sides = ("l" if c == 0 or c in sheet.words else "r" for c in range(len(sheet.head)))
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(caption)}}}",
        rf"  \begin{{tabular}}{{{''.join(sides)}}}",
        r"    \toprule",
        _row(sheet.head),
        r"    \midrule",
        *map(_row, sheet.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"    {' & '.join(map(escaped, cells))} \\\\"
