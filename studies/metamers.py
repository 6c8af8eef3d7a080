"""Metamers beside plenoptic: residual, naturalness, diversity and time, at the same sites.

A metamer x' of x has R(x', W) = R(x, W) at a site's reading. plenoptic's Metamer searches one pixel
by pixel, from noise or from elsewhere. T was made for something else: that R(x', G(z')) be
R(x, G(z)); under W its images are metamers as far as the network ignores that. So each set of
eight is told under W, and ours also as it was meant; then searched under W, by Metamer itself and
over fields like T's. Eigendistortions, the directions that are least noticed to first order, stand
beside our latents at the same change of image.

    python studies/metamers.py RUN --data DATA --keep FOLDER

Sets are kept in FOLDER, so that the same command goes on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import eigendistortions
import torch
from metamer_measures import PAIRS, Naturalness, meant, measured, pairs, start_kept, told
from metamer_pictures import pictured
from metamer_sets import CAP, DRAWN, SIZE, WAYS, Task, Way, alone, kept, residual
from metamer_tables import RECORD

import filtergan as fg
from filtergan.figures import save
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.machine.runtime import sample
from filtergan.natural.natural_gan import null_of

SITES = ("conv4@bn5/natural", "conv2@activation/natural")
IMAGES, FEW, SINGLE = 24, 8, 4  # test images: of sets, of directions, of single searches
CANDIDATES = 10000  # training images
SHOWN = 3  # digits of the figure, of the first site


def main() -> None:
    """Make and measure the sets of both sites, and write record and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--images", type=int, default=IMAGES)
    given = parser.parse_args()
    run = fg.open_run(given.run, data=given.data)
    seed, test = run.config.seed, run.dataset.test
    index = sample(len(test), given.images, seed, "metamers", "images")
    natural = Naturalness.of(run, index)
    found: dict[str, Any] = {
        "git": git_state(),
        "network": {"preset": run.config.preset, "seed": seed},
        "images": given.images,
        "set": SIZE,
        "drawn": DRAWN,
        "iterations": CAP,
        "sites": {},
    }
    for name in SITES:
        folder = given.keep / name.replace("/", "_")
        found["sites"][name] = at_site(run, name, index, natural, folder)
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")


def at_site(run: Any, name: str, index: torch.Tensor, natural: Naturalness, folder: Path) -> Any:
    """All that is told of one site."""
    gan, data, seed = run.gan(name), run.dataset, run.config.seed
    assert isinstance(gan, fg.NaturalGAN)  # by its recipe
    some = sample(len(data.train), CANDIDATES, seed, "metamers", "candidates")
    task = Task(gan, data.test.pixels(index), data.train.pixels(some), seed)
    labels = data.test.labels[index]
    rest = sample(len(data.test), PAIRS, seed, "metamers", "pairs")
    others = pairs(task, data.test.pixels(rest))
    ways, shown = {}, {}
    for way in WAYS:
        made = kept(task, way, folder)
        sets = made.images.clamp(0, 1)
        values = measured(task, labels, sets, natural, others)
        if way.search.startswith(("metamer", "pushed")):
            values["residual_unclamped"] = residual(task.site, task.wanted, made.images)
        if way.search:
            begun = kept(task, Way(way.start, "", ""), folder).images
            values["start_kept"] = start_kept(task.x, begun, sets)
        elif made.z_k is not None:
            values |= meant(task, null_of(gan) if way.start == "null" else gan, sets, made.z_k)
        numbers = told(values, seed)
        print(name, way.words, {k: one["value"] for k, one in numbers.items()}, flush=True)
        more = {"seconds": made.seconds, "iterations": made.iterations}
        ways[way.words], shown[way.words] = numbers | more, sets
    few = Task(gan, task.x[:FEW], task.candidates, seed)
    directions = eigendistortions.compared(few, labels[:FEW], natural, others, folder)
    pictures = {kind: one.pop("images") for kind, one in directions["kinds"].items()}
    if name == SITES[0]:
        known = labels[:FEW].tolist()
        chosen = sorted(known.index(label) for label in dict.fromkeys(known))[:SHOWN]
        save(pictured(task.x, shown, pictures, chosen), RECORD.with_name("metamers.png"))
    return {
        "response": len(task.wanted[0]),
        "pairs": float(others.nanmean()),
        "ways": ways,
        "alone": alone(task, SINGLE),
        "directions": directions,
    }


if __name__ == "__main__":
    main()
