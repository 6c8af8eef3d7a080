"""A comparison as tables of text: for the terminal, and for what `written` makes of them."""

import math
from collections.abc import Mapping

from filtergan.compare.comparison import Comparison, Configuration, Row, known, numbered, results_of
from filtergan.machine.sheets import Sheet
from filtergan.measures.contrasts import Difference, Estimate

ALPHA = 0.05
STYLES = {"better": "green", "worse": "red"}


def heading(comparison: Comparison) -> list[str]:
    """The lines above the tables: configurations and notes."""
    return [*map(str, comparison.configurations), *comparison.notes]


def sheets(comparison: Comparison) -> list[Sheet]:
    """A table per site and configuration that is compared with the first."""
    first, *others = comparison.configurations
    if not others:
        return [_seeds_sheet(first, site, rows) for site, rows in comparison.sites.items()]
    return [
        _pair_sheet(site, rows, first.name, other.name)
        for site, rows in comparison.sites.items()
        for other in others
        if any(other.name in row.differences for row in rows.values())
    ]


def _seeds_sheet(configuration: Configuration, site: str, rows: Mapping[str, Row]) -> Sheet:
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
    return Sheet(f"{site}: {numbered('seed', seeds)} of one configuration", head, lines)


def _pair_sheet(site: str, rows: Mapping[str, Row], first: str, other: str) -> Sheet:
    head = ["measure", first, other, f"{other} less {first}", "p (Holm)"]
    lines, styles = [], {}
    for name, row in rows.items():
        if other not in row.differences:
            continue
        test, digits = row.differences[other], _digits(row.differences[other])
        pair = [_with_interval(row.estimates[c], digits) for c in (first, other)]
        decided = _says(name, test, other)
        p = f"{_p(test.p_holm)}\n{decided}".rstrip()
        if style := STYLES.get(decided.rpartition(" ")[2]):
            styles[len(lines)] = style
        lines.append([name, *pair, _with_interval(test, digits), p])
    return Sheet(f"{site}: {other} against {first}", head, lines, styles=styles)


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
    ends = "" if math.isnan(found.low) else f"\n({_interval(found.low, found.high, digits)})"
    return text + ends


def _p(p: float) -> str:
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
