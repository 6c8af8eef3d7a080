"""A study that is killed and resumed ends as one that was not."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from accidents import CONFIG, weights
from commands import record_of
from lines import without_the_way

from filtergan import study
from filtergan.config.parsing import dump
from filtergan.machine.files import PART, load_tensors
from filtergan.runs.events import read_events

pytestmark = pytest.mark.usefixtures("unpainted")


class Killed(BaseException):
    """Stands for a SIGKILL inside this process: nothing that runs afterwards may matter."""


# Imports once and forks a process for every command, since the imports take longer than the study.
LAUNCHER = """
import os, sys
import sklearn.datasets, sklearn.manifold, torch._dynamo, torch.utils.tensorboard
from filtergan import cli
from filtergan import study
from filtergan.figures import style
style.png = lambda figure: b"a picture"
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os._exit(cli.main(["study", *line.split()]))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Launcher:
    """Runs `filtergan study` in processes that can be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # so that `select` sees every line
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, line: str, kill_when: Callable[[], bool] = lambda: False) -> int:
        """Run a command and return its exit code: -9 if `kill_when` came true before its end."""
        asked, answers = self.process.stdin, self.process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(f"{line}\n".encode())
        pid = int(answers.readline())
        while not select.select([answers], [], [], 0.002)[0]:
            if kill_when():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                break
        return int(answers.readline())

    def close(self) -> str:
        """Stop, and return what was written to stderr."""
        return self.process.communicate(timeout=60)[1].decode()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    started = Launcher()
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


def moments(run: Path, rng: random.Random) -> list[tuple[str, Callable[[], bool]]]:
    """Random moments in every phase of a study, in their order, each with its name."""

    def line(stage: str, step: int) -> Callable[[], bool]:
        words = json.dumps({"stage": stage, "step": step})[1:-1].encode() + b","
        return lambda: (run / "events.jsonl").exists() and words in log()

    def log() -> bytes:
        return (run / "events.jsonl").read_bytes()

    def file(name: str) -> Callable[[], bool]:
        return (run / name).exists

    first, second = sorted(rng.sample(range(1, 40), 2))
    last = rng.randrange(1, 40)
    chosen = [
        ("the record", file("record.json")),
        ("the network", line("train-cnn", rng.randrange(1, 40))),
        (f"step {first} at conv2", line("train-gan/conv2@activation", first)),
        (f"step {second} at conv2", line("train-gan/conv2@activation", second)),
        ("the end of conv2", file("conv2@activation/discriminator.safetensors")),
        (f"step {last} at conv1", line("train-gan/conv1@activation", last)),
        ("the traversal", file("conv2@activation/figures/traversal.png")),
        ("the measures", file("conv2@activation/figures/filters.png")),
    ]

    def later(condition: Callable[[], bool], pause: float) -> Callable[[], bool]:
        def now() -> bool:
            if not condition():
                return False
            time.sleep(pause)
            return True

        return now

    return [(name, later(condition, rng.uniform(0, 0.06))) for name, condition in chosen]


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path, launcher: Launcher) -> None:
    """Killed in every phase and resumed, a study ends as an uninterrupted one, bit for bit."""
    (tmp_path / "c.yaml").write_text(dump(CONFIG))
    seed = random.randrange(10**9)
    print(f"moments drawn with seed {seed}")  # shown if the test fails
    command = f"--config {tmp_path / 'c.yaml'} --resume --out "
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert launcher.run(command + str(whole)) == 0

    killed = []
    for name, moment in moments(run, random.Random(seed)):
        code = launcher.run(command + str(run), moment)
        assert code in (0, -signal.SIGKILL), name
        if code:
            killed.append(name)
        for path in run.rglob("*"):  # every file is whole or absent
            if path.name.endswith(".safetensors"):
                assert load_tensors(path), name
        if (run / "record.json").exists():
            assert record_of(run)["schema"]
    assert len(killed) >= 5
    assert launcher.run(command + str(run)) == 0
    left = without_the_way(launcher.close()).splitlines()  # each was begun by `--resume` once
    assert [line.rpartition(" ")[2] for line in left] == ["begins"] * len(left)

    assert weights(run) == weights(whole)
    assert record_of(run)["status"] == "finished"
    assert record_of(run)["sites"] == record_of(whole)["sites"]
    for stage in ("train-gan/conv2@activation", "train-gan/conv1@activation"):
        for path in (run, whole):
            steps = [e["step"] for e in read_events(path / "events.jsonl") if e["stage"] == stage]
            assert steps == list(range(1, 41))
    assert not list(run.rglob(f"*{PART}"))


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("cnn.safetensors", 1),
        ("game.safetensors", 1),
        ("game.safetensors", 4),
        ("generator.safetensors", 1),
        ("discriminator.safetensors", 2),
    ],
)
def test_killed_as_a_file_is_written(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, time: int
) -> None:
    """Between the temporary file and its renaming, when the least is certain."""
    replace, times = Path.replace, iter(range(1, 1000))

    def cut(self: Path, target: Path) -> Path:
        if Path(target).name == name and next(times) == time:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process clears up nothing
        with pytest.raises(Killed):
            study.run(CONFIG, tmp_path / "run", until="train-gan")
    study.run(CONFIG, tmp_path / "run", until="train-gan", resume=True)
    assert weights(tmp_path / "run") == weights(begun)
    assert not list(tmp_path.rglob(f"*{PART}"))
