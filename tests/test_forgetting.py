"""A stage that is run once more takes back what was built on it, in the record and on the page."""

import html
import io
import json
import re
from pathlib import Path

import pytest
from configs import micro
from records import begun
from rich.console import Console

from filtergan import study
from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import RECIPES, SiteName, folder_of
from filtergan.machine.sheets import fitted
from filtergan.report import summary_sheets, write_report
from filtergan.runs.clearing import forget
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import CheckRecord, ClaimRecord, LatentRecord, Record, SiteRecord
from filtergan.study.stages import STAGES, built_on, needed

OF_THE_STUDY = {
    *("schema_", "preset", "config", "seed", "started", "finished", "status", "reason"),
    *("versions", "device", "git", "begun_in", "resumed", "left_out", "clearing"),
    *("stages", "sites", "figures"),
}
"""Fields of the record that no stage makes."""


PLOTS = ("filters.png", "map.png", "traversal.png", "grid_0.png")
FILES = {
    "train-gan": {
        *("curves.png", "filtergan.json", "generator.safetensors", "discriminator.safetensors"),
    },
    "natural": {
        *("curves.png", "filtergan.json", "generator.safetensors", "discriminator.safetensors"),
        *("transformer.safetensors", "reader.safetensors"),
    },
    "traverse": {"traversal.safetensors", "traversal.png"},
    "measure": {"evidence.safetensors", *PLOTS},
}
"""Files that a stage makes of each site, and names in the record."""


def printed(run: RunDirectory) -> str:
    output = io.StringIO()
    tables = (table for sheet in summary_sheets(run) for table in fitted(sheet, 200))
    Console(width=200, file=output).print(*tables, sep="\n")
    return output.getvalue()


def files_of(site: SiteRecord) -> set[str]:
    return {Path(path).name for path in (*site.figures.values(), *site.files.values())}


def plain(text: str) -> str:
    """A page's text in small letters, since a sentence on it begins with a capital."""
    return html.unescape(re.sub("<.*?>", "", text)).lower()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, unpainted: None) -> Path:
    """A study of two sites by the paper's recipe, and of one by the other."""
    path = tmp_path_factory.mktemp("forgetting") / "run"
    study.run(micro(layer=("conv2", "conv1", "conv2/natural")), path)
    return path


def test_a_page_asked_for_in_between_is_written_again(tmp_path: Path, unpainted: None) -> None:
    config, path = micro(layer=("conv2/natural",)), tmp_path / "run"
    study.run(config, path, until="ceilings")
    study.run_stage("report", path)
    early = (path / "report.html").read_text()
    study.run_stage("ceilings", path)  # on which nothing is built but the page
    assert (path / "report.html").exists()
    study.run(config, path, resume=True, until="traverse")
    assert not (path / "report.html").exists()
    study.run(config, path, resume=True)
    assert json.loads((path / "scrubber.json").read_text())["sites"]
    assert "Move an image yourself" not in early
    assert "Move an image yourself" in (path / "report.html").read_text()


def test_no_claim_stands_without_its_gates(finished: Path) -> None:
    """As `filtergan traverse RUN`, then `filtergan report RUN`."""
    before = RunDirectory.open(finished).record
    page = (finished / "report.html").read_text()
    assert before.claims
    said = [claim.sentence for claim in before.claims.values()]
    for site in before.sites.values():
        told = [latent.sentence.removeprefix(f"{latent.name}: ") for latent in site.latents]
        said += [re.sub(r"^not to be believed \(.*?\): ", "", text) for text in told]
        said += [*(check.told for check in site.gates), str(site.reason)]
    assert len(said) > 15
    assert all(text in plain(page) for text in map(str.lower, said))
    for words in ("not to be believed", "two claims", "What the latents do", "What kind of change"):
        assert words in page

    study.run_stage("traverse", finished, overwrite=True)
    assert not (finished / "report.html").exists()  # nothing old stands, not even for a moment
    run = study.run_stage("report", finished)
    page = (finished / "report.html").read_text()
    assert not [text for text in map(str.lower, said) if text in plain(page) + plain(printed(run))]
    for words in (
        "two claims",
        "What the latents do",
        "What kind of change",
        "of the same size fail",
    ):
        assert words not in page
        assert words not in printed(run)
    assert page.count("nothing was measured yet") == printed(run).count("not assessed") == 3
    assert "Not done when this page was written: measure." in page
    assert (
        page.count("<h3>More images, more changes</h3>") == 3
    )  # of now, and marked as not assessed
    assert run.record.status == "running"

    run = study.run_stage("measure", finished)  # and the page, as there was one
    page = (finished / "report.html").read_text()
    assert all(text in plain(page) for text in map(str.lower, said))  # found again
    assert run.record.sites == before.sites
    assert run.record.claims == before.claims
    assert run.record.status == "finished"


def test_judges_that_are_not_kept_here_are_brought_back_and_nothing_is_forgotten(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine to which a finished run was copied."""
    before = (finished / "record.json").read_bytes()
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path))
    study.run_stage("train-judges", finished)
    assert [file.name[:7] for file in tmp_path.iterdir()] == ["judges-"]
    assert (finished / "record.json").read_bytes() == before
    assert (finished / "report.html").exists()


def test_a_page_never_shows_a_claim_whose_gates_are_missing(tmp_path: Path) -> None:
    """Whatever the record says, as that of an earlier version may."""
    told = {
        "site": "conv2@activation",
        "sentence": "conv2 ignores it",
        "reason": "",
        "conditions": [],
    }
    claim = ClaimRecord.model_validate(told | {"verdict": "supported"})
    latent = LatentRecord(
        name="z0", sentence="z0: thicker strokes", direction=[1.0], images=4, shifts={},
        explained={"photometric_width": 0.5}, labels_kept=1, image_change=0.2, compensation=0.3,
    )  # fmt: skip
    check = CheckRecord(name="inversion", passed=True, told="passed once", failure="none")
    site = SiteRecord(verdict="converged", latents=[latent], gates=[check])
    config = StudyConfig()
    record = begun(
        config,
        claims={"low_level": claim},
        sites={"conv4@activation": site, "conv2@activation": site},
    )
    run = RunDirectory(tmp_path, config, record)
    for text in (write_report(run).read_text(), printed(run)):
        for words in ("conv2 ignores it", "thicker strokes", "passed once"):
            assert words not in text


# ------------------------------------------------------------------------------ what stages declare


def test_every_field_of_the_record_is_made_by_one_stage_or_none() -> None:
    keys = [key for stage in STAGES.values() for key in stage.owns.keys]
    assert sorted([*keys, *OF_THE_STUDY]) == sorted(Record.model_fields)
    for recipe in RECIPES:
        owned = [stage.owns for stage in STAGES.values() if stage.owns.recipe in (None, recipe)]
        keys = [key for owns in owned for key in owns.site_keys]
        unknown = {"paper": [], "natural": ["inputs"]}[recipe]
        fields = [*keys, *unknown, "figures", "files", "folder"]
        assert sorted(fields) == sorted(SiteRecord.model_fields)


def test_every_file_of_a_study_is_made_by_a_stage(finished: Path) -> None:
    of_run = [p for stage in STAGES.values() for p in stage.owns.files]
    of_site = [p for stage in STAGES.values() for p in stage.owns.site_files]
    log = ("record.json", "config.yaml", "events.jsonl", "tensorboard/*/*")
    for file in (f.relative_to(finished) for f in finished.rglob("*") if f.is_file()):
        folder = file.parts[0] in map(folder_of, RunDirectory.open(finished).config.sites)
        place = Path(*file.parts[1:]) if folder else file
        patterns = of_site if folder else (*of_run, *log)
        assert any(place.match(pattern) for pattern in patterns), file


def test_what_builds_on_what() -> None:
    real = StudyConfig()
    begins = real.natural.model_copy(update={"start": "paper"})
    paper = real.model_copy(update={"natural": begins})
    last = ["traverse", "measure", "report"]
    assert needed("measure", real) == [n for n in STAGES if n not in ("ceilings", *last[1:])]
    assert needed("traverse", real) == ["train-cnn", "train-gan", "natural"]
    assert needed("natural", real) == ["train-cnn"]
    assert needed("natural", paper) == ["train-cnn", "train-gan"]
    assert needed("train-judges", real) == []
    assert built_on("train-gan", real) == ["train-gan", *last]
    assert built_on("train-gan", paper) == ["train-gan", "natural", *last]
    assert built_on("train-judges", real) == ["train-judges", "measure", "report"]
    assert built_on("train-cnn", real) == [n for n in STAGES if n != "train-judges"]
    assert built_on("ceilings", real) == ["ceilings", "report"]
    assert built_on("report", real) == ["report"]
    names = list(STAGES)
    for name, stage in STAGES.items():
        assert all(names.index(other) < names.index(name) for other in stage.needs)


def test_what_is_made_for_one_recipe_is_taken_from_its_sites_alone() -> None:
    record = begun(StudyConfig(layer=("conv4",), recipe=("paper", "natural")))
    paper, natural = record.sites.values()
    for site, folder in ((paper, "conv4@activation"), (natural, "conv4@activation_natural")):
        site.filters, site.files = [1, 1, 3, 3], {"gan": f"{folder}/filtergan.json"}
    forget(record, STAGES["train-gan"].owns)
    assert (paper.filters, paper.files) == (None, {})
    assert natural.files == {"gan": "conv4@activation_natural/filtergan.json"}
    assert natural.filters


@pytest.mark.parametrize("name", list(STAGES))
def test_what_a_stage_made_is_forgotten_and_nothing_else(finished: Path, name: str) -> None:
    before, after = RunDirectory.open(finished).record, RunDirectory.open(finished).record
    owned = STAGES[name].owns
    forget(after, owned)
    for key in Record.model_fields.keys() - {"sites", "figures"}:
        empty = Record.model_fields[key].get_default()
        assert getattr(after, key) == (empty if key in owned.keys else getattr(before, key))
    for layer, site in after.sites.items():
        own = owned.recipe in (None, SiteName.parse(layer).recipe)
        for key in SiteRecord.model_fields.keys() - {"figures", "files"}:
            empty = SiteRecord.model_fields[key].get_default()
            kept = getattr(before.sites[layer], key)
            assert getattr(site, key) == (empty if own and key in owned.site_keys else kept)
        lost = files_of(before.sites[layer]) - files_of(site)
        assert lost == (FILES.get(name, set()) if own else set())
