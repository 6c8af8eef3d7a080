"""What limits a transformer: the leading directions of the sites of a run, and their ceilings.

A generator with so many latents, whose transformer undoes all of them alike, can be expected to
undo about as much as filters undo of as many leading directions, taken one by one. The spectrum
knows nothing of the generator; its fields are the same for all images, T's are not.

    python studies/site_spectra.py RUN --data path/to/mnist

`RUN` is seed 0 of `filtergan study mnist --recipe natural`. Writes results/spectra/record.json and
a figure for each site; sites that stand there already are not asked again.
"""

import json
import time
from pathlib import Path
from typing import Any

from opening import opened

import filtergan as fg
from filtergan.figures import save
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.study.opened import OpenedRun

FOLDER = Path(__file__).parents[1] / "results" / "spectra"
RECORD = FOLDER / "record.json"
GRID, DIRECTIONS = 4, 12
LOOKED_AT, SHOWN = 64, 2  # test images over which kinds are compared, and that are in the figure
Rows = tuple[list[str], list[list[str]]]


def main() -> None:
    """Ask the sites that are missing."""
    run = opened(__doc__, "a finished run with natural sites")
    found = recorded()
    for name in run.sites:
        if name not in found:
            found[name] = _asked(run, name)
            FOLDER.mkdir(parents=True, exist_ok=True)
            write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")


def recorded() -> dict[str, Any]:
    """Content of the record."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def _asked(run: OpenedRun, name: str) -> dict[str, Any]:
    """The spectrum of a site, and what its transformer undoes."""
    data, begun = run.dataset, time.perf_counter()
    kinds = run.config.natural.fields
    spectrum = fg.spectrum_of(
        run.site(name), data.train.images, data.test.images, kinds, GRID, DIRECTIONS
    )
    seconds = time.perf_counter() - begun
    looked_at = data.test.pixels(slice(LOOKED_AT))
    save(spectrum.figure(looked_at[:SHOWN]), FOLDER / f"{name.partition('/')[0]}.png")
    undone = run.measures(name)["compensation"]
    quantiles = undone.quantiles or {}
    return {
        "git": git_state(),
        "seed": run.config.seed,
        "seconds": seconds,
        "ridge": spectrum.ridge,
        "latents": run.gan(name).latent,
        "undone": {"median": quantiles.get("0.5"), "mean": undone.value, "null": undone.null},
        "directions": spectrum.directions(looked_at),
    }


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each direction, columns of each site."""
    head = ["direction"]
    for name in found:
        site = name.partition("/")[0]
        head += [f"{site}: mostly", "to first order (null)", "at a visible size (null)"]
    count = max((len(one["directions"]) for one in found.values()), default=0)
    lines = []
    for i in range(count):
        line = [str(i + 1)]
        for one in found.values():
            own = one["directions"][i]
            most = max(own["kinds"], key=own["kinds"].__getitem__)
            ceiling = own["ceiling"]
            line += [
                f"{most} {own['kinds'][most]:.0%}",
                f"{own['share']:.2f} ({own['null']:.2f})",
                f"{ceiling['value']:.2f} ({ceiling['null']:.2f})",
            ]
        lines.append(line)
    return head, lines


def limits_of(found: dict[str, Any]) -> Rows:
    """Beside what T undoes: mean share and ceiling of as many directions as there are latents."""
    lines = []
    for name, one in found.items():
        leading = one["directions"][: one["latents"]]
        share, ceiling, null = (
            sum(values) / len(values)
            for values in (
                [own["share"] for own in leading],
                [own["ceiling"]["value"] for own in leading],
                [own["ceiling"]["null"] for own in leading],
            )
        )
        undone = one["undone"]
        lines.append(
            [
                name.partition("/")[0],
                str(one["latents"]),
                f"{share:.2f}",
                f"{ceiling:.2f} ({null:.2f})",
                f"{undone['median']:.2f} ({undone['null']:.2f})",
            ]
        )
    head = [
        "site",
        "latents",
        "to first order: mean share of as many directions",
        "at a visible size: their mean ceiling (null)",
        "undone by T, median (null, mean)",
    ]
    return head, lines


if __name__ == "__main__":
    main()
