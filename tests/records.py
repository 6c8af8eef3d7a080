"""Records made by hand: a study that has begun, and how a number of one is changed."""

from typing import Any

from filtergan.config.fields import StudyConfig
from filtergan.measures.registry import result
from filtergan.runs.record import (
    SCHEMA,
    DatasetRecord,
    Found,
    MeasureRecord,
    NetworkRecord,
    Record,
    SiteRecord,
)

DATASET = DatasetRecord(
    name="digits", fingerprint="f" * 64, train=10, test=5, shape=[1, 8, 8], classes=list("0123")
)
NETWORK = NetworkRecord(
    source="trained here",
    weights=None,
    accuracy=MeasureRecord(value=0.9941, n=10000),
    parameters=100_000,
    sha256="e" * 64,
)


def begun(study: StudyConfig, /, **parts: Any) -> Record:
    """The record of a study of this config that is running, with some parts in it."""
    plain: dict[str, Any] = {
        "schema": SCHEMA,
        "preset": study.preset,
        "config": study.model_dump(mode="json"),
        "seed": study.seed,
        "started": "2026-11-22T15:00:00+00:00",
        "status": "running",
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "device": {"requested": "cpu", "cpu": "x86_64", "cores": 2, "gpu": None},
        "git": None,
        "stages": {},
        "sites": {site: SiteRecord() for site in study.sites},
    }
    return Record.model_validate(plain | parts)


def put(found: Found, name: str, value: float | None) -> None:
    """Give a measure another value."""
    found[name] = found[name].model_copy(update={"value": value})


def measured(value: float, half: float | None = None, n: int = 1000) -> MeasureRecord:
    """A result with an interval of this half width."""
    ends = None if half is None else (value - half, value + half)
    return result("compensation", value, ends, n)
