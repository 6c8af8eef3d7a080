"""The report's evidence: verdicts, gates, latents, kinds of change and planted truth, in words."""

import re
from pathlib import Path

import pytest
from commands import PIXEL
from records import begun, put
from test_report import check, site_measures

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import StudyConfig
from filtergan.config.older import renewed
from filtergan.config.parsing import parse
from filtergan.figures.style import DASH, MINUS
from filtergan.measures.morphometry import MORPHOMETRY
from filtergan.measures.registry import lookup, result
from filtergan.plot.gallery import FIGURES, PAPERS
from filtergan.plot.saved import caption
from filtergan.report import findings, summary_sheets, write_report
from filtergan.report.page import _sentences
from filtergan.report.planted import planted
from filtergan.report.tables import GROUPS, MAIN
from filtergan.report.text import brief
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record
from filtergan.runs.record import (
    ClaimRecord,
    Found,
    JudgesRecord,
    LatentRecord,
    MeasureRecord,
    Record,
    SiteRecord,
    StageRecord,
)
from filtergan.study.opened import OpenedRun

ROOT = Path(__file__).parents[1]

SHARES = {  # photometric, width, both, affine, photometric + affine, all three, spline
    "points": (0.21, 0.34, 0.42, 0.18, 0.33, 0.51, 0.62),
    "null": (0.05, 0.03, 0.07, 0.06, 0.1, 0.12, 0.2),
    "brightness": (0.99, 0.25, 0.99, 0.02, 0.99, 0.99, 0.99),
    "thickness": (0.2, 0.88, 0.91, 0.11, 0.3, 0.93, 0.71),
    "affine": (0.01, 0.04, 0.05, 0.98, 0.98, 0.98, 0.98),
    "warp": (0.01, 0.06, 0.08, 0.33, 0.35, 0.38, 0.9),
    "noise": (0.01, 0.02, 0.03, 0.02, 0.03, 0.04, 0.09),
}
FAMILIES = ("photometric", "width", "photometric_width", "affine", "photometric_affine")
FAMILIES += ("photometric_affine_width", "spline")
OTHERS = {  # of the images that each set holds
    "image_change": 0.31,
    "labels_kept": 0.985,
    "labels_kept_judges": 0.972,
    "judges_divergence": 0.08,
    "manifold_percentile": 0.71,
    "on_manifold_share": 0.86,
    "change_support": 0.21,
    "change_frequency": 0.11,
    "topology_changed": 0.04,
    "independent_image_changes": 3.42,
    "locality_size": 5.0,
    "image_two_sample_accuracy": 0.61,
    **{f"locality_r2_k{k}": 0.5 + k / 40 for k in (1, 3, 5, 9, 15)},
}


def entry(name: str, value: float, half: float = 0.02, null: float | None = None) -> MeasureRecord:
    return result(name, value, (value - half, value + half), 256, null)


def image_measures(name: str) -> Found:
    shares = zip(FAMILIES, SHARES[name], strict=True)
    found = {f"explained_{family}": entry(f"explained_{family}", v) for family, v in shares}
    others = OTHERS | ({"on_manifold_share": 0.02} if name == "noise" else {})
    return found | {other: entry(other, value) for other, value in others.items()}


def evidence_measures() -> Found:
    """What a site's record holds once all was measured; all gates are passed."""
    found = image_measures("points") | {
        "inversion_gate_share": entry("inversion_gate_share", 0.984, null=0.01),
        "compensation": entry("compensation", 0.58, null=0.27),
        "compensation_null": entry("compensation_null", 0.27),
        "profile_correlation": entry("profile_correlation", 0.97, null=0.4),
        "repeatability": entry("repeatability", 0.91),
        "path_length": entry("path_length", 1.7),
        "roughness": entry("roughness", 1.4),
        "curvature": entry("curvature", 1.2),
    }
    for radius in ("1", "2", "2p5", "4", "6"):
        far = float(radius.replace("p", "."))
        for key, slope in (("labels_kept", 0.004), ("labels_kept_judges", 0.012)):
            found[f"{key}_at_{radius}"] = entry(f"{key}_at_{radius}", 1 - slope * far, 0.01)
    for t in ("brightness", "thickness", "affine", "warp", "noise"):
        found[f"invariance_gain_{t}"] = entry(f"invariance_gain_{t}", 0.4, null=1.0)
        found[f"normalized_variance_{t}"] = entry(f"normalized_variance_{t}", 0.3)
    for m in MORPHOMETRY:
        found[f"morphometry_r2_{m}"] = entry(f"morphometry_r2_{m}", 0.4, null=0.0)
        for z in range(8):
            found[f"slope_{m}_z{z}"] = entry(f"slope_{m}_z{z}", 0.1 * z - 0.3, null=0.0)
    return found


def latent(name: str, turn: int) -> LatentRecord:
    values = [((3 * i + 5 * turn) % 9 - 4) / 5 for i in range(len(MORPHOMETRY))]
    families = zip(FAMILIES, SHARES["points"], strict=True)
    return LatentRecord(
        name=name,
        sentence=f"{name}: thicker strokes (+0.8 sd), slant unchanged; 71 % photometric + width,"
        " 6 % affine; labels kept 0.99",
        direction=[0.0] * 8,
        images=64,
        shifts={m: (v, v - 0.3, v + 0.3) for m, v in zip(MORPHOMETRY, values, strict=True)},
        explained={family: share / (1 + turn / 4) for family, share in families},
        labels_kept=0.99,
        image_change=0.3,
        compensation=0.5,
    )


def claim(site: str, sentence: str, verdict: str, *met: bool | None) -> ClaimRecord:
    conditions = [
        {"says": f"condition {i}", "met": m, "told": f"number {i} of {site} is 0.{i}2"}
        for i, m in enumerate(met)
    ]
    told = {"site": site, "sentence": sentence, "verdict": verdict, "reason": "as below"}
    return ClaimRecord.model_validate(told | {"conditions": conditions})


def evidence_record(config: StudyConfig) -> Record:
    names = [*(f"z{i}" for i in range(8)), "+0.7 z1 - 0.5 z4 + 0.4 z6", "+0.8 z2 + 0.6 z0"]
    site = SiteRecord(
        filters=[64, 64, 3, 3],
        response=[64, 7, 7],
        verdict="converged",
        reason="single draws reach 0.981 where the real filters reach 0.994.",
        measures=site_measures() | evidence_measures(),
        references={name: image_measures(name) for name in SHARES if name != "points"},
        latents=[latent(name, turn) for turn, name in enumerate(names)],
    )
    low = "conv2 ignores low-level features such as brightness or stroke width, more than conv4"
    accuracies = [result("real_accuracy", a, None, 10000) for a in (0.989, 0.993)]
    return begun(
        config,
        status="finished",
        judges=JudgesRecord(accuracies=accuracies, sha256="d" * 64, seconds=1.0),
        stages={name: StageRecord(done=True) for name in ("train-judges", "measure")},
        claims={
            "low_level": claim("conv2@activation", low, "not supported", True, True, False, None),
            "high_level": claim(
                "conv4@activation", "conv4 ignores high-level ones", "undecided", True, None
            ),
        },
        sites={"conv4@activation": site},
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "png", lambda figure: PIXEL)  # test_figures looks at the pictures
    config = StudyConfig(preset="mnist", seed=3)
    return RunDirectory(tmp_path, config, evidence_record(config))


@pytest.fixture
def site(run):
    return run.record.sites["conv4@activation"]


def written(run: RunDirectory) -> str:
    page = write_report(run).read_text()
    check(page)
    return page


def section(page: str, layer: str) -> str:
    """A site's part of the page."""
    return re.split(r"<h2 ", page.split(f">{layer}</h2>")[1])[0]


def test_all_that_the_record_holds_is_on_the_page(run, monkeypatch):
    monkeypatch.undo()
    page = written(run)
    site = section(page, "conv4 read at activation")
    assert site.count("<img") == 4  # kinds, labels, latents, accuracies
    measures = run.record.sites["conv4@activation"].measures
    tables = site.split("All measures (")[1].split("<h4>")[0]
    assert all(tables.count(f"<code>{name}</code>") == 1 for name in measures)
    assert "is also asked of 2 judges: classifiers of other kinds" in page
    assert "98.9 to 99.3 % of the test images" in page


def test_all_measures_are_behind_one_fold_the_main_ones_first(run):
    fold = section(written(run), "conv4 read at activation").split('<details class="all">')
    assert len(fold) == 2
    assert "<code>compensation</code>" not in fold[0]
    measures = run.record.sites["conv4@activation"].measures
    shown = re.findall(r"<code>(\w+)</code>", fold[1].split("<h4>")[0])
    main = [n for n in MAIN if n in measures]
    assert shown[: len(main)] == main
    assert f"All measures ({len(measures)})</summary>" in fold[1]
    assert fold[1].count("<small>what each latent does to the shape of a stroke</small>") == 81


def test_main_measures_are_registered_few_and_every_measure_has_a_group():
    assert len(MAIN) <= 30
    for name in MAIN:
        assert lookup(name)
    assert list(GROUPS.values())[-1] == ".*"


def test_the_terminal_shows_the_main_measures_and_the_verdicts(run):
    site, claims = summary_sheets(run)
    assert len(site.rows) <= 30
    assert "an invariance is shown" in str(site.caption)
    assert [row[1] for row in claims.rows] == ["not supported", "undecided"]


def test_an_invariance_is_shown_only_if_all_gates_and_findings_are_passed(site):
    def said():
        found = findings.traversals(site)
        return found and (found["tone"], found["title"], found["says"])

    assert said() == (
        "good",
        "an invariance is shown",
        "By these measures the network ignores these changes of the image.",
    )
    site.verdict = "collapsed"
    assert said() == ("open", "no invariance was shown", "The generator collapsed.")
    site.verdict = "converged"
    put(site.measures, "labels_kept_judges", 0.9)
    failed = "Independent judges keep too few labels"
    assert said() == ("open", "no invariance was shown", f"{failed}.")
    del site.measures["repeatability"]
    assert said() == ("open", "no invariance was shown", f"{failed}; not tested: repeatability.")
    site.measures = {}
    assert said() is None


@pytest.mark.parametrize(
    ("name", "value", "failure"),
    [
        ("inversion_gate_share", 0.4, "inversion fails at too many points"),
        ("repeatability", 0.3, "not repeatable"),
        ("on_manifold_share", 0.2, "off the manifold"),
    ],
)
def test_a_failed_gate_is_said_wherever_traversals_are_shown(run, site, name, value, failure):
    put(site.measures, name, value)
    (run.path / "traversal.png").write_bytes(PIXEL)
    site.figures = {"traversal": "traversal.png"}
    run.config = StudyConfig(dataset=DatasetConfig(planted="width"))
    page = written(run)
    told = f"conv4 read at activation, traversals: not to be believed.</b> {failure.capitalize()}."
    assert told in page
    assert "What these changes would be: not to be believed</summary>" in page
    assert f'<p class="warning">Not to be believed: {failure}.</p>' in section(
        page, "conv4 read at activation"
    )
    assert (
        f"conv4 read at activation: not to be believed ({failure})." in page
    )  # the planted invariance
    assert str(summary_sheets(run)[0].caption_style) == "red"


def test_the_null_is_judged_by_the_same_tests(site):
    def said():
        found = findings.traversals(site)
        return found and found["null"]

    null = site.references["null"]
    assert said() is None  # it fails nothing, and its inversion was not measured
    put(null, "labels_kept_judges", 0.5)
    assert said() == "Random changes of the filters of the same size fail: judges."
    null |= site.measures
    assert "pass the same tests: here the tests decide nothing" in str(said())


def test_claims_are_printed_with_verdict_and_conditions_before_the_sites(run):
    page = written(run)
    assert "<b>Not supported:</b> conv2 ignores low-level features" in page
    assert "Conditions: 2 met, 1 not met, 1 open." in page
    assert "<b>Undecided:</b> conv4" in page
    assert "number 2 of conv2@activation is 0.22" in page
    assert page.index("<b>Not supported:</b>") < page.index('<h2 id="done">')
    assert "the traversals of" not in page
    put(run.record.sites["conv4@activation"].measures, "repeatability", 0.3)
    doubt = "the traversals of conv4 read at activation are not to be believed (not repeatable)"
    assert f'<p class="warning">But {doubt}' in written(run)
    run.record.claims, run.record.sites = {}, {}
    assert "no recipe of this study has two sites" in written(run)
    run.record.claims = None
    assert 'id="claims"' not in written(run)


def test_latents_are_sentences(run):
    site = section(written(run), "conv4 read at activation")
    assert "<b>z3</b><span>thicker strokes (+0.8 sd)" in site
    assert "<b>+0.8 z2 + 0.6 z0</b>" in site
    assert "Means over 64 images" in site


def test_references_stand_beside_the_traversals(run):
    site = section(written(run), "conv4 read at activation")
    for column in ("traversals", "random changes of the filters", "smooth warp", "noise"):
        assert f'aria-label="Sort by {column}"></button></th>' in site
    row = site.split("<h4>")[1].split("<code>explained_width</code>")[1].split("</tr>")[0]
    shares = [f"{values[1]:.2f}" for values in SHARES.values()]
    assert re.findall(r"<strong>(.*?)</strong>", row) == shares


def test_colour_images_have_no_strokes_and_the_page_says_so(run, site):
    for found in (site.measures, *site.references.values()):
        for name in [n for n in found if "width" in n or n.startswith(("slope", "morpho"))]:
            del found[name]
    for place, entry in enumerate(site.latents):
        explained = {f: v for f, v in entry.explained.items() if "width" not in f}
        own = {"shifts": {}, "explained": explained}
        site.latents[place] = entry.model_copy(update=own)
    del site.references["thickness"]
    site.not_measured = {"slope_*": "the images are in colour"}
    page = section(written(run), "conv4 read at activation")
    assert "<code>slope_*</code>: the images are in colour." in page
    assert page.count("<img") == 4


@pytest.mark.parametrize(
    ("kind", "name", "reference"),
    [
        ("brightness", "explained_photometric", "brightness"),
        ("rotation", "explained_affine", "affine"),
        ("width", "explained_width", "thickness"),
    ],
)
def test_a_planted_invariance_is_looked_for(site, kind, name, reference):
    def said():
        found = planted(
            StudyConfig(dataset=DatasetConfig(planted=kind)), {"conv4@activation": site}
        )
        assert found is not None
        return found["sites"][0]

    assert planted(StudyConfig(), {"conv4@activation": site}) is None
    ours, known = site.measures[name].value, site.references[reference][name].value
    assert said()["word"] == "found"
    assert f"is {ours:.2f} ({ours - 0.02:.2f} to {ours + 0.02:.2f})" in said()["says"]
    assert f"of a true change of this kind {known:.2f} (" in said()["says"]
    null = site.references["null"]
    site.measures[name] = null[name]
    assert said()["word"] == "open"
    null[name] = entry(name, 0.8)
    assert said()["word"] == "not found"
    del site.measures[name]
    assert said()["word"] == "not measured"


@pytest.mark.parametrize("folder", ["digits/seed0", "mnist/seed0"])
def test_the_report_of_a_committed_record(tmp_path, folder):
    record = read_record(ROOT / "results" / folder)
    run = RunDirectory(tmp_path, parse(renewed(record.config), folder), record)
    page = written(run)
    assert "not to be believed" in page
    assert "What kind of change" in page
    assert len(summary_sheets(run)[0].rows) > 10
    assert page.count('<li class="finding') == len(record.sites)


@pytest.mark.parametrize("data", ["../shared/data/mnist", "/home/me/data/mnist/"])
def test_no_folder_of_the_machine_introduces_a_page_or_a_figure(tmp_path, data):
    record = read_record(ROOT / "results" / "mnist_natural" / "seed0")
    config = parse(renewed(record.config), "mnist_natural").model_copy(update={"data": data})
    run = RunDirectory(tmp_path, config, record)
    lead = written(run).partition('<p class="lead">')[2].partition("</p>")[0]
    own = config.model_copy(update={"model": "/home/me/net.py:make", "weights": "../w.safetensors"})
    done = [_sentences(RunDirectory(tmp_path, c, record))["train-cnn"] for c in (config, own)]
    captions = [caption(OpenedRun(run, device="cpu"), name) for name in set(FIGURES) - set(PAPERS)]
    for text in (re.sub("<.*?>", "", lead), *done, *captions):
        assert not re.search(r"\.\.|(^|\s)/\w", text), text
    assert "on mnist, seed 0" in lead
    assert "trained on mnist for" in done[0]
    assert "is net.py:make with the weights of w.safetensors" in done[1]
    assert captions[0].endswith("Data: mnist, seed 0.")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, DASH), (-0.001, "0.00"), (-0.126, f"{MINUS}0.13"), (1759.5, "1,760"), (5, "5.00")],
)
def test_brief(value, text):
    assert brief(value) == text
