"""A run directory survives a kill at any moment, and nobody's files are lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from filtergan.config.fields import StudyConfig, TraversalConfig
from filtergan.config.parsing import dump, load
from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.machine import files, provenance
from filtergan.machine.files import load_tensors, save_tensors, write_atomic
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import EventLog
from filtergan.runs.record import MeasureRecord, Record

TENSORS = {"weight": torch.arange(24.0).reshape(2, 3, 4), "count": torch.tensor(7)}


def everything(path: Path) -> set[str]:
    return {str(item.relative_to(path)) for item in path.rglob("*") if not item.is_dir()}


class Killed(BaseException):
    """Stands for a SIGKILL: nothing that runs afterwards may matter."""


def test_a_new_directory(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", tiny())
    assert everything(run.path) == {"record.json", "config.yaml"}
    assert load(run.path / "config.yaml") == tiny()
    record = json.loads((run.path / "record.json").read_text())
    assert Record.model_validate(record) == run.record
    assert record["status"] == "running"
    assert record["config"] == json.loads(tiny().model_dump_json())
    assert record["versions"]["torch"] == torch.__version__
    assert record["device"]["cores"] == os.cpu_count()
    assert set(record["sites"]) == set(tiny().sites)


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    (tmp_path / f".record.json.1{files.PART}").write_text("killed while the record was written")
    RunDirectory.create(tmp_path, tiny())


def test_opened_as_created(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, tiny())
    spread = MeasureRecord(value=float("nan"), ci95=(0.0, float("inf")))
    measures = {"filter_spread": spread, "labels_kept": MeasureRecord(value=1.0)}
    run.site("conv4@activation").measures = measures
    run.set_verdict("conv4@activation", "converged", "all is well")
    again = RunDirectory.open(tmp_path)
    assert again.config == tiny()
    site = again.record.sites["conv4@activation"]
    assert (site.verdict, site.reason) == ("converged", "all is well")
    assert site.measures["filter_spread"] == MeasureRecord(value=None, ci95=(0.0, None))
    assert site.measures["labels_kept"] == MeasureRecord(value=1.0)


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_strangers_folder_is_left_alone(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="something other than a study"):
        RunDirectory.create(tmp_path, tiny(), **options)
    with pytest.raises(UserError, match="is a file"):
        RunDirectory.create(tmp_path / "thesis.tex", tiny(), **options)
    (tmp_path / "record.json").write_text('{"schema": "discogs", "title": "Blue"}')
    with pytest.raises(UserError):
        RunDirectory.create(tmp_path, tiny(), **options)
    assert everything(tmp_path) == {"thesis.tex", "record.json"}
    assert "Blue" in (tmp_path / "record.json").read_text()


def test_an_unfinished_study(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, tiny())
    with run.stage("train-cnn"):
        pass
    with pytest.raises(UserError, match=r"unfinished.*--resume.*--overwrite"):
        RunDirectory.create(tmp_path, tiny())
    run.fail("the loss turned to NaN at step 3")
    (tmp_path / f".x.1{files.PART}").write_text("")
    again = RunDirectory.create(tmp_path, tiny(), resume=True)
    assert again.stage_done("train-cnn")
    assert not again.stage_done("train-gan")
    assert again.record.status == "running"
    assert again.record.reason is None
    assert len(again.record.resumed) == 1
    assert everything(tmp_path) == {"record.json", "config.yaml"}


def test_a_finished_study(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, tiny()).finish()
    before = (tmp_path / "record.json").read_bytes()
    with pytest.raises(UserError, match=r"finished study.*--overwrite"):
        RunDirectory.create(tmp_path, tiny())
    assert RunDirectory.create(tmp_path, tiny(), resume=True).record.status == "finished"
    assert (tmp_path / "record.json").read_bytes() == before
    anew = RunDirectory.create(tmp_path, tiny(), overwrite=True)
    assert anew.record.status == "running"
    assert not anew.record.finished


def test_resume_needs_the_same_config(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, tiny())
    other = tiny().model_copy(update={"seed": 5, "traversal": TraversalConfig(dims=(0, 3))})
    with pytest.raises(UserError, match=r"other settings \(seed, .*traversal.dims.*--overwrite"):
        RunDirectory.create(tmp_path, other, resume=True)
    assert RunDirectory.open(tmp_path).config == tiny()


def test_a_config_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, tiny())
    (tmp_path / "config.yaml").write_text(dump(tiny().model_copy(update={"seed": 9})))
    with pytest.raises(UserError, match=r"changed after its study had begun \(seed\)"):
        RunDirectory.open(tmp_path)


def test_a_study_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    """Its config has settings that are gone, at the values that stand for what is done now."""
    run = RunDirectory.create(tmp_path, tiny())
    file, text = tmp_path / "config.yaml", (tmp_path / "config.yaml").read_text()
    file.write_text(text.replace("gan:\n", "gan:\n  r1: 0.0\n  share_trunk: true\n"))
    record = json.loads((tmp_path / "record.json").read_bytes())
    record["config"]["gan"] |= {"r1": 0.0, "share_trunk": True}
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert RunDirectory.open(tmp_path).config == tiny()
    assert RunDirectory.create(tmp_path, tiny(), resume=True).config == run.config


def test_overwrite_removes_what_filtergan_wrote_and_nothing_else(tmp_path: Path) -> None:
    config = tiny().model_copy(update={"layer": ("conv1", "conv3")})
    run = RunDirectory.create(tmp_path, config)
    ours = ["cnn.safetensors", "report.html", "figures/cnn.png", "checkpoint/cnn.safetensors"]
    ours += [
        "conv1@activation/generator.safetensors",
        "conv1@activation/checkpoint/state.safetensors",
    ]
    ours += ["conv3@activation/traversal.safetensors", "conv3@activation/figures/grid_0.png"]
    theirs = [
        "notes.txt",
        "my.safetensors",
        "figures/talk.pdf",
        "conv1@activation/idea.md",
        "own/cnn.png",
    ]
    for name in ours + theirs:
        write_atomic(tmp_path / name, b"content")
    with EventLog(run) as log:
        log.append("train-cnn", 1, loss=1.0)
    run.finish()

    RunDirectory.create(tmp_path, tiny(), overwrite=True)
    assert everything(tmp_path) == {*theirs, "record.json", "config.yaml"}
    assert not (tmp_path / "conv3@activation").exists()
    assert not (tmp_path / "tensorboard").exists()


def test_overwrite_spares_what_it_is_to_read(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", tiny())
    weights = run.path / "cnn.safetensors"
    save_tensors(weights, TENSORS)
    config = StudyConfig(model="package.module:factory", weights=str(weights))
    with pytest.raises(UserError, match="move it elsewhere"):
        RunDirectory.create(run.path, config, overwrite=True)
    assert weights.exists()


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": "filterg', b"\xff\xfe", b"[]", b"{}", b"null"]
)
def test_a_damaged_record(tmp_path: Path, content: bytes) -> None:
    RunDirectory.create(tmp_path, tiny())
    save_tensors(tmp_path / "conv4@activation" / "generator.safetensors", TENSORS)
    (tmp_path / "record.json").write_bytes(content)
    for act in (
        lambda: RunDirectory.open(tmp_path),
        lambda: RunDirectory.create(tmp_path, tiny()),
        lambda: RunDirectory.create(tmp_path, tiny(), resume=True),
    ):
        with pytest.raises(UserError, match=r"record.json (is damaged|was not written)"):
            act()
    assert (tmp_path / "conv4@activation" / "generator.safetensors").exists()
    RunDirectory.create(tmp_path, tiny(), overwrite=True)  # config.yaml shows whose it is
    assert everything(tmp_path) == {"record.json", "config.yaml"}


@pytest.mark.parametrize("key", ["config", "stages", "sites", "status"])
def test_a_record_with_a_part_missing(tmp_path: Path, key: str) -> None:
    RunDirectory.create(tmp_path, tiny())
    record = json.loads((tmp_path / "record.json").read_text())
    del record[key]
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="damaged"):
        RunDirectory.open(tmp_path)


def test_no_study_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="holds no study"):
            RunDirectory.open(path)


def _kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Die at the n-th change of the file system."""
    count = 0
    for name in ("replace", "unlink", "mkdir"):
        original = getattr(Path, name)

        def counted(self: Path, *args: Any, _original: Any = original, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > moment:
                raise Killed
            return _original(self, *args, **options)

        monkeypatch.setattr(Path, name, counted)


@pytest.mark.parametrize("moment", range(20))
def test_killed_while_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """An overwriting study, killed at its n-th change of the disk, resumes as if new."""
    old = RunDirectory.create(tmp_path / "run", tiny().model_copy(update={"layer": ("conv1",)}))
    stale = old.path / "conv1@activation" / "checkpoint" / "state.safetensors"
    save_tensors(stale, TENSORS)
    save_tensors(old.path / "cnn.safetensors", TENSORS)
    with old.stage("train-gan"):
        pass
    old.finish()
    before = (old.path / "record.json").read_bytes()

    with monkeypatch.context() as patch:
        _kill_at(patch, moment)
        with suppress(Killed):
            RunDirectory.create(old.path, tiny(), overwrite=True)
    if (old.path / "record.json").read_bytes() == before:  # too early to have done harm
        assert RunDirectory.open(old.path).stage_done("train-gan")
        assert stale.exists()
        return
    run = RunDirectory.create(old.path, tiny(), resume=True)
    assert run.record.status == "running"
    assert not run.stage_done("train-gan")
    assert everything(old.path) == {"record.json", "config.yaml"}


@pytest.mark.parametrize("moment", range(8))
def test_killed_while_creating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    with monkeypatch.context() as patch:
        _kill_at(patch, moment)
        with suppress(Killed):
            RunDirectory.create(tmp_path / "run", tiny())
    run = RunDirectory.create(tmp_path / "run", tiny(), resume=True)
    assert run.record.status == "running"
    assert load(run.path / "config.yaml") == tiny()


def test_opened_before_it_began(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, tiny())
    run.record.status = "starting"
    run.save()
    with pytest.raises(UserError, match="stopped before it began"):
        RunDirectory.open(tmp_path)


def test_a_stage_is_done_only_if_it_ends_well(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, tiny())
    with suppress(Killed), run.stage("measure"):
        assert RunDirectory.open(tmp_path).record.stages["measure"].done is False
        time.sleep(0.02)
        raise Killed
    first = RunDirectory.open(tmp_path).record.stages["measure"]
    assert first.done is False
    assert first.seconds >= 0.02

    with run.stage("measure"):
        pass
    entry = RunDirectory.open(tmp_path).record.stages["measure"]
    assert entry.done is True
    assert entry.seconds >= first.seconds  # attempts add up
    assert entry.attempts == 2
    assert 50 < (entry.peak_memory_mib or 0) < 100_000
    assert entry.backend == provenance.backend("auto")
    assert entry.threads == torch.get_num_threads()

    with run.stage("measure"):
        pass
    assert run.record.stages["measure"].attempts == 1  # once more, from the start


def test_a_full_disk_does_not_hide_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(tmp_path, tiny())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def stage() -> None:
        with run.stage("measure"):
            monkeypatch.setattr(os, "fsync", full)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    run.fail("division by zero")
    assert RunDirectory.open(tmp_path).record.stages["measure"].done is False


def test_site_folders_stay_inside(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, tiny())
    assert run.site_path("features.3@activation") == tmp_path / "features.3@activation"
    for layer in ("..", "../../etc", "a/b", ".hidden", "."):
        folder = run.site_path(layer)
        assert folder.is_dir()
        assert folder.parent == tmp_path


def test_git_state_is_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "provenance.py").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert provenance.git_state() is None  # inside a repository, but no part of it
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m"], check=True)
    state = provenance.git_state()
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["clean"] is True
    (package / "provenance.py").write_text("changed")
    assert provenance.git_state() == state | {"clean": False}
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state() is None


WRITER = """
import sys
from pathlib import Path
import torch
from filtergan.config.presets import tiny
from filtergan.runs.directory import RunDirectory
from filtergan.machine.files import save_tensors
run = RunDirectory.create(Path(sys.argv[1]), tiny(), overwrite=True)
print("begun", flush=True)
for step in range(10**9):
    run.record.seed = step
    save_tensors(run.path / "cnn.safetensors", {"x": torch.full((20000,), float(step))})
    run.save()
"""


@pytest.mark.slow
def test_killed_for_real_every_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run"
    for delay in (0.02, 0.09):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            while not (path / "cnn.safetensors").exists():
                time.sleep(0.001)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        step = RunDirectory.open(path).record.seed
        values = load_tensors(path / "cnn.safetensors")["x"].unique()
        assert values.tolist() in ([step], [step + 1])
        RunDirectory.create(path, tiny(), resume=True)
        assert everything(path) == {"record.json", "config.yaml", "cnn.safetensors"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems are not told apart")
def test_peak_memory_is_not_the_parents() -> None:
    child = "from filtergan.machine.provenance import peak_memory_mib; print(peak_memory_mib())"
    parent = (
        "import subprocess, sys; large = b'x' * 2**30; "
        f"print(subprocess.check_output([sys.executable, '-c', {child!r}], text=True))"
    )
    peak = float(subprocess.check_output([sys.executable, "-c", parent], text=True))
    assert 50 < peak < 1000
