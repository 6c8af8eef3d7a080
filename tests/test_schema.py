"""The record's form: what is unknown is refused, and every record ever committed can be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from records import DATASET, NETWORK, begun

from filtergan.config.fields import StudyConfig
from filtergan.errors import UserError
from filtergan.runs.reading import read_record
from filtergan.runs.record import NOT_MEASURED, SCHEMA, MeasureRecord, Record

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = [
    path.parent
    for path in sorted(RESULTS.rglob("record.json"))
    if '"schema": "filtergan-record-' in path.read_text()[:100]  # the others are no studies
]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every plain value by its place; an empty part is one."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if not value:
        return {path: None}
    found = {}
    for key, item in items:
        plain = not isinstance(item, dict | list)
        found |= {f"{path}/{key}": item} if plain else leaves(item, f"{path}/{key}")
    return found


def test_there_are_records_of_studies() -> None:
    assert len(COMMITTED) >= 38


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_committed_record_is_read_without_loss(path: Path) -> None:
    before = json.loads((path / "record.json").read_bytes())
    after = json.loads(read_record(path).model_dump_json(by_alias=True))
    old, new = leaves(before), leaves(after)
    if old.pop("/schema") != SCHEMA:
        old = with_reading(old, before["config"]["response"])
    assert {place: new.get(place, "lost") for place in old} == old


def with_reading(old: dict[str, Any], point: str) -> dict[str, Any]:
    """What of an earlier record says a layer says a site now; all else must have stayed."""
    found = {}
    for place, value in old.items():
        kind, *rest = place.split("/")[1:]
        if kind == "sites":
            place = "/".join(["", kind, f"{rest[0]}@{point}", *rest[1:]])
        of_claim = kind == "claims" and rest[-1:] == ["layer"]
        if of_claim:
            place = place.removesuffix("layer") + "site"
        if of_claim or (kind == "stages" and "sites" in rest[:-1]):
            value = f"{value}@{point}"
        found[place] = value
    return found


def test_a_record_read_again_is_the_same(tmp_path: Path) -> None:
    record = begun(StudyConfig(), dataset=DATASET, cnn=NETWORK, claims={})
    (tmp_path / "record.json").write_text(record.model_dump_json(by_alias=True))
    assert read_record(tmp_path) == record


@pytest.mark.parametrize(
    ("place", "at"),
    [
        ((), "speed"),
        (("sites", "conv4@activation"), "sites.conv4@activation.speed"),
        (("stages", "measure"), "stages.measure.speed"),
        (("sites", "conv4@activation", "measures", "compensation"), "compensation.speed"),
    ],
)
def test_what_the_record_does_not_know_is_refused(
    tmp_path: Path, place: tuple[str, ...], at: str
) -> None:
    site = {"measures": {"compensation": NOT_MEASURED}}
    record = begun(StudyConfig(), stages={"measure": {}}, sites={"conv4@activation": site})
    values = json.loads(record.model_dump_json(by_alias=True))
    part = values
    for key in place:
        part = part[key]
    part["speed"] = 11
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"record.json is damaged at .*{at}\. "):
        read_record(tmp_path)


@pytest.mark.parametrize("schema", ["filtergan-record-0", "filtergan-record-4", "discogs", None, 1])
def test_a_record_of_an_unknown_schema_is_refused(tmp_path: Path, schema: Any) -> None:
    values = json.loads(begun(StudyConfig()).model_dump_json(by_alias=True)) | {"schema": schema}
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="not written by this version"):
        read_record(tmp_path)


def test_what_is_not_finite_is_no_number_and_what_is_wrong_is_refused() -> None:
    found = MeasureRecord(value=float("nan"), ci95=(float("-inf"), 1.0), null=float("inf"))
    assert (found.value, found.ci95, found.null) == (None, (None, 1.0), None)
    record = begun(StudyConfig())
    with pytest.raises(ValueError, match="status"):
        record.status = "done"  # pyright: ignore[reportAttributeAccessIssue]
    assert Record.model_validate_json(record.model_dump_json(by_alias=True)) == record
