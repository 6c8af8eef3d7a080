"""A comparison as a file: JSON and CSV hold every number, Markdown and LaTeX what is printed."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filtergan.compare.comparison import Comparison
from filtergan.compare.printed import heading, sheets
from filtergan.machine.files import json_safe, require_ending, write_atomic
from filtergan.machine.typeset import latex, markdown
from filtergan.measures.contrasts import Difference, Estimate

SCHEMA = "filtergan-comparison-1"


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
    require_ending(path, FORMS, "A comparison")


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


FORMS: dict[str, Callable[[Comparison], str]] = {
    ".json": _json,
    ".md": lambda found: markdown("Runs compared", heading(found), sheets(found)),
    ".csv": _csv,
    ".tex": lambda found: latex(heading(found), sheets(found)),
}
"""What a comparison is written as, by the ending of the file."""
