"""Does the null undo more if its transformer is trained for as long as ours?

Studies train the null's for a third of the steps, since it learns little. Here a generator of one
site and its transformer are trained, then transformers of the same random directions, each for
another number of steps. The answers stand in results/null_steps/record.json.

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
from filtergan.config.presets import preset
from filtergan.config.site_names import SiteName
from filtergan.game.description import FILE
from filtergan.machine import runtime, telling
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.measures.statistics import interval
from filtergan.measures.traversals import image_change
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.walks.inverter import compensation

RECORD = Path(__file__).parents[1] / "results" / "null_steps" / "record.json"
FIRST, IMAGES, RESAMPLES, SEED = 256, 512, 1000, 0


def main() -> None:
    """Train what is missing, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run whose network is trained")
    parser.add_argument(
        "--data", default="ylecun/mnist", help="its images: a folder, or a Hub name"
    )
    parser.add_argument("--site", type=SiteName.parse, default=SiteName("conv4", "bn5"))
    parser.add_argument("--steps", type=int, default=1000, help="of generator and transformer")
    parser.add_argument("--null-steps", type=int, nargs="+", default=(300, 800, 2500))
    parser.add_argument("--kept", type=Path, default=Path("runs/null_steps"), help="its generator")
    arguments = parser.parse_args()
    run = fg.open_run(arguments.run, data=arguments.data)
    train, test = run.dataset.train, run.dataset.test
    site = fg.Site(run.network, arguments.site.layer, test.pixels(slice(2)), arguments.site.point)
    ours = _ours(site, train.pixels(), arguments)
    x = test.pixels(slice(IMAGES))
    z, z_k = torch.randn(2, IMAGES, ours.latent, generator=runtime.generator(SEED, "latents"))
    record = {
        "git": git_state(),
        "machine": machine("cpu"),
        "preset": run.config.preset,
        "seed": run.config.seed,
        "site": str(arguments.site),
        "steps": arguments.steps,
        "ours": undone(ours, x, z, z_k),
        "null": {},
    }
    for steps in arguments.null_steps:
        null = _null(ours, train.pixels(), steps)
        record["null"][str(steps)] = undone(null, x, z, z_k)
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(RECORD, json.dumps(record, indent=1).encode() + b"\n")
        print(steps, record["null"][str(steps)], "ours", record["ours"], flush=True)


def _ours(site: fg.Site, images: Tensor, arguments: argparse.Namespace) -> NaturalGAN:
    """The generator, with a null that was trained for the first of the numbers of steps."""
    if (arguments.kept / FILE).exists():
        return NaturalGAN.load(arguments.kept, site.network)
    config = preset("mnist")
    steps = {"steps": arguments.steps, "null_steps": arguments.null_steps[0]}
    natural = config.natural.model_copy(update=steps)
    gan = fg.learn(site, images, natural, SEED, game=config.gan)
    gan.save(arguments.kept)
    return gan


def _null(gan: NaturalGAN, images: Tensor, steps: int) -> NaturalGAN:
    """Random directions as large as the generator's, with a transformer trained for so long."""
    known = null_of(gan)
    if known.config.natural.null_steps == steps:
        return known
    null = fg.random_directions(gan, images[:FIRST], SEED)
    natural = null.config.natural.model_copy(update={"null_steps": steps})
    null.config = null.config.model_copy(update={"natural": natural})
    with telling.progress(steps, f"null of {gan.name}", "steps") as advance:
        return fg.train_jointly(null, images, SEED, fixed=True, on_step=advance)


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
    if not found:
        return [], []
    tried = {f"the null, {int(steps):,} steps": one for steps, one in found["null"].items()}
    lines = {f"generator and T, {found['steps']:,} steps": found["ours"]} | tried
    return ["trained", "undone, mean", "median", "change of image"], [
        [name, _mean(one), f"{one['median']:.2f}", f"{one['change']:.2f}"]
        for name, one in lines.items()
    ]


def _mean(one: Mapping[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['undone']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
