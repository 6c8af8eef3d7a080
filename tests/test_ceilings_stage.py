"""Ceilings in a study and as a command: in the record, as a figure, on the page, in a table."""

import json
import re
from pathlib import Path

import pytest
from commands import command, record_of, told
from configs import micro

from filtergan import figures, study
from filtergan.figures.style import DASH
from filtergan.figures.undone import ceilings_figure
from filtergan.images.palette import GREY
from filtergan.report.bounds import best_known
from filtergan.runs.record import CeilingRecord, MeasureRecord

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ceilings") / "run"
    study.run(micro(response=("activation", "bn2")), path, until="ceilings")
    return path


def entry(value: float | None, null: float | None = -0.5) -> CeilingRecord:
    one = MeasureRecord(value=value, ci95=(value, value), n=5, null=null)
    return CeilingRecord(
        family="f", image_change=0.3, response_change=0.2, compensation=one, share=one
    )


def test_the_record_has_every_family_at_every_reading(run: Path) -> None:
    record = record_of(run)
    sites = record["sites"]
    assert list(sites) == ["conv2@activation", "conv2@bn2"]
    for site in sites.values():
        found = site["ceilings"]
        assert {"brightness x0.7", "rotation 20 deg", "thicker 0.7 px"} <= set(found)
        assert "tint 0.5" not in found
        for one in found.values():
            assert one["compensation"]["n"] == 20
            low, high = one["compensation"]["ci95"]
            assert low <= one["compensation"]["value"] <= high <= 1
            assert one["share"]["null"] < 0
    assert sites["conv2@bn2"]["ceilings"] != sites["conv2@activation"]["ceilings"]
    assert (run / record["figures"]["ceilings"]).exists()
    assert record["stages"]["ceilings"]["sites"] == list(sites)


def test_the_stage_alone_finds_the_same(run: Path, tmp_path: Path) -> None:
    before, file = record_of(run)["sites"], tmp_path / "ceilings.json"
    said = command("ceilings", run, "-o", file)
    assert said.endswith(f"The document: {file}\n")
    assert record_of(run)["sites"] == before
    found = json.loads(file.read_text())["sites"]
    assert found == {name: site["ceilings"] for name, site in before.items()}


def test_the_page_tells_of_them(run: Path) -> None:
    command("report", run)
    page = (run / "report.html").read_text()
    assert 'id="ceilings"' in page
    assert re.sub("<.*?>", "", page).count("filters can undo") >= 3
    assert "Ceilings of all known changes (12)" in page


def test_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Conv2d(3, 2, 3),\n"
        "        nn.ReLU(), nn.Flatten(), nn.Linear(32, 10))\n"
    )
    steps = ("--ceilings.steps", "2", "--ceilings.test-images", "30")
    asked = ("ceilings", "--model", "mine:make", "--layer", "0", "--response", "+1", *steps)
    said = command(*asked, "-o", "here/ceilings.json")
    assert list(json.loads(Path("here/ceilings.json").read_text())["sites"]) == ["0@3"]
    assert "0 read at 3" in said
    for word in ("brightness x0.7", "warp 1.5 px", "null", "[", "share"):
        assert word in said
    assert command(*asked, "-o", "ceilings.svg").endswith("The figure: ceilings.svg\n")
    drawn = Path("ceilings.svg").read_text()
    assert drawn.startswith("<?xml")
    assert "What filters undo of known changes" in drawn
    assert set(json.loads(command(*asked, "-o", "ceilings.svg", "--json"))) == {"schema", "sites"}


@pytest.mark.parametrize("option", ["-h", "--help", "--help-all"])
def test_help_beside_a_run_is_given_and_the_stage_is_not_run(run: Path, option: str) -> None:
    before = (run / "record.json").read_bytes()
    said = command("ceilings", run, option)
    assert said.startswith("usage: filtergan ceilings")
    assert ("--gan.decay" in said) == (option == "--help-all")
    assert (run / "record.json").read_bytes() == before


def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Ceilings are of a trained network: name a run" in told(capsys, "ceilings", "mnist")
    assert "its own config; leave out --seed" in told(capsys, "ceilings", run, "--seed", "3")
    config = ("--config", run / "config.yaml")
    assert "its own config; leave out --config" in told(capsys, "ceilings", run, *config)
    assert "holds no study" in told(capsys, "ceilings", "minst")


def test_the_sentence_names_the_best_and_the_worst() -> None:
    found = {"blur": entry(0.9), "size": entry(-0.2), "warp": entry(None), "tint": entry(0.4)}
    said = best_known(found)
    assert said is not None
    assert "filters can undo blur most: compensation 0.90 [0.90, 0.90] (random filters" in said
    assert "size least" in said
    assert best_known({"warp": entry(None)}) is None
    assert best_known({}) is None


def test_the_figure_has_a_number_and_a_null_in_every_cell() -> None:
    sites = {
        "conv2@activation": {"blur": entry(0.9), "size": entry(0.1, null=0.3)},
        "conv4@activation": {"blur": entry(0.25)},
    }
    figure = ceilings_figure(sites)
    for axes in figure.axes:
        texts = {(round(t.get_position()[0]), t.get_text()) for t in axes.texts}
        assert {(0, ".90"), (0, ".10"), (1, ".25"), (1, DASH), (0, ".30")} <= texts
        greys = {t.get_text() for t in axes.texts if t.get_color() == GREY}
        assert ".10" in greys  # no better than random filters
        assert [t.get_text() for t in axes.get_xticklabels()] == ["conv2", "conv4"]
    assert figures.png(figure).startswith(b"\x89PNG")


def test_cells_of_many_sites_have_no_numbers() -> None:
    sites = {f"conv{i}@activation": {"blur": entry(i / 12)} for i in range(12)}
    assert all(not axes.texts for axes in ceilings_figure(sites).axes)
