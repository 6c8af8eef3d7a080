"""Studies from end to end: what they leave behind, whole, in parts, and for one's own network."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import micro
from lines import without_the_way
from safetensors.torch import save_file
from torch import nn

from filtergan import cli, study
from filtergan.cli.arguments import commands_of, parser
from filtergan.config.fields import (
    StudyConfig,
    dump,
)
from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.figures import style
from filtergan.machine.files import load_tensors, sha256
from filtergan.measures.registry import lookup
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import read_events
from filtergan.study.materials import Materials
from filtergan.study.stages import built_on
from filtergan.walks import points, search, walk

NAMES = {
    *("real_accuracy", "single_draw_accuracy", "single_draw_accuracy_sd"),
    *("single_draw_accuracy_min", "pooled_retrained_accuracy", "real_retrained_accuracy"),
    *("noise_matched_retrained_accuracy", "random_filters_retrained_accuracy", "filter_spread"),
    *("nearest_real_distance", "participation_ratio", "latent_r2_min", "latent_r2_mean"),
    *("information_nats", "profile_residual_before", "profile_residual_after", "compensation"),
    *("compensation_null", "image_change", "labels_kept"),
}
PNG = b"\x89PNG\r\n\x1a\n"


def command(*arguments: str | Path, warned: str = "") -> str:
    """Run the command, which must succeed and warn of nothing else; return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(a) for a in arguments])
    left = without_the_way(err.getvalue()).splitlines()
    assert (code, len(left)) == (0, 1 if warned else 0)
    assert all(line.startswith(f"filtergan: {warned}") for line in left)
    return out.getvalue()


def record_of(path: Path) -> dict[str, Any]:
    return json.loads((path / "record.json").read_text())


def weights_of(path: Path, layer: str = "conv2") -> str:
    return sha256(path / layer / "generator.safetensors")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_stages_are_those_of_the_command() -> None:
    commands = commands_of(parser(StudyConfig()))
    assert [name for name in commands if name in study.STAGES] == list(study.STAGES)
    assert all(callable(stage.run) for stage in study.STAGES.values())


def test_the_page_on_the_method_names_what_there_is() -> None:
    text = (Path(__file__).parents[1] / "docs" / "method.md").read_text()
    assert re.findall(r"\\tag\{(\d+)\}", text) == list("123456789")
    parts = StudyConfig().model_dump()
    named = re.findall(r"`(cnn|gan|traversal|measure)\.(\w+)`", text)
    assert len(named) > 30
    for part, field in named:
        assert field in parts[part]
    modules = {"points": points, "search": search, "walk": walk}
    named = re.findall(rf"`({'|'.join(modules)})\.(\w+)`", text)
    assert len(named) > 4
    for module, name in named:
        assert hasattr(modules[module], name)


# ------------------------------------------------------------------------------------ the whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run directory of `filtergan study tiny`, and what the command printed."""
    path = tmp_path_factory.mktemp("tiny") / "run"
    return path, command("study", "tiny", "--out", path)


@pytest.mark.slow
def test_the_record_of_tiny(whole: tuple[Path, str]) -> None:
    record = record_of(whole[0])
    assert record["preset"] == "tiny"
    assert record["status"] == "finished"
    assert record["started"] < record["finished"]
    assert record["config"] == json.loads(tiny().model_dump_json())
    assert record["dataset"]["train"] == 300
    assert record["dataset"]["test"] == 100
    assert len(record["dataset"]["fingerprint"]) == 64
    assert record["cnn"]["sha256"] == sha256(whole[0] / "cnn.safetensors")
    assert record["cnn"]["parameters"] > 1000
    assert record["cnn"]["accuracy"]["value"] > record["cnn"]["accuracy"]["null"]
    assert list(record["stages"]) == list(study.STAGES)
    for stage in record["stages"].values():
        assert stage["done"]
        assert stage["seconds"] >= 0
        assert stage["peak_memory_mib"] > 10
        assert stage["backend"] == "cpu"
        assert stage["threads"] >= 1
    assert list(record["sites"]) == ["conv4", "conv2"]


@pytest.mark.slow
def test_the_measures_of_tiny(whole: tuple[Path, str]) -> None:
    expected = NAMES | {f"pooled_accuracy_k{k}" for k in (1, 2, 5)}
    expected |= {f"latent_r2_{i}" for i in range(8)}
    for site in record_of(whole[0])["sites"].values():
        assert site["verdict"] == "too short to say"
        assert site["reason"]
        assert site["filters"] == [8, 8, 3, 3]
        assert site["response"][0] == 8
        assert set(site["measures"]) >= expected
        for name, found in site["measures"].items():
            measure = lookup(name)
            assert found["better"] == measure.better
            assert found["unit"] == measure.unit
            assert isinstance(found["n"], int)
            assert found["n"] > 0
            if name == "locality_size":
                continue  # no patch may be large enough
            value, (low, high) = found["value"], found["ci95"]
            assert low <= high
            assert measure.low is None or value >= measure.low
            assert measure.high is None or value <= measure.high
            assert (found["null"] is None) == (not measure.null_meaning), name
        for name in ("single_draw_accuracy", "compensation"):
            assert site["measures"][name]["quantiles"]


@pytest.mark.slow
def test_the_files_of_tiny(whole: tuple[Path, str]) -> None:
    path, record = whole[0], record_of(whole[0])
    assert not list(path.rglob("*filtergan-part"))
    for layer, site in record["sites"].items():
        grids = {f"grid_{n}" for n in range(2)}
        assert set(site["figures"]) == {"filters", "traversal", "map", "curves"} | grids
        for file in site["figures"].values():
            assert (path / file).read_bytes().startswith(PNG)
            assert file.startswith(f"{layer}/figures/")
        assert site["files"].pop("gan") == f"{layer}/filtergan.json"
        assert set(site["files"]) == {"generator", "discriminator", "traversal", "evidence"}
        for file in site["files"].values():
            assert load_tensors(path / file)
        assert load_tensors(path / layer / "checkpoint" / "game.safetensors")
    assert (path / record["cnn"]["figures"]["curves"]).read_bytes().startswith(PNG)


@pytest.mark.slow
def test_the_events_of_tiny(whole: tuple[Path, str]) -> None:
    path, config = whole[0], tiny()
    events = read_events(path / "events.jsonl")
    stages = {"train-cnn", "train-gan/conv4", "train-gan/conv2"}
    assert {event["stage"] for event in events} == stages
    game = [event for event in events if event["stage"] == "train-gan/conv4"]
    assert [event["step"] for event in game] == list(range(5, 41, 5))
    assert [event["samples"] for event in game] == [16 * step for step in range(5, 41, 5)]
    assert game[0].keys() >= {"seconds", "discriminator", "generator", "information"}
    assert max(e["samples"] for e in events if e["stage"] == "train-cnn") <= 300 * config.cnn.epochs
    curves = list((path / "tensorboard").glob("*/events.out.tfevents.*"))
    assert len(curves) == len(stages)
    assert all(file.stat().st_size > 100 for file in curves)


class Page(HTMLParser):
    """What a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data") or (name == "href" and tag != "a"):
                self.loads.append(value or "")


@pytest.mark.slow
def test_the_report_of_tiny_is_self_contained(whole: tuple[Path, str]) -> None:
    path, record = whole[0], record_of(whole[0])
    text = (path / "report.html").read_text()
    page = Page()
    page.feed(text)
    figures = [f for site in record["sites"].values() for f in site["figures"].values()]
    assert len(page.loads) >= len(figures)
    assert all(source.startswith("data:") for source in page.loads)
    assert not re.search(r"(?:url\(|@import)\s*['\"]?(?!data:)[a-z/.]", text)
    for site in record["sites"].values():
        assert site["verdict"] in text
    assert str(path.parent) not in text  # nothing about the machine's folders


@pytest.mark.slow
def test_what_tiny_prints(whole: tuple[Path, str]) -> None:
    path, out = whole
    assert out.splitlines()[-1] == f"The report: {path / 'report.html'}"
    for site in record_of(path)["sites"].values():
        assert site["verdict"] in out
    assert "single_draw_accuracy" in out


@pytest.mark.slow
def test_a_finished_study_is_left_as_it_is(
    whole: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole[0]
    before = {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}
    assert cli.main(["study", "tiny", "--out", str(path)]) == 2
    assert "holds a finished study" in capsys.readouterr().err
    command("study", "tiny", "--out", path, "--resume")  # nothing is left to do
    assert before == {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}


# ------------------------------------------------------------------------------------ in parts


@pytest.fixture(scope="module")
def _no_pictures() -> Iterator[None]:
    """Pictures are plotted but not painted, which takes longer than the rest; `tiny` has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "png", lambda figure: PNG)
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, _no_pictures: None) -> Path:
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
    assert list(record["stages"]) == ["train-cnn", "train-gan"]
    assert record["status"] == "running"
    assert not (run / "conv2" / "traversal.safetensors").exists()
    made = weights_of(run)
    command(*arguments, "--resume")
    record = record_of(run)
    assert record["status"] == "finished"
    assert [s["attempts"] for s in record["stages"].values()] == [1] * 6
    assert weights_of(run) == made == weights_of(small)  # in parts or not, and in another folder
    assert sha256(run / "cnn.safetensors") == sha256(small / "cnn.safetensors")


def test_in_parts_the_numbers_are_the_same(small: Path, tmp_path: Path) -> None:
    """Each stage alone, from the run directory only, finds what the whole study found."""
    run = tmp_path / "run"
    study.run(micro(), run, until="train-cnn")
    for name in list(study.STAGES)[1:]:
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
    for other in study.STAGES.keys() - built_on(missing):
        with run.stage(other):
            pass
    before = (tmp_path / "record.json").read_bytes()
    with pytest.raises(UserError, match=f"no finished stage '{missing}'.* `filtergan {missing} "):
        study.run_stage(name, tmp_path)
    assert (tmp_path / "record.json").read_bytes() == before


def test_a_stage_needs_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no study"):
        study.run_stage("measure", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_report_of_what_there_is(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, micro())
    study.run_stage("report", tmp_path)
    assert (tmp_path / "report.html").exists()
    assert record_of(run.path)["status"] == "running"


@pytest.mark.usefixtures("_no_pictures")
def test_a_stage_run_anew_takes_back_what_was_built_on_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study.run(micro(), run, until="train-gan")
    checkpoint = run / "conv2" / "checkpoint" / "game.safetensors"
    made = weights_of(run)
    study.run_stage("train-gan", run)  # from its first step, not from the end of the last game
    record = record_of(run)
    assert record["stages"]["train-gan"]["done"]
    assert [e["step"] for e in read_events(run / "events.jsonl") if "gan" in e["stage"]] == [
        *range(2, 13, 2)
    ]
    assert weights_of(run) == made
    study.run_stage("train-cnn", run)
    assert list(record_of(run)["stages"]) == ["train-cnn"]
    assert not checkpoint.exists()  # it belongs to the network that was


# ------------------------------------------------------------------------- a network of one's own

STRAIGHT = """
from torch import nn

def make():
    return nn.Sequential(OrderedDict(
        features=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Dropout()),
        head=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)),
    ))
""".replace("\nfrom", "\nfrom collections import OrderedDict\nfrom", 1)

RESIDUAL = """
from torch import nn

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 10)

    def forward(self, images):
        x = self.features(images)
        if x.mean() > 1e9:  # depends on the images, so that it cannot be traced
            return self.fc(x.mean((2, 3)))
        x = (x + self.bn(self.conv(x))).relu()
        return self.fc(x.mean((2, 3)))

def make():
    return Residual()
"""

LINES = """
from torch import nn

def make():
    return nn.Sequential(OrderedDict(
        conv=nn.Conv2d(1, 4, 3, stride=2), flatten=nn.Flatten(2),
        line=nn.Conv1d(4, 5, 3, padding=1), norm=nn.BatchNorm1d(5), relu=nn.ReLU(),
        head=nn.Sequential(nn.Flatten(), nn.Linear(45, 10)),
    ))
""".replace("\nfrom", "\nfrom collections import OrderedDict\nfrom", 1)

RESNET = """
from foreign import digits_resnet as make
"""


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize(
    ("source", "layers", "straight"),
    [
        (STRAIGHT, ("features.0",), True),
        (RESIDUAL, ("conv", "features.0"), False),
        (LINES, ("line",), True),
        (RESNET, ("resnet.encoder.stages.1.layers.0.shortcut.convolution",), False),
    ],
    ids=["straight", "residual", "lines", "resnet"],
)
def test_one_s_own_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    layers: tuple[str, ...],
    straight: bool,
) -> None:
    name = f"mynet_{layers[0].replace('.', '_')}"  # a module of its own for each network
    (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "micro.yaml").write_text(dump(micro()))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "here"}
    exec(source, names)
    network: nn.Module = names["make"]()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    chosen = [word for layer in layers for word in ("--layer", layer)]
    own = ("--model", f"{name}:make", "--weights", "w.safetensors")
    untrained = "The network is near chance"
    command("study", "--config", "micro.yaml", *own, *chosen, "--out", "run", warned=untrained)

    record = record_of(tmp_path / "run")
    assert record["status"] == "finished"
    assert record["cnn"]["source"] == f"{name}:make"
    assert record["cnn"]["weights"] == {
        "path": "w.safetensors",
        "sha256": sha256(Path("w.safetensors")),
    }
    assert list(record["sites"]) == list(layers)
    kept = load_tensors(tmp_path / "run" / "cnn.safetensors")
    for key, value in network.state_dict().items():  # studied as it came, not trained
        assert torch.equal(kept[key], value)
    for layer in layers:
        site = Materials(RunDirectory.open(tmp_path / "run").config).site(layer)
        assert site.straight == straight
        assert set(record["sites"][layer]["measures"]) >= NAMES
    assert not (tmp_path / "run" / "figures").exists()  # no training, no curves


# ------------------------------------------------------------------------ no information term


def test_without_an_information_term_nothing_is_said_of_latents(tmp_path: Path) -> None:
    config = micro()
    config = config.model_copy(update={"gan": config.gan.model_copy(update={"information": 0.0})})
    record = study.run(config, tmp_path / "run").record
    for site in record.sites.values():
        assert not [name for name in site.measures if name.startswith("latent_r2")]
        assert "lambda is 0" in site.not_measured["latent_r2_*, information_nats"]
        assert "latent is ignored" not in str(site.reason)


# ------------------------------------------------------------------------------------- the paper's


@pytest.mark.mnist
@pytest.mark.slow
def test_the_mnist_preset_in_small(mnist_path: Path, tmp_path: Path) -> None:
    small = {
        "dataset.train-limit": 600,
        "dataset.test-limit": 100,
        "cnn.epochs": 2,
        "gan.steps": 6,
        "traversal.images": 1,
        "traversal.measured-images": 2,
        "traversal.evaluations": 2,
        "measure.draws": 4,
        "measure.pooled": 2,
        "measure.retrain-epochs": 1,
        "measure.resamples": 50,
    }
    options = [str(word) for name, value in small.items() for word in (f"--{name}", value)]
    run = tmp_path / "run"
    command("study", "mnist", "--data", mnist_path, "--out", run, *options)
    record = record_of(run)
    assert record["status"] == "finished"
    assert record["dataset"]["shape"] == [1, 28, 28]
    assert record["sites"]["conv4"]["filters"] == [64, 64, 3, 3]
    assert record["sites"]["conv2"]["response"] == [32, 14, 14]
