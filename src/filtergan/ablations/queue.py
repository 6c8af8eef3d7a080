"""The paper's design claims as a queue of studies, each with one choice of a base changed."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filtergan import study
from filtergan.ablations.outcome import compare
from filtergan.ablations.variants import VARIANTS, varied
from filtergan.config.fields import StudyConfig
from filtergan.errors import UserError
from filtergan.game.training import Diverged
from filtergan.machine import runtime
from filtergan.machine.files import sha256, write_atomic
from filtergan.runs.directory import RunDirectory
from filtergan.runs.locking import alone_in
from filtergan.runs.record import Record
from filtergan.study.materials import Materials

NETWORK_STAGE = "train-cnn"


@dataclass(frozen=True)
class Planned:
    """One study of the queue."""

    name: str
    seed: int
    config: StudyConfig
    path: Path


def plan(
    base: StudyConfig, out: Path, seeds: Iterable[int], names: Iterable[str] = VARIANTS
) -> list[Planned]:
    """The studies of a queue, in their order: all variants of a seed, then the next seed.

    Args:
        base: What the variants change; its own seed is not used.
        out: Folder of the queue; a study lies in `out/<name>/seed<k>`.
        seeds: Seeds of each variant.
        names: Some of `VARIANTS`.

    Raises:
        UserError: There is no such variant, or a seed is none.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in VARIANTS:
            raise UserError(f"There is no ablation {name!r}; there are {', '.join(VARIANTS)}.")
    return [
        Planned(name, seed, varied(base, name, seed), out / name / f"seed{seed}")
        for seed in dict.fromkeys(seeds)
        for name in VARIANTS
        if name in names
    ]


def run(
    base: StudyConfig,
    out: Path,
    seeds: Iterable[int],
    names: Iterable[str] = VARIANTS,
    tell: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Run what is missing of a queue; called again after any interruption, it goes on.

    A finished study is not repeated, an unfinished one is resumed. The first study of a seed trains
    the network, the others take it over. A game that diverged stays in the record as that.

    Args:
        base: What the variants change.
        out: Folder of the queue.
        seeds: Seeds of each variant.
        names: Some of `VARIANTS`.
        tell: Told one line about each study.

    Returns:
        The comparison of all studies of this base in the folder (`compare`), as is also written to
        `out/ablation.json`.

    Raises:
        UserError: As `plan` and `study.run`, but not for a game that diverged.
    """
    materials = Materials(base)
    materials.check()
    base = materials.config  # the sites that all studies of the queue have
    queue = plan(base, out, seeds, names)
    for number, planned in enumerate(queue, 1):
        place = f"run {number} of {len(queue)}: {planned.name}, seed {planned.seed}"
        if _ended(planned):
            tell(f"{place}: done earlier")
            continue
        tell(place)
        _perform(planned, _donor(planned, base, out))
    found = compare(_records(base, out))
    text = json.dumps({"sites": found}, indent=2, allow_nan=False)
    write_atomic(out / "ablation.json", text.encode() + b"\n")
    return found


# ---------------------------------------------------------------------------------- one study


def _open(path: Path) -> RunDirectory | None:
    """The study in a folder; None if it has not begun (or is damaged, which its run will say)."""
    try:
        return RunDirectory.open(path)
    except UserError:
        return None


def _ended(planned: Planned) -> RunDirectory | None:
    """The study, if nothing is left to do: it is finished, or its game diverged."""
    found = _open(planned.path)
    if found is None or found.config != planned.config:
        return None  # begun with other settings: its run will say so
    trained = found.stage_done("traverse")
    diverged = any(site.verdict == "diverged" for site in found.record.sites.values())
    return found if found.record.status == "finished" or (diverged and not trained) else None


def _perform(planned: Planned, donor: RunDirectory | None) -> None:
    """Run one study, or go on with it; its record tells if the game diverged."""
    begun = _open(planned.path)
    if donor is not None and (begun is None or not begun.stage_done(NETWORK_STAGE)):
        runtime.set_threads(planned.config.threads)
        with alone_in(planned.path):
            _take_over(donor, RunDirectory.create(planned.path, planned.config, resume=True))
    try:
        study.run(planned.config, planned.path, resume=True)
    except Diverged:
        return


def _donor(planned: Planned, base: StudyConfig, out: Path) -> RunDirectory | None:
    """A study of the same seed that has trained the network, which no variant changes."""
    if base.model is not None:
        return None  # a network of the user's is loaded, not trained
    for other in plan(base, out, [planned.seed]):
        found = _open(other.path) if other.name != planned.name else None
        if found is None or found.config != other.config or not found.stage_done(NETWORK_STAGE):
            continue
        file, network = found.path / "cnn.safetensors", found.record.cnn
        if network and file.is_file() and sha256(file) == network.sha256:
            return found
    return None


def _take_over(donor: RunDirectory, run: RunDirectory) -> None:
    """Give a study the trained network of another; the record says whose it is."""
    with run.stage(NETWORK_STAGE):
        name = "cnn.safetensors"
        write_atomic(run.path / name, (donor.path / name).read_bytes())
        network = donor.record.cnn
        assert network is not None  # its stage is done
        own = {
            "taken_over_from": os.path.relpath(donor.path, run.path),
            "figures": {},  # the curves of its training lie with the study that trained it
        }
        run.record.dataset = donor.record.dataset
        run.record.cnn = network.model_copy(update=own)


def _records(base: StudyConfig, out: Path) -> dict[str, dict[int, Record]]:
    """Records of the studies that have ended, of this base, whichever call ran them."""
    seeds = sorted({int(p.name[4:]) for p in out.glob("*/seed*") if p.name[4:].isdecimal()})
    found: dict[str, dict[int, Record]] = {}
    for planned in plan(base, out, seeds):
        if run := _ended(planned):
            found.setdefault(planned.name, {})[planned.seed] = run.record
    return {name: found[name] for name in VARIANTS if name in found}
