"""The log of events, cut off by kills and cut back on resume."""

from pathlib import Path

import pytest

from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import EventLog, read_events


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", tiny())


def test_events_and_curves(run: RunDirectory) -> None:
    with EventLog(run) as log:
        log.append("train-gan/conv4", 50, samples=3200, loss=1.5)
        log.append("train-gan/conv4", 100, samples=6400, loss=float("nan"))
    events = read_events(run.path / "events.jsonl")
    assert [(e["stage"], e["step"], e["samples"]) for e in events] == [
        ("train-gan/conv4", 50, 3200),
        ("train-gan/conv4", 100, 6400),
    ]
    assert events[1]["loss"] is None
    assert 0 <= events[0]["seconds"] <= events[1]["seconds"]
    assert len(list(run.path.glob("tensorboard/*/events.out.tfevents.*"))) == 1


def test_no_events_yet(run: RunDirectory) -> None:
    assert read_events(run.path / "events.jsonl") == []
    with EventLog(run) as log:
        log.cut_back("train-cnn", 10)
    assert not (run.path / "events.jsonl").exists()


def test_cut_back_drops_later_lines_of_one_stage(run: RunDirectory) -> None:
    with EventLog(run) as log:
        for step in (0, 10, 20, 30):
            log.append("a", step, loss=float(step))
            log.append("b", step, loss=float(step))
    lines = (
        (run.path / "events.jsonl")
        .read_text()
        .replace('"step": 10, "seconds": 0.0', '"step": 10, "seconds": 500.0')
    )
    (run.path / "events.jsonl").write_text(lines)
    with EventLog(run) as log:
        log.cut_back("a", 10)
        log.append("a", 20, loss=-1.0)
        log.cut_back("b", -1)
    events = read_events(run.path / "events.jsonl")
    assert [(e["stage"], e["step"], e["loss"]) for e in events] == [
        ("a", 0, 0.0),
        ("a", 10, 10.0),
        ("a", 20, -1.0),
    ]
    assert events[2]["seconds"] >= events[1]["seconds"]  # time goes on where it was left


@pytest.mark.parametrize("rest", ["{", '{"stage": "a", "step": 20, "seconds": 1, "loss": 1.0}'])
def test_a_line_cut_off_by_a_kill_is_dropped(run: RunDirectory, rest: str) -> None:
    file = run.path / "events.jsonl"
    with EventLog(run) as log:
        log.append("a", 10, loss=1.0)
    whole = file.read_text()
    file.write_text(whole + rest)
    assert len(read_events(file)) == 1
    with EventLog(run) as log:
        assert file.read_text() == whole
        log.append("a", 20, loss=2.0)
    assert [e["step"] for e in read_events(file)] == [10, 20]


@pytest.mark.parametrize("line", ["{", "3", '{"stage": "a"}', "[1]"])
def test_a_damaged_line_in_the_middle_is_named(run: RunDirectory, line: str) -> None:
    good = '{"stage": "a", "step": 1, "seconds": 1}\n'
    (run.path / "events.jsonl").write_text(good + line + "\n" + good)
    with pytest.raises(UserError, match="line 2, is damaged"):
        read_events(run.path / "events.jsonl")


def test_a_log_that_cannot_be_written(run: RunDirectory) -> None:
    (run.path / "events.jsonl").mkdir()
    with (
        pytest.raises(UserError, match=r"could not be written|cannot be read"),
        EventLog(run) as log,
    ):
        log.append("a", 1, loss=1.0)
