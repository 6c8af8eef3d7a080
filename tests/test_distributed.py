"""Several processes compute what one does, end together, and go on in any number."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import ending
import pytest
import several
import stopped
import torch
from commands import record_of
from configs import micro
from lines import without_the_way

from filtergan import cli, study
from filtergan.cli import launcher
from filtergan.cli.launcher import free_port
from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import dump
from filtergan.errors import GO_ON, UserError
from filtergan.machine import distributed, runtime
from filtergan.machine.files import load_tensors
from filtergan.runs.events import read_events
from filtergan.study.stages import stages_of

CONFIG = micro(
    cnn={"channels": (4, 5), "pool_after": (1, 2), "epochs": 8, "batch": 20},
    judges={"networks": 1, "epochs": 1},
    gan={"steps": 30, "batch": 7, "checkpoint_every": 10, "log_every": 1},
    traversal={
        "measured_images": 18,
        "group": 3,
        "path_images": 2,
        "path_radii": (1, 2, 3),
        "axis_images": 2,
        "combinations": 1,
        "repeat_images": 2,
        "repeat_points": 2,
        "evaluations": 3,
        "batch": 8,
    },
    measure={"map_filters": 2, "resamples": 20},
)

PATIENCE = 900
"""Seconds after which a process is taken to hang; on a busy machine all take their time."""

LONG = CONFIG.model_copy(update={"gan": CONFIG.gan.model_copy(update={"steps": 100_000})})


def environment(**more: str) -> dict[str, str]:
    """Of processes that fail where they end beside a thread of their group."""
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here / "watched", here, Path(study.__file__).parents[2])))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | more


def start_script(
    processes: int, script: ModuleType, *arguments: str
) -> list[subprocess.Popen[str]]:
    """So many processes of a script, that know of each other as torchrun's do."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GROUP_RANK": "0"}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    command = [sys.executable, str(script.__file__), *arguments]
    started = []
    for rank in range(processes):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        started.append(start(command, **(shared | own if processes > 1 else {})))
    return started


def run_script(processes: int, folder: Path, precision: str) -> None:
    """Run `several` in so many processes, and wait for all."""
    for process in start_script(processes, several, str(folder), precision):
        finish(process, 0)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# ------------------------------------------------------------------------------ the same numbers


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.usefixtures("double")
def test_as_one_process(processes: int, tmp_path: Path) -> None:
    """Trajectories of the game are equal within rounding, all that is spread is equal."""
    run_script(processes, tmp_path, "32-true")
    ours, oracle = load_tensors(tmp_path / "double"), several.found()
    assert ours.keys() == oracle.keys()
    for name, expected in oracle.items():
        if name.startswith(("losses", "average")):
            torch.testing.assert_close(ours[name], expected, rtol=1e-8, atol=1e-8, msg=name)
        elif expected.dtype == torch.bool:
            assert torch.equal(ours[name], expected), name
        else:  # the generator that walks was trained by other sums
            torch.testing.assert_close(ours[name], expected, rtol=1e-6, atol=1e-6, msg=name)
    agreed = load_tensors(tmp_path / "agreed")
    assert bool(agreed["read"])
    assert bool((agreed["weight"] == 1).all())
    assert agreed["shares"].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(agreed["kept"], oracle["single"])


@pytest.mark.slow
def test_mixed_precision(tmp_path: Path) -> None:
    """Losses in bfloat16 stay finite and begin where those in 32 bits do."""
    run_script(1, tmp_path, "bf16-mixed")
    mixed, single = load_tensors(tmp_path / "mixed"), several.first_losses()
    for name, expected in single.items():
        assert mixed[name].isfinite().all()
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name][0], expected[0], rtol=0.03, atol=0.01, msg=name)
        assert not torch.equal(mixed[name][0], expected[0])


# ------------------------------------------------------------------------------------ whole runs


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "filtergan.cli", *map(str, arguments)]


def begin(folder: Path, config: StudyConfig, *more: str | Path) -> list[str]:
    """The command that runs this config in `folder / run`."""
    file = folder / "a config.yaml"
    file.write_text(dump(config))
    return command("study", "--config", file, "--out", folder / "run", *more)


def finish(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, out + err
    return out, err


def start(arguments: list[str], **variables: str) -> subprocess.Popen[str]:
    """A process that Ctrl-C reaches, also where these tests are a shell's job in the background."""
    return subprocess.Popen(
        arguments,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> dict[int, int]:
    """Process ids of a launcher's processes by their rank."""
    found = {}
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        ranks = [v.partition("=")[2] for v in variables if v.startswith("RANK=")]
        found |= {int(rank): int(pid) for rank in ranks}
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def losses_of(run: Path) -> list[dict[str, float]]:
    events = [
        e for e in read_events(run / "events.jsonl") if e["stage"] == "train-gan/conv2@activation"
    ]
    return [{k: v for k, v in e.items() if k not in ("stage", "seconds")} for e in events]


def assert_same_losses(ours: Path, oracle: Path) -> None:
    one, other = losses_of(ours), losses_of(oracle)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)  # rounding, grown over 30 steps


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole study in one process."""
    path = tmp_path_factory.mktemp("alone") / "run"
    threads = torch.get_num_threads()
    study.run(CONFIG, path)
    torch.set_num_threads(threads)
    return path


@pytest.mark.slow
def test_a_whole_study(alone: Path, tmp_path: Path) -> None:
    """Two processes write one run, with the measures of one process."""
    out, err = finish(start(begin(tmp_path, CONFIG, "--processes", "2")), 0)
    assert out.count("The report:") == 1
    assert without_the_way(err) == ""
    stages = re.findall(r"^filtergan: (?:stage \d of \d, )?(\S+) (?:begins|took)", err, re.M)
    assert stages == [name for name in stages_of(CONFIG) for _ in range(2)]
    bars = [line for line in err.splitlines() if re.search(r"^  .*: .* [\d.]+ s$", line)]
    assert len({line.partition(":")[0] for line in bars}) == len(bars)  # each is told once
    run = tmp_path / "run"
    ours, oracle = record_of(run), record_of(alone)
    assert {stage["processes"] for stage in ours["stages"].values()} == {2}
    assert ours["config"] == oracle["config"]
    assert_same_losses(run, alone)
    found, expected = (r["sites"]["conv2@activation"]["measures"] for r in (ours, oracle))
    assert found.keys() == expected.keys()
    for name, entry in expected.items():
        value = entry["value"]
        close = pytest.approx(value, rel=1e-4, abs=1e-4, nan_ok=True) if value is not None else None
        assert found[name]["value"] == close, name
    files = [
        {str(f.relative_to(p)) for f in p.rglob("*") if "tfevents" not in f.name}
        for p in (run, alone)
    ]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all(rank: int, alone: Path, tmp_path: Path) -> None:
    """The others end with a sentence, none is left, and one process goes on."""
    process = start(begin(tmp_path, LONG, "--processes", "2"))
    run, checkpoint = tmp_path / "run", tmp_path / "run" / "conv2@activation" / "checkpoint"
    until((checkpoint / "game.safetensors").exists)
    pids = children(process)
    os.kill(pids[rank], signal.SIGKILL)
    _, err = finish(process, 1)
    assert f"Process {rank} (of 0 to 1) was killed (SIGKILL) at step " in err
    assert f"last checkpoint is {checkpoint / 'game.safetensors'}; {GO_ON}." in err
    assert without_the_way(err).count("\n") == 1
    assert all(gone(pid) for pid in pids.values())
    steps = [e["step"] for e in losses_of(run)]
    assert steps == list(range(1, len(steps) + 1))
    load_tensors(checkpoint / "game.safetensors")


@pytest.mark.slow
def test_an_interrupt_ends_all(tmp_path: Path) -> None:
    """They end with the sentence of a single process, and none is left."""
    process = start(begin(tmp_path, LONG, "--processes", "2"))
    until((tmp_path / "run" / "conv2@activation" / "checkpoint" / "game.safetensors").exists)
    pids = children(process)
    process.send_signal(signal.SIGINT)
    _, err = finish(process, 130)
    assert without_the_way(err) == "filtergan: interrupted; continue with --resume\n"
    assert all(gone(pid) for pid in pids.values())


@pytest.mark.slow
def test_any_number_goes_on(alone: Path, tmp_path: Path) -> None:
    """Torchrun's two stop at step 15, one goes on to step 25, two to the end."""
    run, torchrun = tmp_path / "run", [sys.executable, "-m", "torch.distributed.run"]
    torchrun += ["--nproc-per-node", "2", "--master-port", str(free_port()), stopped.__file__]
    arguments = begin(tmp_path, CONFIG, "--until", "train-gan")[3:]
    start([*torchrun, "15", *arguments]).communicate(timeout=PATIENCE)
    assert losses_of(run)[-1]["step"] == 15
    arguments.append("--resume")
    finish(start([sys.executable, stopped.__file__, "25", *arguments]), 130)
    assert losses_of(run)[-1]["step"] == 25
    finish(start(command(*arguments, "--processes", "2")), 0)
    made = record_of(run)["stages"]["train-gan"]
    assert (made["processes"], made["attempts"]) == (2, 3)
    assert_same_losses(run, alone)


@pytest.mark.slow
def test_two_machines_and_one_mistake(tmp_path: Path) -> None:
    """Two commands as on two machines; a mistake that all processes meet is told once."""
    more = ("--processes", "1", "--nodes", "2", "--until", "train-cnn")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    arguments = begin(tmp_path, CONFIG, *more)
    machines = [start(arguments, **shared, NODE_RANK=rank) for rank in "01"]
    told = [finish(machine, 0) for machine in machines]
    assert [out.count("The run directory:") for out, _ in told] == [1, 0]
    assert record_of(tmp_path / "run")["stages"]["train-cnn"]["processes"] == 2

    _, err = finish(start(begin(tmp_path, CONFIG, "--processes", "2")), 2)
    assert err.startswith("filtergan: ")
    assert err.count("\n") == 1
    assert "holds an unfinished study; continue it with --resume" in err


# ---------------------------------------------------------------------------------- their end


@pytest.mark.parametrize(
    ("way", "codes", "words"),
    [
        ("success", (0, 0), ("", "")),
        ("mistake", (2, 2), ("filtergan: A mistake.", "")),
        ("interrupt", (130, 130), ("filtergan: interrupted", "filtergan: interrupted")),
        ("told to end", (1, 1), ("The run was told to end", "Another process of this run has")),
        ("told while it ends", (1, 1), ("A reason at step 3;", "A reason at step 3;")),
        ("killed", (-signal.SIGKILL, 1), ("", "Another process of this run has")),
        ("bug", (1, 1), ("AssertionError: a bug", "AssertionError: a bug")),
    ],
)
def test_no_thread_outlives_the_command(
    way: str, codes: tuple[int, int], words: tuple[str, str]
) -> None:
    """Where a thread of the process group lives when Python ends, a busy machine's aborts."""
    for process, code, word in zip(start_script(2, ending, way), codes, words, strict=True):
        _, err = finish(process, code)
        assert word in err
        assert bool(word) == bool(err)


# --------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--processes", "0"], {}, "--processes is 0; give 1 or more."),
        (["--nodes", "-1"], {}, "--nodes is -1; give 1 or more."),
        (["--nodes", "2"], {}, "set MASTER_ADDR and MASTER_PORT"),
        (["--processes", "two"], {}, "invalid int value: 'two'"),
        (["--precision", "8-bit"], {}, "precision: Input should be '32-true' or 'bf16-mixed'"),
        (["--processes", "3"], {"WORLD_SIZE": "2"}, "torchrun has started 2 processes on each"),
        ([], {"WORLD_SIZE": "two", "LOCAL_WORLD_SIZE": "1"}, "but WORLD_SIZE is no number of 1"),
        ([], {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is no number of 1"),
        ([], {"WORLD_SIZE": "40"}, "40 processes cannot share minibatches of 16 images"),
        (
            ["--recipe", "natural"],
            {"WORLD_SIZE": "40"},
            "40 processes cannot share the 16 pairs of latents",
        ),
    ],
)
def test_mistakes(
    arguments: list[str],
    variables: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(launcher, "serving", nullcontext)  # it takes SIGTERM
    if variables:
        variables = {"RANK": "0", "LOCAL_WORLD_SIZE": variables["WORLD_SIZE"]} | variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["study", "tiny", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_rank_without_a_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match=r"but WORLD_SIZE is no number .* unset RANK"):
        launcher.several(None, None)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_more_processes_than_cards(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for variable, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match="3 processes need a card each"):
        runtime.device(name)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert runtime.device("cuda") == torch.device("cuda", 1)


def test_threads_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [runtime.set_threads(n) for n in (9, 4, 1)] == [2, 1, 1]
    torch.set_num_threads(before)


def test_alone_nothing_is_divided() -> None:
    assert distributed.size() == 1
    assert distributed.first()
    assert distributed.share(5) == slice(0, 5)
    assert distributed.spread(lambda i: i + 1, [1, 2]) == [2, 3]
    assert distributed.lead(lambda: 3) == 3
