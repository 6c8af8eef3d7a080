"""A study from end to end: what it leaves behind, in its record, files, events, page and words."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from commands import MEASURED, PIXEL, command, record_of
from configs import micro

from filtergan import cli, study
from filtergan.cli.arguments import commands_of, parser
from filtergan.config.fields import StudyConfig
from filtergan.config.presets import tiny
from filtergan.machine.files import load_tensors, sha256
from filtergan.measures.registry import lookup
from filtergan.runs.events import read_events
from filtergan.study.stages import stages_of
from filtergan.walks import points, search, walk


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
    tags = re.findall(r"\\tag\{(\d+)\}", text)
    assert sorted(map(int, tags)) == list(range(1, len(tags) + 1))
    parts = StudyConfig().model_dump()
    named = re.findall(r"`(cnn|gan|natural|traversal|measure)\.(\w+)`", text)
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
    assert list(record["stages"]) == stages_of(tiny())
    for stage in record["stages"].values():
        assert stage["done"]
        assert stage["seconds"] >= 0
        assert stage["peak_memory_mib"] > 10
        assert stage["backend"] == "cpu"
        assert stage["threads"] >= 1
    assert list(record["sites"]) == ["conv4@activation", "conv2@activation"]


@pytest.mark.slow
def test_the_measures_of_tiny(whole: tuple[Path, str]) -> None:
    expected = MEASURED | {f"pooled_accuracy_k{k}" for k in (1, 2, 5)}
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
            assert (path / file).read_bytes().startswith(PIXEL[:8])
            assert file.startswith(f"{layer}/figures/")
        assert site["files"].pop("gan") == f"{layer}/filtergan.json"
        assert set(site["files"]) == {"generator", "discriminator", "traversal", "evidence"}
        for file in site["files"].values():
            assert load_tensors(path / file)
        assert load_tensors(path / layer / "checkpoint" / "game.safetensors")
    assert (path / record["cnn"]["figures"]["curves"]).read_bytes().startswith(PIXEL[:8])


@pytest.mark.slow
def test_the_events_of_tiny(whole: tuple[Path, str]) -> None:
    path, config = whole[0], tiny()
    events = read_events(path / "events.jsonl")
    stages = {"train-cnn", "train-gan/conv4@activation", "train-gan/conv2@activation"}
    assert {event["stage"] for event in events} == stages
    game = [event for event in events if event["stage"] == "train-gan/conv4@activation"]
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
    figures = [f for site in record["sites"].values() for f in site["figures"]]
    figures = [key for key in figures if not key.startswith("grid_")]  # these stay in the folder
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


# ------------------------------------------------------------------------ no information term


@pytest.mark.usefixtures("unpainted")
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
        "ceilings.test-images": 30,
        "ceilings.steps": 2,
        "gan.steps": 6,
        "natural.steps": 4,
        "natural.null-steps": 2,
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
    assert record["sites"]["conv4@activation"]["filters"] == [64, 64, 3, 3]
    assert record["sites"]["conv2@activation"]["response"] == [32, 14, 14]
