"""The spectrum of a run's layers, from the terminal."""

import json
from pathlib import Path

import pytest
import torch
from commands import command, told
from configs import micro

import filtergan as fg
from filtergan import study
from filtergan.cli.asking import asked_sites
from filtergan.config.site_names import SiteName
from filtergan.study.measuring.of_families import spectrum_at

FEW = ("--directions", "2", "--grid", "2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "run"
    study.run(micro(layer=("conv1", "conv2")), path, until="train-cnn")
    return path


def test_the_document_is_what_python_finds(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "spectra.json"
    said = command("spectrum", run, "--layer", "conv2", *FEW, "-o", file)
    assert said.endswith(f"The document: {file}\n")
    assert "Image changes that filters of conv2 read at activation undo" in said
    found = json.loads(file.read_text())
    assert found["schema"] == "filtergan-spectra-1"
    (name,) = found["sites"]
    opened = fg.open_run(run)
    (site,) = [one for one in opened.sites if one == name]
    wanted = spectrum_at(opened, site, 2, 2)
    assert found["sites"][name]["ridge"] == pytest.approx(wanted.ridge)
    directions = found["sites"][name]["directions"]
    for key, values in (("share", wanted.shares), ("null", wanted.nulls)):
        own = torch.tensor([one[key] for one in directions])
        torch.testing.assert_close(own, values.float(), rtol=1e-3, atol=1e-3)
    for one, ceiling in zip(directions, wanted.ceilings, strict=True):
        assert sum(one["kinds"].values()) == pytest.approx(1)
        assert one["ceiling"]["value"] == pytest.approx(ceiling.record.undone.value, abs=1e-3)


def test_a_figure_is_of_one_layer(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "directions.svg"
    said = command("spectrum", run, "--layer", "conv1", *FEW, "-o", file)
    assert said.endswith(f"The figure: {file}\n")
    assert "filters of conv1 read at activation undo best" in file.read_text()
    refused = told(capsys, "spectrum", run, *FEW, "-o", file)
    assert "one layer; name it with --layer and --response, as in --layer conv1" in refused


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--directions", "0"), "--directions 0 is too few; give 1 or more"),
        (("--grid", "1"), "--grid 1 is too few; give 2 or more"),
        (("--layer", "conv7"), "conv7"),
        (("-o", "here.csv"), "The document is written as .json, .pdf, .svg or .png, not to"),
    ],
)
def test_mistakes(
    run: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], words: str
) -> None:
    assert words in told(capsys, "spectrum", run, *asked)


def test_those_asked_are_a_run_s_sites_unless_others_are_named() -> None:
    """And not every layer at every reading."""
    sites = tuple(map(SiteName.parse, ("a@activation", "b@c/natural", "b@c")))
    assert asked_sites(sites, None, None) == ("a@activation", "b@c")
    assert asked_sites(sites, ["a"], None) == ("a@activation", "a@c")
