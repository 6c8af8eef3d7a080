"""A study in parts: each stage by itself, after those it needs, and run anew."""

import errno
import fcntl
import os
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from accidents import contents
from commands import command, record_of
from configs import micro
from records import DATASET
from torch import Tensor

from filtergan import study
from filtergan.config.parsing import dump
from filtergan.errors import UserError
from filtergan.game.training import Game
from filtergan.machine.files import sha256
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import read_events
from filtergan.runs.locking import alone_in
from filtergan.study.stages import built_on, stages_of

pytestmark = pytest.mark.usefixtures("unpainted")


def weights_of(path: Path, site: str = "conv2@activation") -> str:
    return sha256(path / site / "generator.safetensors")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, unpainted: None) -> Path:
    """A finished micro study made in one go; tests look at it and change nothing."""
    path = tmp_path_factory.mktemp("micro") / "run"
    study.run(micro(), path)
    return path


def test_in_two_parts(small: Path, tmp_path: Path) -> None:
    (tmp_path / "micro.yaml").write_text(dump(micro()))
    run = tmp_path / "run"
    arguments = ("study", "--config", tmp_path / "micro.yaml", "--out", run)
    said = command(*arguments, "--until", "train-gan")
    assert said == f"The run directory: {run}\n"
    record = record_of(run)
    assert list(record["stages"]) == ["train-cnn", "ceilings", "train-gan"]
    assert record["status"] == "running"
    assert not (run / "conv2@activation" / "traversal.safetensors").exists()
    made = weights_of(run)
    command(*arguments, "--resume")
    record = record_of(run)
    assert record["status"] == "finished"
    assert [s["attempts"] for s in record["stages"].values()] == [1] * len(stages_of(micro()))
    assert weights_of(run) == made == weights_of(small)  # in parts or not, and in another folder
    assert sha256(run / "cnn.safetensors") == sha256(small / "cnn.safetensors")


def test_in_parts_the_numbers_are_the_same(small: Path, tmp_path: Path) -> None:
    """Each stage alone, from the run directory only, finds what the whole study found."""
    run = tmp_path / "run"
    study.run(micro(), run, until="train-cnn")
    for name in stages_of(micro())[1:]:
        command(name, run)
    one, other = (record_of(path) for path in (small, run))
    assert other["status"] == "finished"
    assert one["sites"] == other["sites"]
    assert one["cnn"] == other["cnn"]


def test_another_seed_gives_another_generator(small: Path, tmp_path: Path) -> None:
    study.run(micro(seed=1), tmp_path / "run", until="train-gan")
    assert weights_of(tmp_path / "run") != weights_of(small)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("train-gan", "train-cnn"),
        ("traverse", "train-gan"),
        ("measure", "train-gan"),
        ("measure", "train-judges"),
    ],
)
def test_a_stage_needs_those_before_it(tmp_path: Path, name: str, missing: str) -> None:
    run = RunDirectory.create(tmp_path, micro())
    for other in study.STAGES.keys() - built_on(missing, micro()):
        with run.stage(other):
            pass
    before = (tmp_path / "record.json").read_bytes()
    with pytest.raises(UserError, match=f"no finished stage '{missing}'.* `filtergan {missing} "):
        study.run_stage(name, tmp_path)
    assert (tmp_path / "record.json").read_bytes() == before


def test_a_stage_of_a_recipe_needs_a_site_of_it(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, micro())
    with pytest.raises(UserError, match="has no site of the natural recipe"):
        study.run_stage("natural", run.path)


def test_a_stage_needs_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no study"):
        study.run_stage("measure", tmp_path)
    assert not list(tmp_path.iterdir())


def test_images_other_than_those_of_the_run_are_refused(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, micro())
    with run.stage("train-cnn"):
        run.record.dataset = DATASET
    (tmp_path / "cnn.safetensors").write_bytes(b"weights")
    before = contents(tmp_path)
    for name in ("train-cnn", "train-gan", "train-judges"):
        with pytest.raises(UserError, match=f"images of 'digits' are not those of {tmp_path}; "):
            study.run_stage(name, tmp_path)
        assert contents(tmp_path) == before
    with pytest.raises(UserError, match="are not those of"):
        study.run(micro(), tmp_path, resume=True)
    assert contents(tmp_path).keys() == before.keys()
    assert RunDirectory.open(tmp_path).record.stages == run.record.stages


def test_a_second_command_at_work_in_a_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunDirectory.create(tmp_path, micro())
    before = contents(tmp_path)
    with alone_in(tmp_path):
        for second in (
            partial(study.run_stage, "report", tmp_path),
            partial(study.run, micro(), tmp_path, resume=True),
        ):
            with pytest.raises(UserError, match=f"Another command is at work in {tmp_path}; wait"):
                second()
    assert contents(tmp_path) == before
    study.run_stage("report", tmp_path)

    def unknown(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass


def test_a_report_of_what_there_is(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, micro())
    study.run_stage("report", tmp_path)
    assert (tmp_path / "report.html").exists()
    assert record_of(run.path)["status"] == "running"


def test_the_record_names_the_device_that_a_stage_was_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("filtergan.runs.directory.backend", lambda device: f"by {device}")
    run = RunDirectory.create(tmp_path, micro())
    for device, told in ((None, "by auto"), ("cpu", "by cpu")):
        study.run_stage("report", tmp_path, device)
        assert record_of(run.path)["stages"]["report"]["backend"] == told


def test_a_stage_run_anew_takes_back_what_was_built_on_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study.run(micro(), run, until="train-gan")
    checkpoint = run / "conv2@activation" / "checkpoint" / "game.safetensors"
    made = weights_of(run)
    study.run_stage("train-gan", run)  # from its first step, not from the end of the last game
    record = record_of(run)
    assert record["stages"]["train-gan"]["done"]
    assert [e["step"] for e in read_events(run / "events.jsonl") if "gan" in e["stage"]] == [
        *range(2, 13, 2)
    ]
    assert weights_of(run) == made
    with pytest.raises(UserError, match="has of ceilings, train-gan is built on 'train-cnn' and"):
        study.run_stage("train-cnn", run)
    assert record_of(run) == record
    study.run_stage("train-cnn", run, overwrite=True)
    assert list(record_of(run)["stages"]) == ["train-cnn"]
    assert not checkpoint.exists()  # it belongs to the network that was


def test_an_interrupted_stage_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, played, calls = tmp_path / "run", Game.play, count(1)
    study.run(micro(), run, until="train-cnn")

    def play(game: Game, inputs: Tensor) -> dict[str, Tensor]:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return played(game, inputs)

    monkeypatch.setattr(Game, "play", play)
    with pytest.raises(KeyboardInterrupt):
        study.run_stage("train-gan", run)
    study.run_stage("train-gan", run)
    assert next(calls) == 1 + 7 + 12 - 4  # the checkpoint is that of step 4
    assert record_of(run)["stages"]["train-gan"]["attempts"] == 2
    made = weights_of(run)
    study.run_stage("train-gan", run)  # from its first step
    assert weights_of(run) == made
