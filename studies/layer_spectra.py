"""Spectra of every layer of a CIFAR-10 network: which kinds of change filters undo best, by depth.

No change of images is named beforehand: directions are mixtures of smooth fields (flow; gain and
offset of each channel; blur). Of each layer the leading ones are told by the kinds of field that
make them up.

    python studies/layer_spectra.py RUN --data path/to/cifar10

`RUN` holds a trained network. Writes results/layers/spectra.json and its figure; layers that stand
there already are not asked again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

import filtergan as fg
from filtergan.figures import save
from filtergan.figures.style import page, styled
from filtergan.images.image_fields import APART, FieldSpace
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.sites.convolution import convolutions
from filtergan.sites.wrappers import unwrapped
from filtergan.study.opened import OpenedRun

FOLDER = Path(__file__).parents[1] / "results" / "layers"
RECORD = FOLDER / "spectra.json"
GRID, DIRECTIONS, SEED = 4, 8, 0
LOOKED_AT = 64  # test images over which kinds are compared
KINDS = {
    "light and tint": ("gain", "offset"),
    "texture": ("blur",),
    "pose": ("flow",),
}
"""What the fields of a kind are said to be."""
Rows = tuple[list[str], list[list[str]]]


def main() -> None:
    """Ask the layers that are missing, and draw all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run whose network is trained")
    parser.add_argument("--data", help="its images, where they have moved")
    arguments = parser.parse_args()
    run = fg.open_run(arguments.run, data=arguments.data)
    assert run.record.cnn is not None  # it was read
    network = run.record.cnn.sha256
    # The state of the tree before the record changes it.
    git, found = git_state(), recorded() or {"network": network}
    if found["network"] != network:
        raise SystemExit(f"{RECORD} is of another network; remove it.")
    found["chance"] = by_chance(run.dataset.test.pixels(slice(LOOKED_AT)))
    layers = found.setdefault("layers", {})
    for layer in convolutions(unwrapped(run.network)):
        if layer not in layers:
            layers[layer] = {"git": git} | _asked(run, layer)
            write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    save(figure(found), FOLDER / "spectra.png")


def by_chance(x: Tensor) -> dict[str, float]:
    """Of what kinds of field a mixture at random is made, its coefficients all of one variance."""
    space = FieldSpace(tuple(x.shape[1:]), APART, GRID)
    squared = space.tangents(x).flatten(1).square().sum(1)
    sizes = [channels * GRID**2 for channels in space.channels.values()]
    parts = [float(part.sum()) for part in squared.split(sizes)]
    return {kind: part / sum(parts) for kind, part in zip(space.channels, parts, strict=True)}


def recorded() -> dict[str, Any]:
    """Content of the record."""
    return json.loads(RECORD.read_bytes()) if RECORD.exists() else {}


def _asked(run: OpenedRun, layer: str) -> dict[str, Any]:
    data, begun = run.dataset, time.perf_counter()
    site = fg.Site(run.network, layer, data.test.images)
    images = data.train.images, data.test.images
    spectrum = fg.spectrum_of(site, *images, APART, GRID, DIRECTIONS, seed=SEED)
    return {
        "seconds": time.perf_counter() - begun,
        "directions": spectrum.directions(data.test.pixels(slice(LOOKED_AT))),
    }


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each direction, a column for each layer."""
    layers = found.get("layers", {})
    columns = [[_told(own) for own in one["directions"]] for one in layers.values()]
    return ["direction", *layers], [
        [str(i), *line] for i, line in enumerate(zip(*columns, strict=True), 1)
    ]


def _told(own: dict[str, Any]) -> str:
    parts = parts_of(own["kinds"])
    most = max(parts, key=parts.__getitem__)
    ceiling = own["ceiling"]
    return f"{most} {parts[most]:.0%}: {ceiling['value']:.2f} (null {ceiling['null']:.2f})"


def parts_of(kinds: dict[str, float]) -> dict[str, float]:
    """How much of a change is of each of `KINDS`, from the shares of kinds of field."""
    return {kind: sum(kinds[one] for one in fields) for kind, fields in KINDS.items()}


def undone_of(directions: list[dict[str, Any]]) -> dict[str, float]:
    """How many directions' worth of each kind filters undo at a visible size.

    The sum over directions of what is undone, nothing where filters make it worse, by what each
    direction is made of.
    """
    whole = [(_not_worse(own["ceiling"]["value"]), parts_of(own["kinds"])) for own in directions]
    return {kind: sum(undone * parts[kind] for undone, parts in whole) for kind in KINDS}


def null_of(directions: list[dict[str, Any]]) -> float:
    """The same of random filters, all kinds together."""
    return sum(_not_worse(own["ceiling"]["null"]) for own in directions)


def _not_worse(undone: float) -> float:
    return max(0.0, undone)


def sums_of(found: dict[str, Any]) -> Rows:
    """A line for each layer: what is undone of each kind, in all, and by random filters.

    The ends are the sums of those of all directions, as if all erred together. The last line has
    the kinds that a mixture at random is made of.
    """
    lines = []
    for layer, one in found.get("layers", {}).items():
        directions = one["directions"]
        parts = undone_of(directions)
        low, high = (
            sum(map(_not_worse, ends))
            for ends in zip(*(own["ceiling"]["ci95"] for own in directions), strict=True)
        )
        whole = f"{sum(parts.values()):.2f} ({low:.2f} to {high:.2f})"
        cells = (f"{part:.2f}" for part in parts.values())
        lines.append([layer, *cells, f"{whole}; null {null_of(directions):.2f}"])
    if found:
        chance = parts_of(found["chance"])
        lines.append(["a mixture at random", *(f"{chance[kind]:.0%} of it" for kind in KINDS), "-"])
    return ["layer", *KINDS, f"in all, of {DIRECTIONS}"], lines


@styled
def figure(found: dict[str, Any]) -> Figure:
    """What is undone of the leading directions of each layer, by kind, and by random filters."""
    layers = found["layers"]
    drawn = page(2.6)
    axes, bottom = drawn.add_subplot(), [0.0] * len(layers)
    for kind in KINDS:
        heights = [undone_of(one["directions"])[kind] for one in layers.values()]
        axes.bar(range(len(layers)), heights, bottom=bottom, label=kind)
        bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
    null = [null_of(one["directions"]) for one in layers.values()]
    axes.plot(range(len(layers)), null, "k_", markersize=16, clip_on=False, label="random filters")
    axes.set_xticks(range(len(layers)), list(layers), rotation=30, ha="right")
    axes.set_ylabel(f"directions undone, of {DIRECTIONS}")
    axes.set_ylim(0, DIRECTIONS)
    axes.legend()
    return drawn


if __name__ == "__main__":
    main()
