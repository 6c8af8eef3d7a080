"""Are known changes of images among what a generator's latents do?

For each family the step of latents is sought at which T comes nearest to it, at every natural site
of some runs; what is found already is not sought again. The answers stand in
results/family_steps/record.json, by the last two folders of a run.

    python studies/family_steps.py RUN [RUN ...] --data path/to/mnist
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from error_sets import key_of

import filtergan as fg
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.study.measuring.of_families import steps_at

RECORD = Path(__file__).parents[1] / "results" / "family_steps" / "record.json"
FAMILIES = ("brightness", "blur", "width", "shift", "rotation", "slant", "size")


def main() -> None:
    """Seek what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", default="ylecun/mnist", help="MNIST: a folder, or a Hub name")
    parser.add_argument("--name", help="of the run in the record [default: its last two folders]")
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for path in arguments.runs:
        run = fg.open_run(path, data=arguments.data)
        entry = found.setdefault(arguments.name or key_of(path), {"git": git_state(), "sites": {}})
        for name in map(SiteName.parse, run.sites):
            if name.recipe == NATURAL and str(name) not in entry["sites"]:
                steps = steps_at(run, name, FAMILIES)
                entry["sites"][str(name)] = {key: one.record for key, one in steps.items()}
                RECORD.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")


def rows_of(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: a row for each change of images, three cells for each site."""
    sites = {
        (run if len(found) > 1 else "", site): steps
        for run, entry in found.items()
        for site, steps in entry["sites"].items()
    }
    names = dict.fromkeys(name for steps in sites.values() for name in steps)
    head = ["change of images"]
    for run, site in sites:
        where = f"{run} {site.partition('/')[0]}".strip()
        head += [f"{where}: share", "undone"]
    found_at = list(sites.values())
    return head, [[n, *(c for steps in found_at for c in _cells(steps.get(n)))] for n in names]


def _cells(one: Mapping[str, Any] | None) -> list[str]:
    if one is None:
        return ["-", "-"]
    return [_value(one["share"]), _value(one["compensation"])]


def _value(one: Mapping[str, Any]) -> str:
    low, high = one["ci95"]
    ends = "" if low is None else f" ({low:.2f} to {high:.2f})"
    return f"{one['value']:.2f}{ends}; null {one['null']:.2f}"


if __name__ == "__main__":
    main()
