"""Whatever happens to a study, nothing is lost: damaged files, full disks, divergence."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from accidents import CONFIG, contents, weights
from commands import record_of, told

from filtergan import cli
from filtergan.config.parsing import load
from filtergan.machine.files import PART, load_tensors

pytestmark = pytest.mark.usefixtures("unpainted")


# -------------------------------------------------------------------------------- damaged files


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"\x00\xff" * 50 + content[100:])


@pytest.mark.parametrize("how", ["cut", "empty", "garbled"])
@pytest.mark.parametrize(
    "name",
    [
        "record.json",
        "config.yaml",
        "cnn.safetensors",
        "conv2@activation/generator.safetensors",
        "conv2@activation/discriminator.safetensors",
    ],
)
def test_a_damaged_file_of_a_study(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    damage(run / name, how)
    before = contents(run)
    config = begun.parent / "config.yaml"
    for command in (("traverse", run), ("study", "--config", config, "--out", run, "--resume")):
        said = told(capsys, *command)
        assert Path(name).name in said
        after = contents(run)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= ({"record.json"} if name.startswith("c") else set())


@pytest.mark.parametrize("how", ["cut", "empty", "garbled", "misfit"])
def test_a_damaged_checkpoint(
    begun: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    """The study stops and says so; without the checkpoint it begins that game anew."""
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    record = record_of(run)  # as if killed in the middle of the game at conv2
    record["stages"]["train-gan"] |= {"done": False, "sites": []}
    (run / "record.json").write_text(json.dumps(record))
    checkpoint = run / "conv2@activation" / "checkpoint" / "game.safetensors"
    if how == "misfit":
        shutil.copy(run / "conv1@activation" / "checkpoint" / "game.safetensors", checkpoint)
    else:
        damage(checkpoint, how)
    before = weights(run)
    config = begun.parent / "config.yaml"
    arguments = ("study", "--config", config, "--out", run, "--resume", "--until", "train-gan")
    said = told(capsys, *arguments)
    assert str(checkpoint) in said
    assert "--overwrite" in said or "remove" in said
    assert weights(run) == before
    assert record_of(run)["status"] == "failed"
    checkpoint.unlink()
    assert cli.main([str(a) for a in arguments]) == 0
    assert weights(run) == weights(begun)


def test_a_missing_traversal(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    record = record_of(run)
    record["stages"]["traverse"] = record["stages"]["train-gan"]
    (run / "record.json").write_text(json.dumps(record))
    assert f"run `filtergan traverse {run}` first" in told(capsys, "measure", run)


# ------------------------------------------------------------------------------ the world's fault


@pytest.mark.parametrize(("name", "time"), [("game.safetensors", 3), ("generator.safetensors", 1)])
def test_a_full_disk(
    begun: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    time: int,
) -> None:
    """From one moment on nothing can be written; when there is room again, the study goes on."""
    opened, times, full = Path.open, iter(range(1, 1000)), False

    def no_room(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        nonlocal full
        full = full or ("w" in mode and name in self.name and next(times) == time)
        if full and mode[0] in "wax":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *args, **options)

    run, config = tmp_path / "run", begun.parent / "config.yaml"
    arguments = ("study", "--config", config, "--out", run, "--until", "train-gan")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", no_room)
        said = told(capsys, *arguments, code=1)
    assert f"{name} could not be written: No space left on device." in said
    assert "--resume" in said
    kept = load_tensors(run / "conv2@activation" / "checkpoint" / "game.safetensors")
    steps = {float(value) for key, value in kept.items() if key.endswith(".step")}
    assert steps == {14.0 if name == "game.safetensors" else 40.0}
    assert not list(run.rglob(f"*{PART}"))
    assert load(run / "config.yaml") == CONFIG
    assert cli.main([str(a) for a in arguments] + ["--resume"]) == 0
    assert weights(run) == weights(begun)


def test_a_game_that_diverges(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = tmp_path / "run", begun.parent / "config.yaml"
    wild = ("--gan.generator-rate", "1e18", "--gan.discriminator-rate", "1e18")
    wild += ("--gan.spectral-norm", "false", "--gan.checkpoint-every", "1")
    said = told(capsys, "study", "--config", config, "--out", run, *wild, code=1)
    assert "diverged" in said
    assert "at step " in said
    record = record_of(run)
    assert record["status"] == "failed"
    assert record["sites"]["conv2@activation"]["verdict"] == "diverged"
    assert not record["stages"]["train-gan"]["done"]
    assert not (run / "conv2@activation" / "generator.safetensors").exists()
    for checkpoint in run.rglob("game.safetensors"):
        assert str(checkpoint) in said
        assert all(value.isfinite().all() for value in load_tensors(checkpoint).values())
    assert "diverged" in (run / "report.html").read_text()
    assert cli.main(["report", str(run)]) == 0
    assert "diverged" in capsys.readouterr().out


def test_a_network_whose_loss_is_no_number(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = tmp_path / "run", begun.parent / "config.yaml"
    wild = ("--cnn.rate", "1e38", "--cnn.weight-decay", "1e38")
    said = told(capsys, "study", "--config", config, "--out", run, *wild, code=1)
    assert "The loss of the network turned to" in said
    assert "at step " in said
    assert record_of(run)["status"] == "failed"
    assert not (run / "cnn.safetensors").exists()
