"""The queue of trainings, and its record: interrupted at any time, it goes on."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.standings import standings
from filtergan.benchmark.subject import Factory, Subject
from filtergan.benchmark.trials import Trial, perform
from filtergan.errors import UserError
from filtergan.machine import provenance, telling
from filtergan.machine.files import json_safe, write_atomic
from filtergan.sites.wrappers import fingerprint

SCHEMA = "filtergan-augment-1"


def settings_of(
    subject: Subject, fingerprint_of_images: str, trials: Sequence[Trial], budget: int
) -> dict[str, Any]:
    """What all trainings of a record have in common.

    Args:
        subject: What they are done on.
        fingerprint_of_images: Of the dataset.
        trials: All that are wanted.
        budget: Strengths that each method is given.
    """
    largest, null = max(trial.size for trial in trials), subject.gan.null
    return {
        "images": fingerprint_of_images,
        "network": fingerprint(subject.network),
        "transformer": fingerprint(subject.gan.transformer),
        "null": None if null is None else fingerprint(null.transformer),
        "dials": {name: method.most for name, method in METHODS.items()},
        "site": subject.gan.name,
        "steps": subject.steps,
        "budget": budget,
        "largest": largest,
        "validation": len(subject.validation(largest, 0)),
        "test": len(subject.test),
    }


def opened(path: Path, settings: Mapping[str, Any], device: str = "cpu") -> dict[str, Any]:
    """The record in a file, or a new one.

    Args:
        path: The file.
        settings: As `settings_of` has them.
        device: Where the trainings are done.

    Raises:
        UserError: The file is no such record, or one of other settings.
    """
    if not path.exists():
        return {
            "schema": SCHEMA,
            "began": provenance.now(),
            "settings": dict(settings),
            "methods": {name: method.meaning for name, method in METHODS.items()},
            "git": provenance.git_state(),
            "versions": provenance.versions(),
            "machine": provenance.machine(device),
            "trials": [],
            "results": {},
        }
    try:
        record = json.loads(path.read_bytes())
        there = _trials_of(record)
        known = record["schema"] == SCHEMA and len(there) == len(record["trials"])
        before = record["settings"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _no_record(path) from error
    if not known:
        raise _no_record(path)
    if others := [key for key, value in settings.items() if before.get(key) != value]:
        raise UserError(
            f"{path} was begun with other {', '.join(others)}; name another file with -o, or go on "
            "with the same."
        )
    return record


def _no_record(path: Path) -> UserError:
    return UserError(
        f"{path} is no record of `filtergan benchmark augment`, or is damaged; name another file "
        "with -o, or remove it."
    )


def run(
    subject: Subject,
    trials: Sequence[Trial],
    record: dict[str, Any],
    path: Path,
    factories: Mapping[str, Factory],
) -> dict[str, Any]:
    """Do what is missing of a queue; the record is written after each training.

    Args:
        subject: What they are done on.
        trials: All that are wanted.
        record: As `opened` gives it; changed.
        path: Its file.
        factories: What makes the augmentations, by method.

    Returns:
        The record, with the `results` of all trainings in it.
    """
    done = _trials_of(record)
    missing = [trial for trial in trials if trial not in done]
    largest = record["settings"]["largest"]
    with telling.progress(len(trials), "augmented trainings", "trainings") as advance:
        advance(len(trials) - len(missing))
        for trial in missing:
            found = perform(trial, subject, factories[trial.method], largest)
            record["trials"].append(found)
            _write(path, record)
            advance()
    record["trials"] = _ordered(record["trials"])
    record["results"] = standings(record["trials"], record["settings"]["budget"])
    _write(path, record)
    return record


def _trials_of(record: Mapping[str, Any]) -> set[Trial]:
    """The trainings that a record has."""
    names = [field.name for field in dataclasses.fields(Trial)]
    return {Trial(**{name: one[name] for name in names}) for one in record["trials"]}


def _ordered(trials: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As one call would have done them, whatever calls did."""
    names = list(METHODS)
    return sorted(
        trials,
        key=lambda one: (one["seed"], one["size"], names.index(one["method"]), one["strength"]),
    )


def _write(path: Path, record: dict[str, Any]) -> None:
    text = json.dumps(json_safe(record), indent=1, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")
