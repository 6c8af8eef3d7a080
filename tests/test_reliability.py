"""Whatever happens to a study, nothing is lost: kills, mistakes, damage, full disks, divergence."""

import errno
import json
import os
import pickle
import random
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import micro
from lines import without_the_way
from PIL import Image
from safetensors.torch import save_file

from filtergan import cli, study
from filtergan.config.fields import (
    dump,
    load,
)
from filtergan.figures import style
from filtergan.machine.files import PART, load_tensors, sha256
from filtergan.runs.events import read_events

CONFIG = micro(
    layer=("conv2", "conv1"),
    dataset={"test_limit": 20},
    cnn={"channels": (4, 5), "pool_after": (1, 2), "epochs": 8, "batch": 20},
    gan={"steps": 40, "checkpoint_every": 7, "log_every": 1},
    traversal={"measured_images": 2},
    measure={"map_filters": 2, "resamples": 20},
)


class Killed(BaseException):
    """Stands for a SIGKILL inside this process: nothing that runs afterwards may matter."""


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    """No pictures, which take longer than all else; and the threads as they were afterwards."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "png", lambda figure: b"a picture")
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that went as far as its generators and judges, in one go."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "config.yaml").write_text(dump(CONFIG))
    study.run(CONFIG, folder / "run", until="train-judges")
    return folder / "run"


def weights(run: Path) -> dict[str, str]:
    """What a study has learned and recovered, by the SHA-256 of each of its tensor files."""
    return {str(f.relative_to(run)): sha256(f) for f in sorted(run.rglob("*.safetensors"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "record.json").read_text())


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    said = without_the_way(err)
    assert err.endswith(said)
    assert said.startswith("filtergan: ")
    assert said.count("\n") == 1
    assert said.endswith(".\n")
    return said


# ------------------------------------------------------------------------------------- SIGKILL

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
        (f"step {first} at conv2", line("train-gan/conv2", first)),
        (f"step {second} at conv2", line("train-gan/conv2", second)),
        ("the end of conv2", file("conv2/discriminator.safetensors")),
        (f"step {last} at conv1", line("train-gan/conv1", last)),
        ("the traversal", file("conv2/figures/traversal.png")),
        ("the measures", file("conv2/figures/filters.png")),
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
    assert without_the_way(launcher.close()) == ""

    assert weights(run) == weights(whole)
    assert record_of(run)["status"] == "finished"
    assert record_of(run)["sites"] == record_of(whole)["sites"]
    for stage in ("train-gan/conv2", "train-gan/conv1"):
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


# ----------------------------------------------------------------------------------- bad input


def write_images(root: Path, size: int = 8, labelled: bool = True, channels: str = "L") -> None:
    for i in range(6):
        folder = root / ("ab"[i % 2] if labelled else ".")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new(channels, (size, size)).save(folder / f"{i}.png")


def make_bad_things(folder: Path) -> None:
    """Datasets, networks and weights that are no good, in the working directory."""
    (folder / "empty").mkdir()
    write_images(folder / "unlabelled", labelled=False)
    write_images(folder / "mixed", 8)
    Image.new("L", (9, 9)).save(folder / "mixed" / "a" / "large.png")
    write_images(folder / "colour", channels="RGB")
    write_images(folder / "small", size=2)
    write_images(folder / "file")
    (folder / "file" / "a" / "0.png").write_bytes(b"no picture")
    (folder / "reliablenet.py").write_text(
        textwrap.dedent("""
            from torch import nn
            def make():
                return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
            def two():
                return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
            def twice():
                conv = nn.Conv2d(1, 1, 3, padding=1)
                return nn.Sequential(conv, conv, nn.Flatten(), nn.Linear(64, 10))
            def large():
                return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(98, 10))
            def scripted():
                import torch, warnings
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return torch.jit.script(make())
            def lazy():
                return nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.LazyLinear(10))
            def broken():
                return 1 / 0
            def number():
                return 3
        """)
    )
    good = {"0.weight": torch.zeros(2, 1, 3, 3), "0.bias": torch.zeros(2)}
    good |= {"3.weight": torch.zeros(10, 72), "3.bias": torch.zeros(10)}
    save_file(good, folder / "good.safetensors")
    save_file(good | {"3.bias": torch.zeros(9)}, folder / "shape.safetensors")
    save_file({"0.weight": good["0.weight"]}, folder / "lacking.safetensors")
    save_file(good | {"more": torch.zeros(1)}, folder / "more.safetensors")
    half = (folder / "good.safetensors").read_bytes()[:-100]
    (folder / "half.safetensors").write_bytes(half)
    torch.save(good, folder / "whole.pt")
    (folder / "half.pt").write_bytes((folder / "whole.pt").read_bytes()[:-100])
    (folder / "evil.pt").write_bytes(pickle.dumps(Evil()))


class Evil:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch harmed",))


OWN = "--layer 0 --model reliablenet:make"
BAD = {
    "unknown preset": ("study minst", "no preset 'minst'; the presets are tiny, digits, mnist"),
    "no such layer": ("--layer conv9", "no layer 'conv9'; its convolutions are: conv1, conv2"),
    "one of two": ("--layer conv1 --layer c", "no layer 'c'; its convolutions are: conv1, conv2"),
    "no convolution": ("--layer bn1", "'bn1' is a BatchNorm2d, not a convolution"),
    "runs twice": ("--layer 0 --model reliablenet:twice", "runs 2 times"),
    "response point": ("--response conv1", "The response point 'conv1'"),
    "dataset missing": ("--data ./nowhere", "There is no folder './nowhere'"),
    "dataset is a file": ("--data good.safetensors", "is a file; name the folder"),
    "dataset empty": ("--data ./empty", "holds no dataset"),
    "unlabelled": ("--data ./unlabelled", "unlabelled"),
    "mixed sizes": ("--data ./mixed", "different sizes"),
    "damaged image": ("--data ./file", "damaged"),
    "no such column": ("--data ./colour --dataset.label-column y", "no column 'y'"),
    "channels": (
        "--data ./colour " + OWN,
        "cannot take the dataset's images of 3x8x8 (channels, height, width): its first "
        "convolution '0' takes 1 channel, they have 3.",
    ),
    "size": (
        "--data ./small " + OWN,
        "cannot take the dataset's images of 1x2x2 (channels, height, width): its layer '0', a "
        "Conv2d, fails on [2, 1, 2, 2]: RuntimeError: ",
    ),
    "size of a linear layer": (
        "--layer 0 --model reliablenet:large",
        "images of 1x8x8 (channels, height, width): its layer '3', a Linear, fails on [2, 72]: ",
    ),
    "TorchScript": ("--layer 0 --model reliablenet:scripted", "is a TorchScript module"),
    "lazy": ("--layer 0 --model reliablenet:lazy", "Layer '0' of the network is lazy"),
    "too small": ("--data ./small", "Images of 2x2 are too small"),
    "classes": ("--layer 0 --model reliablenet:two", "the dataset has 10 classes"),
    "poolings": ("--cnn.pool-after 1,2,3", "pool_after names convolution 3, but there are 2"),
    "weights missing": (OWN + " --weights no.safetensors", "no weights file no.safetensors"),
    "weights damaged": (OWN + " --weights half.safetensors", "half.safetensors is damaged"),
    "torch weights damaged": (OWN + " --weights half.pt", "half.pt is damaged"),
    "weights with code": (OWN + " --weights evil.pt", "never loaded"),
    "weights of other shapes": (
        OWN + " --weights shape.safetensors",
        "3.bias [9] instead of [10]",
    ),
    "weights lacking": (OWN + " --weights lacking.safetensors", "it lacks 0.bias, 3.weight"),
    "weights too many": (OWN + " --weights more.safetensors", "the network has no more"),
    "weights of nothing": ("--weights good.safetensors", "name its factory with --model"),
    "no such module": ("--model nonesuch:make", "cannot be imported"),
    "no such factory": ("--model reliablenet:none", "There is no 'none'"),
    "no factory named": ("--model reliablenet", "write package.module:factory"),
    "factory fails": ("--model reliablenet:broken", "ZeroDivisionError"),
    "no network": ("--model reliablenet:number", "returns int"),
    "zero draws": ("--measure.draws 0", "measure.draws"),
    "zero pooled": ("--measure.pooled 0", "measure.pooled"),
    "negative lambda": ("--gan.information -1", "gan.information"),
    "lambda no number": ("--gan.information nan", "gan.information"),
    "latent out of range": ("--traversal.dims 0,3", "latent dimension 3 is out of range; z has 3"),
    "latent negative": ("--traversal.dims=-1,0", "traversal.dims"),
    "zero latents": ("--gan.latent 0", "gan.latent"),
    "even grid": ("--traversal.grid 4", "grid must be odd"),
    "no layer": ("--layer ,", "layer"),
    "device": ("--device tpu", "There is no device 'tpu'"),
    "no such card": ("--device cuda:99", "cuda:99 is not available"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_costs_nothing(
    begun: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    """One sentence, and nothing written: no new folder, and no harm to what was to be replaced."""
    words, sentence = BAD[case]
    make_bad_things(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("reliablenet", None)
    shutil.copytree(begun, "run")
    before = contents(Path("run"))
    arguments = words.split()
    if arguments[0] != "study":
        arguments = ["study", "--config", str(begun.parent / "config.yaml"), *arguments]
    assert sentence in told(capsys, *arguments, "--out", "run", "--overwrite")
    assert contents(Path("run")) == before
    assert sentence in told(capsys, *arguments, "--out", "new")
    assert not Path("new").exists()
    assert not Path("harmed").exists()


@pytest.mark.parametrize("option", [(), ("--resume",), ("--overwrite",)])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_an_output_folder_with_something_else(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: Any, what: str
) -> None:
    out = tmp_path / "thesis"
    if what == "folder":
        out.mkdir()
        (out / "chapter.tex").write_text("years of work")
    else:
        out.write_text("years of work")
    before = contents(tmp_path)
    config = begun.parent / "config.yaml"
    said = told(capsys, "study", "--config", config, "--out", out, *option)
    assert "with --out" in said
    assert contents(tmp_path) == before


def test_an_output_folder_with_a_study(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    config = begun.parent / "config.yaml"
    before = contents(run)
    assert "an unfinished study" in told(capsys, "study", "--config", config, "--out", run)
    other = ("study", "--config", config, "--out", run, "--seed", "7", "--resume")
    assert "other settings (seed)" in told(capsys, *other)
    assert contents(run) == before
    record = record_of(run) | {"status": "finished"}
    (run / "record.json").write_text(json.dumps(record))
    before = contents(run)
    said = told(capsys, "study", "--config", config, "--out", run)
    assert "a finished study" in said
    assert "--overwrite" in said
    assert contents(run) == before


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
        "conv2/generator.safetensors",
        "conv2/discriminator.safetensors",
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
    checkpoint = run / "conv2" / "checkpoint" / "game.safetensors"
    if how == "misfit":
        shutil.copy(run / "conv1" / "checkpoint" / "game.safetensors", checkpoint)
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


def test_a_damaged_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    for content, words in (
        ("layer: [conv1", "is not valid YAML"),
        ("just words", "holds no settings"),
        (dump(CONFIG) + "\nspeed: 11", "speed"),
        (dump(CONFIG).replace("steps: 40", "steps: -40"), "gan.steps"),
    ):
        path.write_text(content)
        assert words in told(capsys, "study", "--config", path, "--out", tmp_path / "run")
    assert list(tmp_path.iterdir()) == [path]


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
    kept = load_tensors(run / "conv2" / "checkpoint" / "game.safetensors")
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
    assert record["sites"]["conv2"]["verdict"] == "diverged"
    assert not record["stages"]["train-gan"]["done"]
    assert not (run / "conv2" / "generator.safetensors").exists()
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
