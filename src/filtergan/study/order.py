"""A whole study: the only file that knows the order of the stages."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from filtergan.config.fields import StudyConfig, parse
from filtergan.errors import UserError
from filtergan.game.training import Diverged
from filtergan.machine import distributed, runtime
from filtergan.machine.wording import duration
from filtergan.report import write_report
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials
from filtergan.study.stages import measure, train_cnn, train_gan, train_judges, traverse

Stage = Callable[[RunDirectory, Materials], None]


def _report(run: RunDirectory, materials: Materials) -> None:
    distributed.lead(lambda: write_report(run))


STAGES: dict[str, Stage] = {
    "train-cnn": train_cnn.run,
    "train-gan": train_gan.run,
    "train-judges": train_judges.run,
    "traverse": traverse.run,
    "measure": measure.run,
    "report": _report,
}


def run(
    config: StudyConfig,
    out: str | os.PathLike[str],
    *,
    until: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> RunDirectory:
    """Run a study from its images to its report.

    Under torchrun all its processes take part, each calling this with the same arguments.

    Args:
        config: Every choice; patterns of layers become names, which is what the run directory has.
        out: The run directory to make, or to continue or replace.
        until: Stop after this stage; a later call with `resume` goes on.
        resume: Continue what lies in `out`; what is finished is not done again.
        overwrite: Replace what lies in `out`.

    Returns:
        The run directory with its record.

    Raises:
        UserError: Images, network, layers or folder are not what they must be (nothing is written
            then), a file cannot be written, or the game diverged.
    """
    materials = _begin(config)
    materials.check()
    directory = RunDirectory.create(Path(out), materials.config, resume=resume, overwrite=overwrite)
    if materials.left_out:
        directory.record["left_out"] = materials.left_out
        directory.save()
        for layer, reason in materials.left_out.items():
            runtime.say(f"{layer} is left out: {reason}")
    for begun in directory.record["stages"].values():
        if begun.get("processes", 1) == distributed.size():
            torch.set_num_threads(begun["threads"])  # other numbers add up in other orders
    names = list(STAGES)
    names = names[: names.index(until) + 1] if until else names
    if directory.record["stages"]:
        runtime.say(_goes_on(directory, names))
    for name in names:
        if not directory.stage_done(name):
            _perform(name, directory, materials)
        elif name == "train-cnn":
            materials.load_trained(directory)
    return directory


def run_stage(
    name: str, run_path: str | os.PathLike[str], device: str | None = None
) -> RunDirectory:
    """Run one stage on an existing run directory, anew; later ones are to be run again.

    Args:
        name: The stage.
        run_path: The run directory.
        device: Another device than its config says.

    Raises:
        UserError: The directory holds no study, an earlier stage is missing, or as `run`.
    """
    directory = RunDirectory.open(Path(run_path))
    names = list(STAGES)
    # A report can be written of what there is.
    needed = [] if name == "report" else names[: names.index(name)]
    for earlier in needed:
        if not directory.stage_done(earlier):
            raise UserError(
                f"{run_path} has no finished stage {earlier!r}, which {name!r} needs; run "
                f"`filtergan {earlier} {run_path}` first."
            )
    config = directory.config
    if device is not None:
        config = parse(config.model_dump() | {"device": device}, "the command line")
    materials = _begin(config)
    if name != "report":
        materials.check()
        if "train-cnn" in needed:
            materials.load_trained(directory)
        # A game on another network, or played anew, must not go on from the old one.
        for site in config.layer if name in ("train-cnn", "train-gan") else ():
            checkpoint = directory.site_path(site) / "checkpoint" / "game.safetensors"
            distributed.lead(partial(checkpoint.unlink, missing_ok=True))
        directory.forget(names[names.index(name) :])
    _perform(name, directory, materials)
    return directory


def _begin(config: StudyConfig) -> Materials:
    """Join the other processes, if any; set threads; and say what the stages work on."""
    if distributed.wanted() > config.gan.batch:
        raise UserError(
            f"{distributed.wanted()} processes cannot share minibatches of {config.gan.batch} "
            "images; start fewer, or give a larger --gan.batch."
        )
    runtime.join(config.device, config.precision)
    runtime.set_threads(config.threads)
    runtime.keep_memory()
    return Materials(config)


def _goes_on(directory: RunDirectory, names: Sequence[str]) -> str:
    """From where a study that was begun earlier goes on, in a sentence."""
    left = [name for name in names if not directory.stage_done(name)]
    if not left:
        page = directory.path / "report.html"
        where = f"the report: {page}" if page.exists() else f"the run directory: {directory.path}"
        return f"everything was done already; {where}"
    done = [layer for layer in directory.config.layer if directory.site_done(left[0], layer)]
    there = f", of which {' and '.join(done)} is done" if done else ""
    return f"the study goes on with stage {left[0]}{there}"


def _perform(name: str, directory: RunDirectory, materials: Materials) -> None:
    """Run one stage; the record tells what came of it."""
    begun = time.monotonic()
    runtime.say(f"{name} begins")
    try:
        with directory.stage(name):
            STAGES[name](directory, materials)
            if name == "report" and all(directory.stage_done(n) for n in STAGES if n != name):
                directory.finish()
    except UserError as error:
        directory.fail(str(error))
        if isinstance(error, Diverged):
            distributed.lead(
                lambda: write_report(directory)
            )  # the page must not show an earlier success
        raise
    runtime.say(f"{name} took {duration(time.monotonic() - begun)}")
    if name == "train-cnn":
        materials.load_trained(directory)
