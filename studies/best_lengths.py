"""Does a longer step of the fitted filters let images take back more? Ceilings at both lengths.

Filters that are fitted to a change of images leave the least of its effect. The share of what they
change themselves that the images take back may be larger where they go further the same way. So
both are told of every known change, beside the expressible share, which to first order is the most
that any length reaches. The answers stand in results/best_lengths/record.json, by run, and the
figure of the first beside it; without a run it is drawn anew.

    python studies/best_lengths.py RUN [RUN ...] --data path/to/mnist
"""

import argparse
import json
from pathlib import Path
from typing import Any

from error_sets import key_of
from matplotlib.figure import Figure

import filtergan as fg
from filtergan.ceilings.ceiling import ceilings_of
from filtergan.config.site_names import SiteName
from filtergan.figures import ceilings_figure, save
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.runs.record import CeilingRecord

RECORD = Path(__file__).parents[1] / "results" / "best_lengths" / "record.json"
SITES = ("conv4@bn5", "conv4@activation", "conv2@activation")
Found = dict[str, dict[str, Any]]


def main() -> None:
    """Find the ceilings of each run's network, and add them to the record site by site."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--data", help="their images, where they have moved")
    parser.add_argument("--sites", nargs="+", default=SITES, help="as layer@reading")
    arguments = parser.parse_args()
    git = git_state()
    found: Found = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for path in arguments.runs:
        run = fg.open_run(path, data=arguments.data)
        entry = {"git": git, "machine": machine("cpu"), "sites": {}}
        found[key_of(path)] = entry
        for name in arguments.sites:
            entry["sites"][name] = ceilings(run, SiteName.parse(name))
            RECORD.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    if found:
        save(drawn(next(iter(found.values()))), RECORD.with_name("ceilings.png"))
    for line in rows_of(found)[1]:
        print(" | ".join(line))


def drawn(entry: dict[str, Any]) -> Figure:
    """The figure of one run's ceilings."""
    return ceilings_figure(
        {
            site: {change: CeilingRecord.model_validate(one) for change, one in of.items()}
            for site, of in entry["sites"].items()
        }
    )


def ceilings(run: Any, name: SiteName) -> dict[str, Any]:
    """Of all known changes of images, as records have them."""
    data, config = run.dataset, run.config
    site = fg.Site(run.network, name.layer, data.train.pixels(slice(2)), name.point)
    train, test = data.train.images, data.test.images
    found = ceilings_of(site, train, test, config=config.ceilings, seed=config.seed)
    return {change: one.said for change, one in found.items()}


def rows_of(found: Found) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: a change of images, with the range over runs at each site."""
    sites = list(dict.fromkeys(site for run in found.values() for site in run["sites"]))
    changes = dict.fromkeys(c for run in found.values() for s in run["sites"].values() for c in s)
    lines = []
    for change in changes:
        cells = []
        for site in sites:
            of = [run["sites"][site][change] for run in found.values() if site in run["sites"]]
            records = [CeilingRecord.model_validate(one) for one in of]
            fitted = [one.compensation.value for one in records]
            share = [one.share.value for one in records]
            best = [one.undone.value for one in records]
            null = [one.undone.null for one in records]
            cells.append(
                f"{_range(fitted)}; {_range(share)}; **{_range(best)}**; null {_range(null)}"
            )
        lines.append([change, *cells])
    head = [f"{site}: as fitted; share; at the best length" for site in sites]
    return ["change of images", *head], lines


def _range(values: list[float | None]) -> str:
    known = [f"{value:.2f}" for value in sorted(v for v in values if v is not None)]
    if not known:
        return "-"
    return known[0] if known[0] == known[-1] else f"{known[0]} to {known[-1]}"


if __name__ == "__main__":
    main()
