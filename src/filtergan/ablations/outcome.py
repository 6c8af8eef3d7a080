"""What ablations came to: each variant over its seeds, and against the base of the same seeds."""

from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from filtergan.config.site_names import counterpart
from filtergan.machine.sheets import Sheet
from filtergan.measures.gates import value_of
from filtergan.runs.record import Record, SiteRecord

COLUMNS = {
    "single_draw_accuracy": "single draws",
    "single_draw_accuracy_min": "worst draw",
    "latent_r2_min": "worst R²",
    "filter_spread": "spread",
    "nearest_real_distance": "nearest real",
    "compensation": "compensation",
    "compensation_null": "its null",
    "image_change": "image change",
}
"""Measures that are compared, and their heads in a table."""


def compare(records: Mapping[str, Mapping[int, Record]]) -> dict[str, Any]:
    """Each variant over its seeds, and against the base of the same seeds.

    A seed's variant and base share the network and the test images, so they are compared in pairs.

    Args:
        records: Records by variant and seed.

    Returns:
        By site of the first variant, and variant: `verdicts` by seed; and `measures`, by name the
        `values` by seed, their `mean`, `low` and `high` (the range), and the same of `less_base`,
        the differences from the base. None where no seed has a value.
    """
    first = next(iter(records.values()), {})
    sites = dict.fromkeys(site for record in first.values() for site in record.sites)
    return {
        site: {
            name: {
                "verdicts": {str(s): _site(r, site).verdict for s, r in seeds.items()},
                "measures": {
                    key: _summary(_values(seeds, site, key))
                    | {"less_base": _less_base(records, name, site, key)}
                    for key in COLUMNS
                },
            }
            for name, seeds in records.items()
        }
        for site in sites
    }


def sheets(found: Mapping[str, Any]) -> list[Sheet]:
    """Two tables for each site: mean and range over seeds, then the differences from the base.

    Args:
        found: What `compare` returns.
    """
    made = []
    for site, variants in found.items():
        for title, part in (("mean and range over seeds", None), ("less base", "less_base")):
            rows = []
            for name, variant in variants.items():
                measures = variant["measures"].values()
                cells = (_cell(m if part is None else m[part]) for m in measures)
                if part is None or name != "base":
                    rows.append([name, verdicts(variant), *cells])
            head = ("variant", "verdicts", *COLUMNS.values())
            made.append(Sheet(f"{site}: {title}", head, rows, words=(1,)))
    return made


def verdicts(variant: Mapping[str, Any]) -> str:
    """How many seeds came to which verdict, as `2 converged, 1 diverged`."""
    counted = Counter(verdict or "not assessed" for verdict in variant["verdicts"].values())
    return ", ".join(f"{count} {verdict}" for verdict, count in counted.items())


def _site(record: Record, name: str) -> SiteRecord:
    """A site of another variant, which may read the layer elsewhere."""
    return record.sites.get(counterpart(name, record.sites) or name, SiteRecord())


def _values(seeds: Mapping[int, Record], site: str, key: str) -> dict[int, float | None]:
    return {seed: value_of(_site(record, site).measures, key) for seed, record in seeds.items()}


def _less_base(
    records: Mapping[str, Mapping[int, Record]], name: str, site: str, key: str
) -> dict[str, Any]:
    own = _values(records[name], site, key)
    base = _values(records.get("base", {}), site, key)
    pairs = {seed: (value, base.get(seed)) for seed, value in own.items()}
    return _summary({s: None if a is None or b is None else a - b for s, (a, b) in pairs.items()})


def _summary(values: Mapping[int, float | None]) -> dict[str, Any]:
    """Values by seed, their mean and their range."""
    there = [value for value in values.values() if value is not None]
    return {
        "values": {str(seed): value for seed, value in values.items()},
        "mean": fmean(there) if there else None,
        "low": min(there, default=None),
        "high": max(there, default=None),
    }


def _cell(summary: Mapping[str, Any]) -> str:
    if summary["mean"] is None:
        return "-"
    low, high = f"{summary['low']:.3f}", f"{summary['high']:.3f}"
    return f"{summary['mean']:.3f}" + (f"\n{low}..{high}" if low != high else "")
