"""Does the null undo more if its transformer is trained for as long as ours?

Studies train the null's for a third of the steps, since it learns little. Here transformers of the
same random directions are trained for as many steps as the generator and transformer of the run.
The answers stand in results/null_steps/record.json.

    python studies/null_steps.py RUN --data path/to/mnist
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import filtergan as fg
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.machine import runtime, telling
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.measures.statistics import interval
from filtergan.measures.traversals import image_change
from filtergan.natural.learning import first_rows
from filtergan.natural.natural_gan import NaturalGAN, null_of, require_natural
from filtergan.walks.inverter import compensation

RECORD = Path(__file__).parents[1] / "results" / "null_steps" / "record.json"
IMAGES, RESAMPLES, SEED = 512, 1000, 0


def main() -> None:
    """Measure generator and null of every natural site of a run, and train longer nulls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run that has been trained")
    parser.add_argument("--data", help="its images, where they have moved")
    parser.add_argument("--sites", nargs="+", help="as the run names them; by default all natural")
    arguments = parser.parse_args()
    run = fg.open_run(arguments.run, data=arguments.data, device="cpu")
    natural = [name for name in run.sites if SiteName.parse(name).recipe == NATURAL]
    train, x = run.dataset.train, run.dataset.test.pixels(slice(IMAGES))
    for name in arguments.sites or natural:
        ours = require_natural(run.gan(name))
        z, z_k = torch.randn(2, IMAGES, ours.latent, generator=runtime.generator(SEED, "latents"))
        steps = ours.config.natural.steps
        entry = {
            "git": git_state(),
            "machine": machine("cpu"),
            "seed": run.config.seed,
            "steps": steps,
            "ours": undone(ours, x, z, z_k),
            "null": {},
        }
        seed = runtime.derive_seed(run.config.seed, NATURAL, *SiteName.parse(name).seeds)
        for null in (null_of(ours), longer(ours, train.pixels(), steps, seed)):
            found = undone(null, x, z, z_k)
            entry["null"][str(null.config.natural.null_steps)] = found
        keep(name, entry)
    for line in rows_of(json.loads(RECORD.read_bytes()))[1]:
        print(" | ".join(line))


def longer(gan: NaturalGAN, images: Tensor, steps: int, seed: int) -> NaturalGAN:
    """The same random directions, with a transformer trained for so long from the same weights."""
    null = fg.random_directions(gan, images[first_rows(len(images), seed)], seed)
    null.generator.load_state_dict(null_of(gan).generator.state_dict())
    natural = null.config.natural.model_copy(update={"null_steps": steps})
    null.config = null.config.model_copy(update={"natural": natural})
    with telling.progress(steps, f"null of {gan.name}", "steps") as advance:
        return fg.train_jointly(null, images, seed, fixed=True, on_step=advance)


def keep(site: str, entry: Mapping[str, Any]) -> None:
    """Put a site's answers in the place of its earlier ones."""
    found = json.loads(RECORD.read_bytes()) if RECORD.exists() else {}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found | {site: entry}, indent=1).encode() + b"\n")


def undone(gan: NaturalGAN, x: Tensor, z: Tensor, z_k: Tensor) -> dict[str, Any]:
    """What T undoes of what the filters of z' change, and by how much it changes images."""
    x_k, site = gan.transform(x, z, z_k), gan.site
    here, there = gan.draw(z), gan.draw(z_k)
    with torch.no_grad():
        wanted = site.respond(site.input(x), here)
        before, after = (
            (site.respond(site.input(one), there) - wanted).flatten(1).square().sum(1)
            for one in (x, x_k)
        )
    share = compensation(before, after)
    return {
        "undone": float(share.mean()),
        "ci95": interval(share, resamples=RESAMPLES, seed=SEED),
        "median": statistics.median(share.tolist()),
        "change": float(image_change(x, x_k).mean()),
    }


def rows_of(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table."""
    lines = []
    for site, entry in found.items():
        tried = {f"the null, {int(steps):,} steps": one for steps, one in entry["null"].items()}
        ours = {f"generator and T, {entry['steps']:,} steps": entry["ours"]}
        lines += [
            [site, name, _mean(one), f"{one['median']:.2f}", f"{one['change']:.2f}"]
            for name, one in (ours | tried).items()
        ]
    return ["site", "trained", "undone, mean", "median", "change of image"], lines


def _mean(one: Mapping[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['undone']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
