"""Runs pooled by configuration, and configurations tested against the first."""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filtergan.config.older import renewed
from filtergan.config.values import flattened
from filtergan.errors import UserError
from filtergan.machine.wording import letter
from filtergan.measures.contrasts import Difference, Estimate, difference, holm, pool
from filtergan.measures.definition import Measure
from filtergan.measures.registry import REGISTRY, lookup, order
from filtergan.runs.reading import read_record
from filtergan.runs.record import MeasureRecord, Record, SiteRecord

# Fields that say how or where a study ran; of the images, the fingerprint tells.
_CIRCUMSTANCES = {"seed", "device", "threads", "preset", "data"}
_SHOWN = 4  # differing fields that are named in print; the file names all


@dataclass(frozen=True)
class Configuration:
    """Runs whose configs differ in nothing but the seed.

    Attributes:
        name: A letter; `A` is the one that the others are compared with.
        settings: Dotted name to value of the fields in which configurations differ.
        runs: Seed to run directory, in the order of seeds.
        records: Seed to record.
    """

    name: str
    settings: dict[str, Any]
    runs: dict[int, Path]
    records: dict[int, Record]

    def __str__(self) -> str:
        """Return what is printed of it: fields that differ, and seeds."""
        fields = [f"{name}={value}" for name, value in self.settings.items() if name != "images"]
        more = [f"and {len(fields) - _SHOWN} more"] if len(fields) > _SHOWN else []
        words = ", ".join(fields[:_SHOWN] + more) or next(iter(self.records.values())).preset
        return f"{self.name}: {words}; {numbered('seed', list(self.runs))}"


@dataclass(frozen=True)
class Row:
    """One measure of one site.

    Attributes:
        estimates: Of each configuration that has it, by name.
        differences: Of each other configuration from `A`, by name; both must have it.
    """

    estimates: dict[str, Estimate]
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        configurations: In the order in which they were named.
        sites: Name to measure to row; sites that at least two configurations have.
        notes: What cannot be compared, or only with care; sentences.
    """

    configurations: tuple[Configuration, ...]
    sites: dict[str, dict[str, Row]]
    notes: tuple[str, ...]


def compare(paths: Sequence[Path], measures: Sequence[str] | None = None) -> Comparison:
    """Compare runs: pool the seeds of each configuration, test every other one against the first.

    Args:
        paths: Run directories; only their record.json is read.
        measures: Names of the measures to compare; by default all but those of single latents,
            whose numbers mean another thing in every run. Holm's correction is over all tests
            made, so few questions asked beforehand are answered more sharply.

    Raises:
        UserError: Fewer than two runs, one that is missing, damaged or without measures, one given
            twice, a measure that none has, or runs that have nothing in common.
    """
    if len(paths) < 2:
        raise UserError("Name at least two run directories to compare.")
    configurations = _configurations({path: _read(path) for path in paths}, paths)
    names = _common(configurations)
    found = {site: _estimates(configurations, site, measures) for site in names}
    if measures is not None:
        _check_names(measures, found, configurations)
    tests = {
        (site, name, other): difference(estimates[other], estimates["A"])
        for site, rows in found.items()
        for name, estimates in rows.items()
        for other in estimates
        if other != "A" and "A" in estimates
    }
    corrected = holm([test.p for test in tests.values()])
    tested = {
        key: dataclasses.replace(test, p_holm=p)
        for (key, test), p in zip(tests.items(), corrected, strict=True)
    }
    sites = {
        site: {
            name: Row(e, {o: tested[site, name, o] for o in e if (site, name, o) in tested})
            for name, e in rows.items()
        }
        for site, rows in found.items()
    }
    return Comparison(configurations, sites, tuple(_notes(configurations, sites)))


def _read(path: Path) -> Record:
    record = read_record(path)
    if not any(site.measures for site in record.sites.values()):
        reason = record.reason or f"its study is {record.status}"
        raise UserError(f"{path} has no measures yet ({reason}); finish it, or leave it out.")
    return record


def _configurations(
    records: Mapping[Path, Record], paths: Sequence[Path]
) -> tuple[Configuration, ...]:
    """Runs grouped by all that is not circumstance, and the fields in which the groups differ."""
    groups: dict[str, dict[int, Path]] = {}
    for path in paths:
        members = groups.setdefault(json.dumps(_settings(records[path])), {})
        seed = records[path].seed
        if seed in members:
            raise UserError(
                f"{members[seed]} and {path} have the same configuration and seed; name one of "
                "them, since seeds of a configuration are pooled."
            )
        members[seed] = path
    settings = [json.loads(key) for key in groups]
    names = dict.fromkeys(name for fields in settings for name in fields)
    differing = [n for n in names if len({json.dumps(fields.get(n)) for fields in settings}) > 1]
    made = []
    for place, (fields, members) in enumerate(zip(settings, groups.values(), strict=True)):
        runs = dict(sorted(members.items()))
        shown = {field: fields.get(field) for field in differing}
        each = {seed: records[path] for seed, path in runs.items()}
        made.append(Configuration(letter(place), shown, runs, each))
    return tuple(made)


def _settings(record: Record) -> dict[str, Any]:
    """What makes a configuration; a field that an older record lacks is one that it does not set.

    It is not given its default, since the code was another one then.
    """
    flat = flattened(renewed(record.config))
    kept = {n: v for n, v in flat.items() if n not in _CIRCUMSTANCES and v is not None}
    fingerprint = record.dataset and record.dataset.fingerprint[:12]
    return dict(sorted(kept.items())) | {"images": fingerprint}


def _common(configurations: Sequence[Configuration]) -> list[str]:
    """Sites of A that another configuration has as well; all of A's where there is no other."""
    had = [_sites(configuration) for configuration in configurations]
    common = [name for name in had[0] if len(had) == 1 or any(name in h for h in had[1:])]
    if not common:
        each = "; ".join(
            f"{c.name}: {', '.join(h)}" for c, h in zip(configurations, had, strict=True)
        )
        raise UserError(f"The runs have no site in common ({each}); there is nothing to compare.")
    return common


def _sites(configuration: Configuration) -> list[str]:
    sites = (entry for record in configuration.records.values() for entry in record.sites.items())
    return list(dict.fromkeys(name for name, site in sites if site.measures))


def _estimates(
    configurations: Sequence[Configuration], site: str, measures: Sequence[str] | None
) -> dict[str, dict[str, Estimate]]:
    """Measure to configuration to estimate, in the registry's order."""
    found: dict[str, dict[str, Estimate]] = {}
    for configuration in configurations:
        for name, each in results_of(configuration, site).items():
            if name in measures if measures is not None else not _of_latent(name):
                estimate = pool(list(each.values()), known(name))
                found.setdefault(name, {})[configuration.name] = estimate
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def results_of(configuration: Configuration, site: str) -> dict[str, dict[int, MeasureRecord]]:
    """Measure to seed to result, of those that have a value."""
    found: dict[str, dict[int, MeasureRecord]] = {}
    for seed, record in configuration.records.items():
        for name, result in record.sites.get(site, SiteRecord()).measures.items():
            if result.value is not None:
                found.setdefault(name, {})[seed] = result
    return found


def known(name: str) -> Measure | None:
    """What the registry says; None for a measure of an older or newer version."""
    try:
        return lookup(name)
    except KeyError:
        return None


def _of_latent(name: str) -> bool:
    """Whether a measure is of one latent, whose number means another thing in every run."""
    return known(name) is not None and "{z}" in list(REGISTRY)[order(name)[0]]


def _place(name: str) -> int | float:
    return order(name)[0] if known(name) else math.inf


def _check_names(
    wanted: Sequence[str],
    found: Mapping[str, Mapping[str, Any]],
    configurations: Sequence[Configuration],
) -> None:
    for name in wanted:
        if not any(name in rows for rows in found.values()):
            there = {n for site in found for c in configurations for n in results_of(c, site)}
            near = difflib.get_close_matches(name, sorted(there), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"None of the runs has a measure {name!r}.{hint}")


def _notes(
    configurations: Sequence[Configuration], sites: Mapping[str, Mapping[str, Row]]
) -> list[str]:
    """What a reader must know before believing the table."""
    notes = [note for configuration in configurations for note in _notes_on(configuration, sites)]
    if "images" in configurations[0].settings:
        notes.append("The images are not the same everywhere; a difference may be one of them.")
    lonely = [c.name for c in configurations if len(c.runs) == 1]
    if lonely and len(configurations) > 1:
        notes.append(
            f"One seed only of {' and '.join(lonely)}: such an interval says nothing of other "
            "seeds, so a difference is one between these runs."
        )
    return notes


def _notes_on(configuration: Configuration, sites: Mapping[str, Mapping[str, Row]]) -> list[str]:
    name, notes = configuration.name, []
    own = _sites(configuration)
    if other := [site for site in own if site not in sites]:
        lacks = "no other has" if name == "A" else "A lacks"
        notes.append(f"{name} has {numbered('site', other)}, which {lacks}; left out.")
    if missing := [site for site in sites if site not in own]:
        notes.append(f"{name} has no measures of {numbered('site', missing)}.")
    for site, rows in sites.items():
        lacking = [m for m, row in rows.items() if site in own and name not in row.estimates]
        if lacking:
            names = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
            notes.append(f"{name} lacks measures of {site}: {names}.")
        for seed, record in configuration.records.items():
            verdict = record.sites.get(site, SiteRecord()).verdict
            if site in own and verdict != "converged":
                notes.append(f"{name}, {site}, seed {seed}: {verdict or 'not assessed'}.")
    commits = {record.git and record.git.commit for record in configuration.records.values()}
    if len(commits) > 1:
        notes.append(f"The runs of {name} were made by different versions of the code.")
    return notes


def numbered(word: str, things: Sequence[object]) -> str:
    """`seed 0`, or `seeds 0, 1`."""
    return f"{word}{'s' if len(things) > 1 else ''} {', '.join(map(str, things))}"
