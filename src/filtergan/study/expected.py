"""How long the parts of a study should take: their arithmetic, at the rate of a machine.

Only the games are counted to the operation. Of other works the passes through the network are,
and what else each does at constants measured once: a study corrects them by what it measures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from filtergan.ceilings.ceiling import (
    CHUNK,
    DRAWS,
    LOOKED_AT,
    LOOKS,
    SCALE_LOOKS,
    chosen_of,
)
from filtergan.classifiers.fitting import steps_of
from filtergan.classifiers.judges import judges_file, untrained
from filtergan.config.fields import JointConfig, StudyConfig
from filtergan.config.site_names import NATURAL, PAPER, SiteName
from filtergan.families.catalogue import references
from filtergan.game.cost import Rate, calibrated, estimate, flop
from filtergan.images.sources import at_hand
from filtergan.machine import runtime
from filtergan.machine.outlook import Part
from filtergan.natural.joint_cost import joint_estimate
from filtergan.pooling.retraining import retraining
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_filters import RANDOM_SETS, unpoolable
from filtergan.study.measuring.of_traversals import COMPARED
from filtergan.study.stages import STAGES, stages_of
from filtergan.study.stages.traverse import evaluations

NOMINAL = Rate(step=0.004, flop=9e10, bytes=2e10)
"""A machine of no name: until something is measured, a study needs to know only proportions."""
MEASURED = 1.8e-3, 9e-6
"""Seconds in which a recovered image is measured there: any, and for each of its pixels."""
PLAIN = 1 / 8  # of an empty step of a game: one in which a single optimiser moves, or none
FITTED = 2  # times that training a classifier takes what its convolutions alone would
REPORT = 5.0  # seconds, whatever is in it
ASSESSED = 10.0
"""Seconds in which a site's images are assessed, however few: fits, intervals, figures."""


@dataclass(frozen=True)
class _Passes:
    """Operations of one image's pass: up to a site's response, and from the site to the end."""

    response: int
    later: int


def expected(
    materials: Materials, rate: Rate = NOMINAL, run: RunDirectory | None = None
) -> list[Part]:
    """The long works of a study, in their order, and the seconds that each should take.

    Args:
        materials: Checked.
        rate: What the machine does in a second.
        run: What is done there already is left out; stages that are done are not.
    """
    config = materials.config
    made = {
        "train-cnn": _network,
        "ceilings": _ceilings,
        "train-gan": _games,
        "natural": _joint,
        "train-judges": _judges,
        "traverse": _traversals,
        "measure": _measures,
        "report": lambda *_: iter([(None, "", 0.0)]),
    }
    return [
        Part(stage, told, seconds + _fixed(stage, told), _fixed(stage, told))
        for stage in stages_of(config)
        for name, told, seconds in made[stage](materials, config, rate)
        if run is None or name is None or run.stage_done(stage) or not run.site_done(stage, name)
    ]


def planned(
    config: StudyConfig, until: str | None = None, resumed: Path | None = None
) -> list[Part] | str:
    """The long works of a study, with the seconds that they should take on this machine.

    Its images and its network are read, and a small game of a few steps is played.

    Args:
        config: Of the study.
        until: The last stage.
        resumed: The run directory that is gone on with, of which only what is left is told.

    Returns:
        Them; or a sentence that says why they cannot be told.

    Raises:
        UserError: The study would be refused as well.
    """
    if not at_hand(config.data):
        return f"the images of {config.data} are not on this machine, and a dry run fetches none."
    runtime.set_threads(config.threads)
    materials = Materials(config)
    materials.check()
    names = list(STAGES)
    reached = names[: names.index(until or names[-1]) + 1]
    materials.check_images([name for name in stages_of(materials.config) if name in reached])
    run = None
    if resumed is not None and read_record(resumed).status != "starting":
        run = RunDirectory.open(resumed)
        reached = [name for name in reached if not run.stage_done(name)]
    rate = calibrated(config.gan, materials.device)
    return [part for part in expected(materials, rate, run) if part.stage in reached]


def _fixed(stage: str, told: str) -> float:
    """Seconds that a work takes whatever the size of the study."""
    if stage == "measure":
        return ASSESSED * told.startswith("images of")
    return REPORT * (stage == "report")


_Works = Iterator[tuple[SiteName | None, str, float]]


def _training(rate: Rate, steps: int, images: int, operations: int) -> float:
    """Seconds in which a classifier is trained, so many operations in its pass of an image."""
    return _plain(rate, steps, FITTED * 3 * images * operations)


def _plain(rate: Rate, steps: int, operations: int) -> float:
    """Seconds of steps without a game, of so many operations each."""
    return steps * (PLAIN * rate.step + operations / rate.flop)


@torch.no_grad()
def _pass(module: nn.Module, x: Tensor) -> int:
    return flop(lambda: module(x)) // len(x)


@torch.no_grad()
def _passes(materials: Materials, name: SiteName) -> _Passes:
    site, x = materials.site(name), materials.example
    before = flop(lambda: site.input(x)) // len(x)
    respond = flop(lambda: site.respond(site.input(x))) // len(x)
    whole = _pass(materials.network, x)
    return _Passes(respond, whole - before if site.straight else whole)


def _network(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    if config.model is None:
        cnn, n = config.cnn, len(materials.dataset.train)
        each = _pass(materials.network, materials.example)
        steps = steps_of(n, cnn.epochs, cnn.batch)
        yield None, "network", _training(rate, steps, min(cnn.batch, n), each)


def _ceilings(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    chosen, data = config.ceilings, materials.dataset
    families = len(chosen_of(None, data.shape[0]))
    test = min(chosen.test_images, len(data.test))
    train = min(chosen.train_images, len(data.train))
    passed = 2 * train + 7 * test + 2 * LOOKS * min(LOOKED_AT, train)
    passed += 2 * DRAWS * (SCALE_LOOKS * 2 * CHUNK + 2 * test)
    for name in dict.fromkeys(name.under(PAPER) for name in config.sites):
        each = _passes(materials, name).response
        steps = chosen.steps if name.point != "conv" else 0
        seconds = _plain(rate, steps, 3 * chosen.batch * each)
        seconds += _plain(rate, passed // CHUNK, CHUNK * each)
        yield name, f"ceilings of {materials.site(name).name}", families * seconds


def _games(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    for name in config.sites_of(PAPER):
        site, x = materials.site(name), materials.example
        with torch.no_grad():
            inputs = site.input(x)
            cost = estimate(site, inputs, site.respond(inputs), config.gan)
        yield name, f"generator of {name}", rate.seconds(cost, config.gan.steps)


def _joint(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    for name in config.sites_of(NATURAL):
        chosen = config.game_of(name)
        assert isinstance(chosen, JointConfig)
        for fixed, steps, what in (
            (False, config.natural.steps, "generator"),
            (True, config.natural.null_steps, "transformer of the null"),
        ):
            cost = joint_estimate(materials.site(name), materials.example, chosen, fixed)
            yield name, f"{what} of {name}", rate.seconds(cost, steps)


def _judges(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    data, judges = materials.dataset, config.judges
    if judges_file(data, judges).exists():
        return
    steps, x = steps_of(len(data.train), judges.epochs, judges.batch), materials.example.cpu()
    each = sum(_pass(one.eval(), x) for one in untrained(data, judges))
    yield None, "judges", _training(rate, steps, min(judges.batch, len(data.train)), each)


def _traversals(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    measured = min(config.traversal.measured_images, len(materials.dataset.test))
    for name in config.sites:
        latent = config.game_of(name).latent
        work = evaluations(config, name, latent, measured, config.traversal.images)
        batches = max(1, work // config.traversal.batch)
        each = _passes(materials, name).response
        seconds = _plain(rate, batches, 3 * config.traversal.batch * each)
        yield name, f"traversals of {name}", seconds


def _measures(materials: Materials, config: StudyConfig, rate: Rate) -> _Works:
    data, chosen = materials.dataset, config.measure
    shown = min(chosen.draw_images, len(data.test))
    drawn = chosen.draws + max((RANDOM_SETS, *chosen.pooled_sizes))
    walked, measured = config.traversal, min(config.traversal.measured_images, len(data.test))
    # Points, and the references and the null beside them.
    points = measured * (walked.measured_points + (1 + len(references(data.shape[0]))) * COMPARED)
    for name in config.sites:
        axes = config.game_of(name).latent + walked.combinations
        images = points + min(walked.axis_images, measured) * axes
        each = _passes(materials, name).later
        retrained = min(chosen.retrain_limit, len(data.train))
        work = 4 * retraining(materials.site(name), retrained, len(data.test), chosen)
        some, pixels = MEASURED
        own = images * (some + pixels * data.shape[1] * data.shape[2])
        yield name, f"single draws of {name}", drawn * shown * each / rate.flop
        if not unpoolable(materials.site(name)):
            yield name, f"re-training after {name}", 3 * work * each / rate.flop
        yield name, f"images of {name}", own * NOMINAL.flop / rate.flop
