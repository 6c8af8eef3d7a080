"""A whole study, all stages in their order, or one of them once more."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import parse
from filtergan.config.site_names import NATURAL, PAPER
from filtergan.errors import UserError
from filtergan.game.training import Diverged
from filtergan.machine import distributed, runtime, telling
from filtergan.machine.files import writing
from filtergan.machine.outlook import Outlook
from filtergan.report import write_report
from filtergan.runs.directory import RunDirectory
from filtergan.runs.locking import alone_in
from filtergan.runs.record import StageRecord
from filtergan.study.expected import expected
from filtergan.study.materials import Materials
from filtergan.study.stages import STAGES, built_on, needed, stages_of


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
        config: Every choice; patterns and depths become names of sites, which is what the run
            directory has.
        out: The run directory to make, or to continue or replace.
        until: Stop after this stage; a later call with `resume` goes on.
        resume: Continue what lies in `out`; what is finished is not done again.
        overwrite: Replace what lies in `out`.

    Returns:
        The run directory with its record.

    Raises:
        UserError: Images, network, sites, stage or folder are not what they must be (nothing is
            written then), another command works in the folder, the images are not those with which
            its study was begun, a file cannot be written, or the game diverged.

    Examples:
        >>> import tempfile
        >>> import filtergan as fg
        >>> config = fg.tiny().model_copy(update={"threads": 1})
        >>> fg.run_study(config, tempfile.mkdtemp() + "/run", until="train-cnn")  # or to its end
        RunDirectory('.../run', running)
    """
    until = until or list(STAGES)[-1]
    if until not in STAGES:
        raise UserError(f"There is no stage {until!r}; there are {', '.join(STAGES)}.")
    materials = _begin(config)
    materials.check()
    reached = list(STAGES)[: list(STAGES).index(until) + 1]
    names = [name for name in stages_of(materials.config) if name in reached]
    materials.check_images(names)
    path = Path(out)
    if distributed.first() and not path.exists():
        with writing(path):
            path.mkdir(parents=True)  # what is not there cannot be locked
    with alone_in(path):
        directory = RunDirectory.create(path, materials.config, resume=resume, overwrite=overwrite)
        materials.check_studied(directory)
        _go_through(names, directory, materials)
    return directory


def run_stage(
    name: str,
    run_path: str | os.PathLike[str],
    device: str | None = None,
    overwrite: bool = False,
) -> RunDirectory:
    """Run one stage on an existing run directory; those that build on it are to follow.

    One that was interrupted goes on from its checkpoint, one that is done is run anew. Judges
    that are done are but brought back to the cache, which does not go along with a run. Where
    nothing later was done but a page, that is written anew.

    Args:
        name: The stage.
        run_path: The run directory.
        device: Another device than its config says.
        overwrite: Begin anew in any case, and remove what later stages have built on it.

    Raises:
        UserError: The directory holds no study, or none that has such a stage; an earlier stage
            is missing; later ones have built on it, and may not be removed; the images are not
            those of the run; another command works there; or as `run`.
    """
    with alone_in(Path(run_path)):
        return _run_stage(name, RunDirectory.open(Path(run_path)), device, overwrite)


def _run_stage(
    name: str, directory: RunDirectory, device: str | None, overwrite: bool
) -> RunDirectory:
    run_path, config, stage = directory.path, directory.config, STAGES[name]
    own, built = stages_of(config), built_on(name, config)
    if name not in own:
        raise UserError(
            f"{run_path} has no site of the {stage.owns.recipe} recipe, so there is nothing to do."
        )
    before = [] if stage.reads_only else [n for n in needed(name, config) if n in own]
    for earlier in before:
        if not directory.stage_done(earlier):
            raise UserError(
                f"{run_path} has no finished stage {earlier!r}, which {name!r} needs; run "
                f"`filtergan {earlier} {run_path}` first."
            )
    kept = name == "train-judges" and directory.stage_done(name) and not overwrite
    later = [other for other in built if other != name and other in directory.record.stages]
    but_pages = all(STAGES[other].reads_only for other in later)
    if not (but_pages or overwrite or kept):
        raise UserError(
            f"What {run_path} has of {', '.join(later)} is built on {name!r} and would be removed; "
            "if it may be, give --overwrite."
        )
    if device is not None:
        config = parse(config.model_dump() | {"device": device}, "the command line")
    materials = _begin(config)
    if not stage.reads_only:
        materials.check_studied(directory)
    if kept:
        _ = materials.judges  # what the record says of them and by them still holds
        return directory
    if not stage.reads_only:
        materials.check()
        materials.check_images([name])
        if "train-cnn" in before:
            materials.load_trained(directory)
        begun = directory.record.stages.get(name)
        if begun is not None and not (begun.done or overwrite):  # it goes on
            _compute_as([begun])
            built.remove(name)
        directory.forget({other: STAGES[other].owns for other in built})
    _perform(name, directory, materials, name)
    for page in later if but_pages else ():
        _perform(page, directory, materials, page)
    return directory


def _go_through(names: Sequence[str], directory: RunDirectory, materials: Materials) -> None:
    """Run those of some stages that are not done."""
    if materials.left_out:
        directory.record.left_out = materials.left_out
        directory.save()
        for name, reason in materials.left_out.items():
            telling.warn(f"{name} is left out: {reason}")
    _compute_as(directory.record.stages.values())
    if directory.record.stages:
        telling.say(_goes_on(directory, names))
    if not all(map(directory.stage_done, names)):
        # A page asked for in between does not know what comes now.
        pages = [name for name, stage in STAGES.items() if stage.reads_only]
        directory.forget({n: STAGES[n].owns for n in pages if directory.stage_done(n)})
    outlook = Outlook([p for p in expected(materials, run=directory) if p.stage in names])
    with telling.expecting(outlook):
        for place, name in enumerate(names, start=1):
            if not directory.stage_done(name):
                _perform(name, directory, materials, f"stage {place} of {len(names)}, {name}")
                continue
            outlook.leave(name, directory.record.stages[name].seconds)
            if name == "train-cnn":
                materials.load_trained(directory)


def _begin(config: StudyConfig) -> Materials:
    """Join the other processes, if any; set threads; and say what the stages work on."""
    wanted = distributed.wanted()
    if wanted > config.gan.batch and config.sites_of(PAPER):
        raise UserError(
            f"{wanted} processes cannot share minibatches of {config.gan.batch} images; "
            "start fewer, or give a larger --gan.batch."
        )
    if wanted > config.natural.pairs and config.sites_of(NATURAL):
        raise UserError(
            f"{wanted} processes cannot share the {config.natural.pairs} pairs of latents of a "
            "minibatch; start fewer, or give a larger --natural.pairs."
        )
    runtime.join(config.device, config.precision)
    runtime.set_threads(config.threads)
    runtime.keep_memory()
    return Materials(config)


def _compute_as(stages: Iterable[StageRecord]) -> None:
    """Set as many threads as stages were begun with, since other numbers add up in other orders."""
    for begun in stages:
        if begun.processes == distributed.size():
            torch.set_num_threads(begun.threads)


def _goes_on(directory: RunDirectory, names: Sequence[str]) -> str:
    """From where a study that was begun earlier goes on, in a sentence."""
    left = [name for name in names if not directory.stage_done(name)]
    if not left:
        page = directory.path / "report.html"
        where = f"the report: {page}" if page.exists() else f"the run directory: {directory.path}"
        return f"everything was done already; {where}"
    done = [name for name in directory.config.sites if directory.site_done(left[0], name)]
    there = f" (done there: {', '.join(done)})" if done else ""
    return f"the study goes on with stage {left[0]}{there}"


def _perform(name: str, directory: RunDirectory, materials: Materials, told: str) -> None:
    """Run one stage; the record tells what came of it.

    Args:
        name: The stage.
        directory: Of the run.
        materials: Of the study.
        told: Which of how many stages it is, or its name.
    """
    begun = time.monotonic()
    telling.enter(name, told)
    try:
        with directory.stage(name, materials.config.device):
            STAGES[name].run(directory, materials)
            others = set(stages_of(directory.config)) - {name}
            if all(map(directory.stage_done, others)):
                directory.finish()
    except UserError as error:
        directory.fail(str(error))
        if isinstance(error, Diverged):
            # The page must not show an earlier success.
            distributed.lead(lambda: write_report(directory))
        raise
    telling.leave(name, time.monotonic() - begun)
    if name == "train-cnn":
        materials.load_trained(directory)
