"""Bad input costs one sentence, and nothing that was there before."""

import json
import os
import pickle
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from accidents import CONFIG, contents
from commands import record_of, told
from PIL import Image
from safetensors.torch import save_file

from filtergan.config.parsing import dump
from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.runs.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("unpainted")


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
            def program():
                raise SystemExit(3)
        """)
    )
    (folder / "programnet.py").write_text("import sys\nsys.exit(2)")
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
    "factory exits": (
        "--model reliablenet:program",
        "when called without arguments: SystemExit: 3",
    ),
    "module exits": ("--model programnet:make", "ends Python when it is imported (SystemExit: 2)"),
    "no network": ("--model reliablenet:number", "returns int"),
    "zero draws": ("--measure.draws 0", "measure.draws"),
    "zero pooled": ("--measure.pooled 0", "measure.pooled"),
    "negative lambda": ("--gan.information -1", "gan.information"),
    "lambda no number": ("--gan.information nan", "gan.information"),
    "latent out of range": ("--traversal.dims 0,3", "z of conv2@activation has 3"),
    "images too few for the null": (
        "--recipe natural --dataset.train-limit 20",
        "There are 20 training images; give the natural recipe at least 32",
    ),
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
    dry = told(capsys, "study", "--config", config, "--out", run, "--dry-run")
    assert "holds a study already; add --resume" in dry
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


def test_only_what_lies_in_a_study_keeps_it_from_being_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cd runs/x; filtergan study tiny --out . --overwrite`."""
    monkeypatch.chdir(tmp_path)
    for data in ("digits", "owner/name"):
        config = tiny().model_copy(update={"data": data})
        for _ in range(2):
            RunDirectory.create(Path(), config, overwrite=True)
        (tmp_path / data).mkdir(parents=True)
        if data == "digits":  # bundled, whatever lies there
            RunDirectory.create(Path(), config, overwrite=True)
            continue
        with pytest.raises(UserError, match=r"owner/name lies in \., which is to be cleared"):
            RunDirectory.create(Path(), config, overwrite=True)


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
