"""Planted truth on MNIST: is an invariance that a network must have found again? (`make planted`).

For every seed a plain network and four with a known invariance are studied; what is finished is
not done again, an interrupted study goes on. `make planted` puts the records into
results/planted/<kind>/seed<k>, and `make results` makes the table of RESULTS.md from them.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from evidence import over_seeds

from filtergan import study
from filtergan.config.presets import preset
from filtergan.families.catalogue import plantable
from filtergan.families.family import Family
from filtergan.game.training import Diverged
from filtergan.measures.contrasts import Estimate, difference, pool
from filtergan.runs.reading import read_record
from filtergan.runs.record import Found, Record, SiteRecord

RESULTS = Path(__file__).parents[1] / "results" / "planted"


def _asked(family: Family) -> tuple[str, ...]:
    """The share of its family, the slope of its morphometric, and the variance by its reference."""
    known, strength = family.within or family, family.strength
    names = (
        known.explained and f"explained_{known.explained.name}",
        strength and strength.morphometric and f"slope of {strength.morphometric}",
        known.reference and f"normalized_variance_{known.reference.name}",
    )
    return tuple(name for name in names if name)


KINDS = {name: names for name, family in plantable(channels=1).items() if (names := _asked(family))}
"""The measures that are asked of each planted kind."""


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="ylecun/mnist", help="MNIST: a folder, or a Hub name")
    parser.add_argument("--runs", type=Path, default=Path("runs/planted"), help="run directories")
    parser.add_argument("--kinds", nargs="+", choices=("none", *KINDS), default=("none", *KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    arguments = parser.parse_args()
    queue = list(product(arguments.seeds, arguments.kinds))
    for number, (seed, kind) in enumerate(queue, 1):
        name = f"{kind}/seed{seed}"
        print(f"study {number} of {len(queue)}: {name}", file=sys.stderr, flush=True)
        _study(kind, seed, arguments.data, arguments.runs / name)


def _study(kind: str, seed: int, data: str, path: Path) -> None:
    base = preset("planted")
    dataset = base.dataset.model_copy(update={"planted": None if kind == "none" else kind})
    config = base.model_copy(update={"data": data, "seed": seed, "dataset": dataset})
    try:
        study.run(config, path, resume=True)
    except Diverged as error:
        print(f"{path}: {error}", file=sys.stderr, flush=True)  # its record says so as well


# ------------------------------------------------------------------------------------- the table


def rows(results: Path = RESULTS) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table: every kind and site against the plain study of the same seed.

    Args:
        results: Folder of the records.
    """
    found = {kind: _records(results / kind) for kind in ("none", *KINDS)}
    seeds = sorted(set(found["none"]) & set().union(*(found[kind] for kind in KINDS)))
    head = ["planted", "site", "measure", *(f"seed {s}: planted; plain" for s in seeds), "right"]
    lines = []
    for kind, names in KINDS.items():
        pairs = {s: (found[kind][s], found["none"][s]) for s in seeds if s in found[kind]}
        for site in next(iter(pairs.values()))[0].sites if pairs else ():
            for name in names:
                lines.append([kind, site, name, *_cells(name, site, pairs, seeds)])
    return head, lines


def by_kind(results: Path = RESULTS) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of all families in all kinds of network: is what is found its own?

    Args:
        results: Folder of the records.
    """
    studied = [kind for kind in KINDS if (results / kind).is_dir()]
    names = list(dict.fromkeys(name for kind in studied for name in KINDS[kind]))
    shares = [name for name in names if name.startswith("explained")]
    columns = [(name, part) for name in shares for part in ("measures", "null")]
    columns += [(name, "measures") for name in names if name.startswith("normalized")]
    head = [name if part == "measures" else f"its {part}" for name, part in columns]
    lines = []
    for kind in ("none", *studied):
        of_kind = _records(results / kind).values()
        sites = {site: None for record in of_kind for site in record.sites}
        for site in sites:
            entries = [record.sites[site] for record in of_kind]
            cells = (
                over_seeds([_found(entry, part)[name].value for entry in entries])
                for name, part in columns
            )
            lines.append([kind, site, *cells])
    return ["planted", "site", *head], lines


def _found(entry: SiteRecord, part: str) -> Found:
    return entry.measures if part == "measures" else entry.references[part]


def _cells(
    name: str, site: str, pairs: Mapping[int, tuple[Record, Record]], seeds: Sequence[int]
) -> list[str]:
    """A cell for each seed, and how many rank right: in direction, and beyond their interval."""
    cells, right, beyond, of = [], 0, 0, 0
    sign = -1 if name.startswith("normalized_variance") else 1
    for seed in seeds:
        planted, plain = (_estimate(r, site, name) for r in pairs.get(seed, (None, None)))
        cells.append(f"{_shown(planted)}; {_shown(plain)}")
        if planted is not None and plain is not None:
            test = difference(planted, plain)
            of += 1
            right += sign * test.value > 0
            beyond += sign * (test.low if sign > 0 else test.high) > 0
    return [*cells, f"{right} of {of}, {beyond} beyond the interval"]


def _estimate(record: Record | None, site: str, name: str) -> Estimate | None:
    measures = record.sites[site].measures if record and site in record.sites else {}
    if name.startswith("slope of "):
        return _slope(measures, name.removeprefix("slope of "))
    result = measures.get(name)
    return None if result is None or result.value is None else pool([result])


def _slope(measures: Found, morphometric: str) -> Estimate | None:
    """Length of the vector of a morphometric's slopes on all latents: its slope on the steepest.

    It does not depend on which latent took it over. What noise adds to a squared length, the sum
    of the variances, is taken off; the error of the length is that along the vector.
    """
    slopes = [v for k, v in measures.items() if k.startswith(f"slope_{morphometric}_z")]
    if not slopes or any(slope.value is None for slope in slopes):
        return None
    found = [pool([slope]) for slope in slopes]
    noise = math.fsum(e.variance for e in found)
    raw = math.fsum(e.value**2 for e in found)
    length = math.sqrt(max(raw - noise, 0.0))
    variance = math.fsum(e.value**2 * e.variance for e in found) / raw if raw > 0 else math.nan
    half = 1.959964 * math.sqrt(variance)
    freedom = found[0].freedom
    return Estimate(length, max(length - half, 0.0), length + half, variance, freedom, 1, math.nan)


def _shown(found: Estimate | None) -> str:
    if found is None:
        return "-"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _records(folder: Path) -> dict[int, Record]:
    records = [read_record(path.parent) for path in folder.glob("seed*/record.json")]
    return {record.seed: record for record in records}


if __name__ == "__main__":
    main()
