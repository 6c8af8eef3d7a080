"""RESULTS.md and docs/results say what the committed records say."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import evidence
import pytest
import site_spectra
import undone

from filtergan.benchmark import standings
from filtergan.benchmark.methods import METHODS
from filtergan.runs.reading import read_record
from filtergan.runs.record import MeasureRecord, Record

ROOT = Path(__file__).parents[1]


def test_tables_are_those_of_the_records() -> None:
    command = [sys.executable, str(ROOT / "studies" / "results.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make results`"


@pytest.mark.parametrize("name", ["augment", "augment_colour", "augment_null"])
def test_contests_are_settled_by_their_trials(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((ROOT / "results" / name / "record.json").read_text())
    trials = record["trials"]
    # Some dials went as far as they do not go any more.
    most = {one["method"]: 0.0 for one in trials}
    for one in trials:
        most[one["method"]] = max(most[one["method"]], one["strength"])
    methods = {
        key: replace(method, most=method.most and most.get(key, method.most))
        for key, method in METHODS.items()
    }
    monkeypatch.setattr(standings, "METHODS", methods)
    found = standings.standings(trials, record["settings"]["budget"])
    assert_alike(json.loads(json.dumps(found)), record["results"])


def assert_alike(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_alike(value, other[key])
    else:
        assert one == pytest.approx(other, abs=1e-9)


def test_figures_shown_are_committed() -> None:
    for page in (ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "docs").rglob("*.md")):
        for line in page.read_text().splitlines():
            if line.startswith("!["):
                figure = line.rpartition("(")[2].rstrip(")")
                assert (page.parent / figure).is_file(), figure


def records(study: str) -> list[Record]:
    paths = sorted((ROOT / "results" / study).glob("*/record.json"))
    return [read_record(path.parent) for path in paths]


def shown(one: MeasureRecord | None, _: str) -> str:
    return "-" if one is None else str(one)


def known(value: float | None) -> float:
    assert value is not None
    return value


def between(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def test_ceilings_are_told_over_seeds() -> None:
    found = records("mnist_natural")
    head, lines = undone.ceilings(found, shown)
    place, row = head.index("conv4@bn5"), next(line for line in lines if line[0] == "slant 0.2")
    each = [r.sites["conv4@bn5/natural"].ceilings["slant 0.2"].compensation for r in found]
    value, null = row[place].split("; null ")
    assert value == between([known(one.value) for one in each])
    assert null == between([known(one.null) for one in each])
    # Of one seed, its interval.
    assert undone.ceilings(found[:1], shown)[1][0][place] == str(
        found[0].sites["conv4@bn5/natural"].ceilings["brightness x0.7"].compensation
    )
    assert undone.shares(found[:1], shown)[1][0][place] == str(
        found[0].sites["conv4@bn5/natural"].ceilings["brightness x0.7"].share
    )


def test_every_compensation_has_its_ceiling_and_its_sites_goal() -> None:
    found = records("mnist_natural")
    for name, goal in (("conv4@bn5/natural", "≥ 0.8"), ("conv2@activation/natural", "≥ 0.85")):
        _, lines = undone.natural(found, name, shown)
        _, median, ceiling = lines[:3]
        assert median[1] == goal
        assert ceiling[0].startswith("best ceiling")
        for record, middle, cell in zip(found, median[2:], ceiling[2:], strict=True):
            undone_by_t = record.sites[name].measures["compensation"]
            assert undone_by_t.quantiles is not None
            assert middle == f"{undone_by_t.quantiles['0.5']:.3f}"
            ceilings = record.sites[name].ceilings
            best = max(ceilings, key=lambda kind: known(ceilings[kind].compensation.value))
            assert cell == f"{best}: {ceilings[best].compensation}"


def test_sentences_over_readings_are_told_of_committed_measures() -> None:
    found = records("mnist_natural")
    head, lines = evidence.readings(found)
    assert len(head) == 1 + len(found)
    said = [line[0] for line in lines if line[0].startswith("**")]
    assert said[0].startswith("**conv4 read at activation (natural) ignores low-level")
    assert said[1].startswith("**conv4 read at bn5 (natural) ignores high-level")
    explained = next(line for line in lines if line[0].startswith("brightness and stroke width"))
    for record, cell in zip(found, explained[1:], strict=True):
        early, late = (
            known(
                record.sites[f"conv4@{point}/natural"].measures["explained_photometric_width"].value
            )
            for point in ("activation", "bn5")
        )
        assert f": {early - late:.2f} (" in cell


def test_limits_are_means_over_as_many_directions_as_there_are_latents() -> None:
    def direction(share: float, ceiling: float) -> dict[str, Any]:
        return {"share": share, "ceiling": {"value": ceiling, "null": -ceiling}}

    found = {
        "conv9@activation/natural": {
            "latents": 2,
            "undone": {"median": 0.7, "null": 0.1},
            "directions": [direction(0.9, 0.8), direction(0.7, 0.4), direction(0.1, 0.0)],
        }
    }
    _, lines = site_spectra.limits_of(found)
    assert lines == [["conv9@activation", "2", "0.80", "0.60 (-0.60)", "0.70 (0.10)"]]


def test_records_name_no_place_of_a_machine() -> None:
    for path in (ROOT / "results").rglob("*.json"):
        assert not re.findall(r'"(?:/|[A-Z]:\\)[^"]*"', path.read_text()), path
