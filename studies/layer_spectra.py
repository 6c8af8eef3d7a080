"""Spectra of every layer of a CIFAR-10 network: how far filters undo light, texture and pose.

Nobody names a change of images here: of all smooth fields of one kind, those directions are found
whose effect on the response filters undo best, to first order.

    python studies/layer_spectra.py RUN --data path/to/cifar10

`RUN` holds a trained network. Writes results/layers/spectra.json and its figure; what stands there
already is not asked again.
"""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from opening import opened
from torch import Tensor

import filtergan as fg
from filtergan.ceilings.ceiling import some_of
from filtergan.config.values import FieldKind
from filtergan.figures import save
from filtergan.figures.style import page, styled
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.sites.convolution import convolutions
from filtergan.sites.wrappers import unwrapped
from filtergan.spectra.leading import FITTED, JUDGED, leading

FOLDER = Path(__file__).parents[1] / "results" / "layers"
RECORD = FOLDER / "spectra.json"
GRID, DIRECTIONS = 4, 8
SEEDS = (0,)  # of the images
KINDS: dict[str, tuple[FieldKind, ...]] = {
    "light": ("brightness", "ground"),
    "texture": ("blur",),
    "pose": ("flow",),
}
"""What is said to be ignored early, in the middle and late, and the fields that it is asked by."""
Rows = tuple[list[str], list[list[str]]]
Shares = dict[str, list[float]]


def main() -> None:
    """Ask what is missing, and draw all."""
    run = opened(__doc__, "a run whose network is trained")
    assert run.record.cnn is not None  # it was read
    settings = {
        "network": run.record.cnn.sha256,
        "kinds": {kind: list(fields) for kind, fields in KINDS.items()},
        "grid": GRID,
        "directions": DIRECTIONS,
    }
    # The state of the tree before the record changes it.
    found = recorded() or {"git": git_state(), "settings": settings, "seeds": {}}
    if found["settings"] != settings:
        raise SystemExit(f"{RECORD} was begun with another network, or asked otherwise; remove it.")
    for seed in SEEDS:
        layers = found["seeds"].setdefault(str(seed), {})
        train = some_of(run.dataset.train.images, FITTED, seed, "fitted")
        test = some_of(run.dataset.test.images, 2 * JUDGED, seed, "held out")
        for layer in convolutions(unwrapped(run.network)):
            if layer not in layers:
                site = fg.Site(run.network, layer, run.dataset.test.images)
                layers[layer] = {kind: _asked(site, train, test, kind) for kind in KINDS}
                write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    save(figure(found), FOLDER / "spectra.png")


def recorded() -> dict[str, Any]:
    """Content of the record."""
    return json.loads(RECORD.read_bytes()) if RECORD.exists() else {}


def _asked(site: fg.Site, train: Tensor, test: Tensor, kind: str) -> Shares:
    """Shares of the leading directions of one kind of change, and their nulls."""
    found = leading(site, train, test, KINDS[kind], GRID, DIRECTIONS)
    return {"shares": found.shares.tolist(), "nulls": found.nulls.tolist()}


def shares_of(found: dict[str, Any], layer: str, kind: str, what: str) -> list[list[float]]:
    """`shares` of the leading directions of a kind, or their `nulls`; a list for each seed."""
    return [layers[layer][kind][what] for layers in found["seeds"].values() if layer in layers]


def layers_of(found: dict[str, Any]) -> list[str]:
    """Those that were asked, in the order of the network."""
    return list(found["seeds"][str(SEEDS[0])]) if found else []


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each layer; of each kind its first direction, and the mean of the leading ones."""
    head = [f"{kind}: {what}" for kind in KINDS for what in ("first", f"mean of {DIRECTIONS}")]
    lines = []
    for layer in layers_of(found):
        cells = []
        for kind in KINDS:
            shares, nulls = (shares_of(found, layer, kind, what) for what in ("shares", "nulls"))
            cells.append(_told([one[0] for one in shares], [one[0] for one in nulls]))
            cells.append(_told([*map(fmean, shares)], [*map(fmean, nulls)]))
        lines.append([layer, *cells])
    return ["layer", *head], lines


def _told(values: list[float], nulls: list[float]) -> str:
    """Mean over seeds, the range where there are several, and the null."""
    over = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{over}; null {fmean(nulls):.2f}"


@styled
def figure(found: dict[str, Any]) -> Figure:
    """What is undone of the leading directions of each kind, by layer, and of their nulls."""
    layers = layers_of(found)
    drawn = page(2.6)
    axes = drawn.add_subplot()
    for kind in KINDS:
        own, null = (
            [fmean(map(fmean, shares_of(found, layer, kind, what))) for layer in layers]
            for what in ("shares", "nulls")
        )
        [line] = axes.plot(own, "o-", label=kind)
        axes.plot(null, ":", color=line.get_color(), label=f"null of {kind}")
    axes.set_xticks(range(len(layers)), layers, rotation=30, ha="right")
    axes.set_ylabel(f"share undone, mean of {DIRECTIONS}")
    axes.set_ylim(0, 1)
    axes.legend(ncols=3)
    return drawn


if __name__ == "__main__":
    main()
