"""The natural recipe: what its training takes, a pass of T as a traversal, and what bounds it."""

import dataclasses
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from inversions import GRID, Grids, beside_metamer
from subject import Subject
from timing import Times
from torch import Tensor

from filtergan.ceilings.ceiling import ceilings_of
from filtergan.ceilings.spectrum import spectrum_of
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.fields import joint_config
from filtergan.config.presets import preset
from filtergan.machine.provenance import peak_memory_mib
from filtergan.natural.joint import JointGame, train_jointly
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import Transformation
from filtergan.sites.site import Site
from filtergan.walks.walk import walk_grid

FIRST = 1000  # training images from which the discriminator takes its scale
STEPS = (8, 16, 32, 64)  # images in a minibatch, over pairs


def run(subject: Subject) -> dict[str, Any]:
    """Train generator and transformer as the `mnist` preset does, and walk a grid by them."""
    config = preset("mnist")
    chosen = joint_config(config.gan, config.natural)
    site, images = subject.site, subject.train
    gan = NaturalGAN.new(site, site.input(images[:FIRST]), chosen, 0)
    forget_peak()
    begun = time.perf_counter()
    gan = train_jointly(gan, images, 0)
    trained, peak = time.perf_counter() - begun, peak_memory_mib()
    moved = dataclasses.replace(subject, gan=gan)
    grids = Grids(moved, 1)
    targets = grids.targets.unflatten(1, (GRID, GRID))

    def passed() -> Tensor:
        z = grids.z.repeat_interleave(GRID**2, 0)
        return gan.transform(grids.images, z, grids.targets.flatten(0, 1))

    def walked() -> Tensor:
        return walk_grid(gan, Transformation(), grids.x, grids.z, targets).images

    times = Times({"pass": passed, "walk": walked}, rounds=7)
    return {
        "steps": chosen.natural.steps,
        "training_seconds": trained,
        "peak_mib": peak,
        "pass_seconds": times.of("pass").as_record(),
        "walk_seconds": times.of("walk").as_record(),
        "metamer": beside_metamer(moved, grids, passed),
        "steps_by_images": _steps(gan, images),
    } | bounds(site, images, subject.test, config.ceilings)


def bounds(site: Site, train: Tensor, test: Tensor, config: CeilingConfig) -> dict[str, float]:
    """Seconds of the ceilings of all families at a site, and of its spectrum."""
    works = {
        "ceilings_seconds": lambda: ceilings_of(site, train, test, config=config),
        "spectrum_seconds": lambda: spectrum_of(site, train, test, config=config),
    }
    found = {}
    for name, work in works.items():
        begun = time.perf_counter()
        work()
        found[name] = time.perf_counter() - begun
    return found


def forget_peak() -> None:
    """Let the process's peak of memory begin anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _steps(gan: NaturalGAN, images: Tensor) -> dict[int, float]:
    """Seconds of a step, by how many images share a pair."""
    found = {}
    for each in STEPS:
        natural = gan.config.natural.model_copy(update={"pair_images": each})
        config = gan.config.model_copy(update={"natural": natural})
        fresh = NaturalGAN.new(gan.site, gan.site.input(images[:FIRST]), config, 0)
        game = JointGame(fresh, 0)
        times = Times({"step": lambda game=game: game.play(images)}, rounds=3)
        found[each] = times.of("step").median
    return found
