"""A comparison as a file: JSON and CSV hold every number, Markdown and LaTeX what is printed."""

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filtergan.compare.comparison import Comparison
from filtergan.compare.printed import heading, sheets
from filtergan.errors import UserError
from filtergan.machine.files import json_safe, write_atomic
from filtergan.machine.sheets import Sheet
from filtergan.measures.contrasts import Difference, Estimate

SCHEMA = "filtergan-comparison-1"
_ESCAPED = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": "$<$", ">": "$>$", "|": r"\textbar{}"},
    }
)


def write(comparison: Comparison, path: Path) -> None:
    """Write the comparison, whole or not at all, in the form that the ending names.

    Raises:
        UserError: The ending is another, or the file could not be written (exit code 1).
    """
    check_ending(path)
    write_atomic(path, FORMS[path.suffix](comparison).encode())


def check_ending(path: Path) -> None:
    """Refuse a file that `write` would not know how to write.

    Raises:
        UserError: It has none of the endings.
    """
    if path.suffix not in FORMS:
        *others, last = FORMS
        raise UserError(
            f"A comparison is written as {', '.join(others)} or {last}, not to {path}; name such "
            "a file."
        )


def document(comparison: Comparison) -> dict[str, Any]:
    """Everything, as plain values; what is no number is None."""
    configurations = [
        {
            "name": c.name,
            "settings": c.settings,
            "runs": {str(seed): str(path) for seed, path in c.runs.items()},
        }
        for c in comparison.configurations
    ]
    sites = {
        site: {
            name: {
                "estimates": {n: dataclasses.asdict(e) for n, e in row.estimates.items()},
                "differences": {n: dataclasses.asdict(d) for n, d in row.differences.items()},
            }
            for name, row in rows.items()
        }
        for site, rows in comparison.sites.items()
    }
    content = {
        "schema": SCHEMA,
        "configurations": configurations,
        "notes": list(comparison.notes),
        "sites": sites,
    }
    return json_safe(content)


def _json(comparison: Comparison) -> str:
    return json.dumps(document(comparison), indent=2, allow_nan=False) + "\n"


def _csv(comparison: Comparison) -> str:
    """A line for each site, measure and configuration; empty where there is no number."""
    kinds = (Estimate, "", "estimates"), (Difference, "difference_", "differences")
    numbers = [p + field.name for kind, p, _ in kinds for field in dataclasses.fields(kind)]
    text = io.StringIO()
    lines = csv.DictWriter(
        text, ["site", "measure", "configuration", "settings", *numbers], lineterminator="\n"
    )
    lines.writeheader()
    for configuration in comparison.configurations:
        name = configuration.name
        settings = json.dumps(configuration.settings)
        for site, rows in comparison.sites.items():
            for measure, row in rows.items():
                if name not in row.estimates:
                    continue
                line = {"site": site, "measure": measure}
                line |= {"configuration": name, "settings": settings}
                for _, prefix, part in kinds:
                    if found := getattr(row, part).get(name):
                        values = dataclasses.asdict(found).items()
                        line |= {prefix + k: repr(v) if math.isfinite(v) else "" for k, v in values}
                lines.writerow(line)
    return text.getvalue()


def _markdown(comparison: Comparison) -> str:
    lines = ["# Runs compared", "", *(f"- {line}" for line in heading(comparison)), ""]
    for sheet in sheets(comparison):
        lines += [f"## {sheet.title}", ""]
        lines += [_line(sheet.head), _line(["---"] * len(sheet.head)), *map(_line, sheet.rows), ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("\n", " ")


def _latex(comparison: Comparison) -> str:
    told = " ".join(f"{line.rstrip('.')}." for line in heading(comparison))
    head = "% Wants \\usepackage{booktabs}.\n"
    return head + "\n".join(_tabular(sheet, told) for sheet in sheets(comparison))


def _tabular(sheet: Sheet, told: str) -> str:
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escaped(f'{sheet.title}. {told}')}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(sheet.head) - 1)}}}",
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
    return f"    {' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    """Text as LaTeX sets it, with minus signs before numbers."""
    plain = text.replace("\n", " ").translate(_ESCAPED)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", plain)


FORMS: dict[str, Callable[[Comparison], str]] = {
    ".json": _json,
    ".md": _markdown,
    ".csv": _csv,
    ".tex": _latex,
}
"""What a comparison is written as, by the ending of the file."""
