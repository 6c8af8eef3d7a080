"""A comparison as tables for the terminal, as a Markdown page and as JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from filtergan.compare.comparison import Comparison, Configuration, Row, known, numbered, results_of
from filtergan.errors import UserError
from filtergan.machine.files import json_safe, write_atomic
from filtergan.measures.contrasts import Difference, Estimate

SCHEMA = "filtergan-comparison-1"
ALPHA = 0.05

_Sheet = tuple[str, list[str], list[list[str]]]


def tables(comparison: Comparison) -> list[Table]:
    """For the terminal: a table per site and configuration that is compared with the first."""
    shown = []
    for title, head, rows in _sheets(comparison):
        table = Table(title=title, title_style="bold")
        for place, column in enumerate(head):
            table.add_column(column, justify="right" if place else "left", no_wrap=place == 0)
        for row in rows:
            style = {"better": "green", "worse": "red"}.get(row[-1].rpartition(" ")[2])
            table.add_row(*row, style=style)
        shown.append(table)
    return shown


def heading(comparison: Comparison) -> list[str]:
    """The lines above the tables: configurations and notes."""
    return [*map(str, comparison.configurations), *comparison.notes]


def write(comparison: Comparison, path: Path) -> None:
    """Write the comparison, whole or not at all, as JSON or as a Markdown page by the ending.

    Raises:
        UserError: The ending is another, or the file could not be written (exit code 1).
    """
    check_ending(path)
    text = _json(comparison) if path.suffix == ".json" else _markdown(comparison)
    write_atomic(path, text.encode())


def check_ending(path: Path) -> None:
    """Refuse a file that `write` would not know how to write.

    Raises:
        UserError: It ends neither in .json nor in .md.
    """
    if path.suffix not in (".json", ".md"):
        raise UserError(
            f"A comparison is written as .json or .md, not to {path}; name such a file."
        )


def _sheets(comparison: Comparison) -> list[_Sheet]:
    first, *others = comparison.configurations
    if not others:
        return [_seeds_sheet(first, site, rows) for site, rows in comparison.sites.items()]
    return [
        _pair_sheet(site, rows, first.name, other.name)
        for site, rows in comparison.sites.items()
        for other in others
        if any(other.name in row.differences for row in rows.values())
    ]


def _seeds_sheet(configuration: Configuration, site: str, rows: Mapping[str, Row]) -> _Sheet:
    """Runs of one configuration: each seed, and what they say together."""
    results = results_of(configuration, site)
    seeds = list(configuration.runs)
    head = ["measure", *(f"seed {seed}" for seed in seeds), "mean", "95 % interval", "sd of seeds"]
    lines = []
    for name, row in rows.items():
        estimate, found = row.estimates[configuration.name], results[name]
        digits = _digits(estimate)
        each = [_number(found[s].value, digits) if s in found else "-" for s in seeds]
        interval = _interval(estimate.low, estimate.high, digits)
        spread = _number(estimate.sd, digits)
        lines.append([name, *each, _number(estimate.value, digits), interval, spread])
    return f"{site}: {numbered('seed', seeds)} of one configuration", head, lines


def _pair_sheet(site: str, rows: Mapping[str, Row], first: str, other: str) -> _Sheet:
    head = ["measure", first, other, f"{other} less {first}", "p (Holm)", ""]
    lines = []
    for name, row in rows.items():
        if other not in row.differences:
            continue
        test, digits = row.differences[other], _digits(row.differences[other])
        pair = [_with_interval(row.estimates[c], digits) for c in (first, other)]
        lines.append(
            [name, *pair, _with_interval(test, digits), _p(test.p_holm), _says(name, test, other)]
        )
    return f"{site}: {other} against {first}", head, lines


def _says(name: str, test: Difference, other: str) -> str:
    """What a test decides, in two words; empty where it decides nothing."""
    if math.isnan(test.p_holm) or test.p_holm >= ALPHA:
        return ""
    measure = known(name)
    if measure is None or measure.better == "neither":
        return f"{other} {'higher' if test.value > 0 else 'lower'}"
    return f"{other} {'better' if (test.value > 0) == (measure.better == 'higher') else 'worse'}"


def _digits(found: Estimate | Difference) -> int:
    """Decimals that show two digits of half the interval's width."""
    half = (found.high - found.low) / 2
    if math.isnan(half) or half <= 0:
        return 3
    return min(5, max(0, 1 - math.floor(math.log10(half))))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _interval(low: float, high: float, digits: int) -> str:
    return "-" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def _with_interval(found: Estimate | Difference, digits: int) -> str:
    text = _number(found.value, digits)
    return text if math.isnan(found.low) else f"{text} ({_interval(found.low, found.high, digits)})"


def _p(p: float) -> str:
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _markdown(comparison: Comparison) -> str:
    lines = ["# Runs compared", "", *(f"- {line}" for line in heading(comparison)), ""]
    for title, head, rows in _sheets(comparison):
        lines += [f"## {title}", "", *map(_line, (head, ["---"] * len(head), *rows)), ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _json(comparison: Comparison) -> str:
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
    return json.dumps(json_safe(content), indent=2, allow_nan=False) + "\n"
