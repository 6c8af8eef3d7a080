"""The report: self-contained, honest about failures, and whole however little was done."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import PIXEL
from records import DATASET, NETWORK, begun
from rich.console import Console

from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import StudyConfig
from filtergan.figures.style import DASH, MINUS
from filtergan.machine.sheets import fitted
from filtergan.measures.latents import latent_name
from filtergan.measures.registry import REGISTRY, result
from filtergan.report import duration, number, summary_sheets, tables, write_report
from filtergan.report.page import PAPER_ADDRESS
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import (
    TOO_SHORT,
    CeilingRecord,
    JudgesRecord,
    MeasureRecord,
    SiteRecord,
    StageRecord,
)


def site_measures():
    accuracy = {
        "real_accuracy": 0.9941,
        "single_draw_accuracy": 0.981,
        "single_draw_accuracy_min": 0.9553,
        "pooled_accuracy_k10": 0.9872,
        "pooled_accuracy_k2": 0.984,
        "pooled_retrained_accuracy": 0.9935,
        "real_retrained_accuracy": 0.994,
        "noise_matched_retrained_accuracy": 0.9939,
        "random_filters_retrained_accuracy": 0.9901,
    }
    found = {k: result(k, v, (v - 0.002, v + 0.0015), 10000) for k, v in accuracy.items()}
    one = found["pooled_retrained_accuracy"]
    found["pooled_retrained_accuracy"] = one.model_copy(update={"null": 0.9901})
    for i in range(8):
        name = latent_name(i)
        found[name] = result(name, 0.9 - 0.02 * i, (0.7, 0.95), 4096, null=0.0)
    return found | {
        "filter_spread": result("filter_spread", 0.143, (0.14, 0.146), 100, null=0.0),
        "participation_ratio": result("participation_ratio", 7.31, (6.9, 7.7), 100, null=21840.2),
        "latent_r2_mean": result("latent_r2_mean", 0.83, (0.82, 0.84), 4096, null=0.0),
        "compensation": result(
            "compensation", 0.27, (0.25, 0.29), 256, 0.26, {"0.05": 0.02, "0.95": 0.55}
        ),
        "compensation_null": result("compensation_null", 0.26, (0.24, 0.28), 256),
        "image_change": result("image_change", 0.21, (0.2, 0.22), 256),
        "labels_kept": result("labels_kept", 0.97, (0.96, 0.98), 256),
    }


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "conv4@activation" / "figures").mkdir(parents=True)
    keys = ("filters", "traversal", "map", "curves", *(f"grid_{i}" for i in range(11)))
    for key in keys:
        (folder / "conv4@activation" / "figures" / f"{key}.png").write_bytes(PIXEL)
    config = StudyConfig(preset="mnist", data="ylecun/mnist", seed=3)
    memory = {"peak_memory_mib": 900.1, "threads": 2}
    record = begun(  # as it is while a study's last stage writes the report
        config,
        git={"commit": "abc123", "clean": False},
        dataset=DATASET,
        cnn=NETWORK,
        stages={
            "train-cnn": StageRecord(seconds=200.4, done=True, **memory),
            **{n: StageRecord(seconds=5.25, done=True) for n in ("train-gan", "traverse")},
            "measure": StageRecord(seconds=5.25, done=True),
            "report": StageRecord(),
        },
        sites={
            "conv4@activation": SiteRecord(
                filters=[64, 64, 3, 3],
                response=[64, 7, 7],
                verdict="converged",
                reason="All latents are used.",
                measures=site_measures(),
                figures={key: f"conv4@activation/figures/{key}.png" for key in keys},
            ),
            "conv2@activation": SiteRecord(
                verdict="collapsed",
                reason="all draws are alike: filter_spread is 0.0100, below 0.02",
                measures={"filter_spread": result("filter_spread", 0.01, None, 100)},
                figures={"filters": "conv2@activation/figures/gone.png"},
            ),
        },
    )
    return RunDirectory(folder, config, record)


def bare(run):
    """The record of a study that was stopped as early as can be."""
    run.record = begun(run.config)
    return run


class Checker(HTMLParser):
    """Collects addresses and pictures, and whether tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.pictures = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.links += [f"#{value}" for name, value in attrs if name == "popovertarget"]
        self.ids |= {value for name, value in attrs if name == "id"}
        self.pictures += [dict(attrs)] if tag == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_figure_of_the_network_and_the_layers_left_out(run):
    run.record.left_out = {"head.<b>": "It runs 0 times."}
    page = write_report(run).read_text()
    assert 'id="depth"' not in page
    (run.path / "figures").mkdir()
    (run.path / "figures" / "depth.png").write_bytes(PIXEL)
    run.record.figures = {"depth": "figures/depth.png"}
    page = write_report(run).read_text()
    assert "depth" in check(page).ids
    assert "<code>head.&lt;b&gt;</code>: It runs 0 times." in page


def check(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    for link in checker.links:
        data = re.match("data:image/(png|webp);base64,", link)
        assert data or link[1:] in checker.ids or link == PAPER_ADDRESS
    assert all(picture["alt"] for picture in checker.pictures)
    assert not re.search(r"https?://|@import|url\(", page.replace(PAPER_ADDRESS, ""))
    assert page.count("<script") == 1  # our own, which sorts
    return checker


def test_report_is_self_contained_and_whole(run):
    path = write_report(run)
    assert path == run.path / "report.html"
    page = path.read_text()
    checker = check(page)
    # Four figures and the accuracies of conv4; conv2's file is gone, and grids stay in the folder.
    assert len(checker.pictures) == 4 + 1
    assert "<code>conv4@activation/figures/grid_0.png</code> and 10 more" in page
    for text in ("0.971", "0.982 (ten, layer 4)", "0.9935", "abc123", "uncommitted", "3 min 20 s"):
        assert text in page
    assert "Number of independent directions" in page
    assert f'<a href="{PAPER_ADDRESS}">' in page
    assert "information: 10.0" in page  # the config
    assert "The study is not finished" not in page
    assert page.index("pooled_accuracy_k2<") < page.index("pooled_accuracy_k10<")


def test_the_page_says_what_of_traversals_was_resampled(run):
    """The record's n tells: 256 images, one by one as earlier versions did, or 16 groups."""
    said = "in traversals whole groups of up to 16 images that share their filters"
    assert said not in plain(write_report(run).read_text())
    site = run.record.sites["conv4@activation"]
    groups = site.measures["compensation"].model_copy(update={"n": 16})
    site.measures = site.measures | {"compensation": groups}
    assert said in plain(write_report(run).read_text())


def test_report_never_lets_a_failure_look_like_success(run):
    page = write_report(run).read_text()
    finding = (
        '<li class="finding bad" role="alert">\n<p><b>Collapsed.</b> The generator of conv2 '
        "collapsed, so nothing can be said at conv2. All draws are alike: filter_spread is 0.0100, "
        "below 0.02."
    )
    assert finding in plain(page)
    banner = "<b>Collapsed.</b> All draws are alike: filter_spread is 0.0100, below 0.02."
    assert f'<div class="banner bad"><p>{banner}' in page
    assert "Its figures and numbers are those of a failed training." in page
    assert page.index(finding[:30]) < page.index('<h2 id="site-1">')
    assert "conv4 read at activation, traversals: no invariance was shown.</b> Not tested:" in page
    assert '<li class="finding good"' not in page
    run.record.status, run.record.reason = "failed", "The loss became NaN at step 120."
    page = write_report(run).read_text()
    assert "<b>The study failed.</b> The loss became NaN at step 120." in page


def plain(page):
    """The page without the buttons that explain words."""
    return re.sub(r'<button type="button" class="term".*?>(.*?)</button>', r"\1", page)


def test_a_run_too_short_to_judge_is_neither_a_success_nor_a_failure(run):
    """Neutral on the page and in the terminal; its traversals decide nothing either."""
    site = run.record.sites["conv2@activation"]
    site.verdict, site.reason = TOO_SHORT, "draws are as random ones, but it had 40 steps only"
    site.measures |= {
        "repeatability": result("repeatability", 0.1, None, 100),
        "on_manifold_share": result("on_manifold_share", 0.1, None, 100),
    }
    page = write_report(run).read_text()
    check(page)
    short = "The generator of conv2 was trained too briefly for anything to be said at conv2."
    assert f"<b>Too short to say.</b> {short}" in plain(page)
    assert "Draws are as random ones, but it had 40 steps only." in page
    assert "show that everything runs, and nothing else" in page
    assert '<li class="finding neutral">' in page
    assert page.count('<div class="banner neutral">') == 1
    assert 'class="banner bad"' not in page
    told = "traversals: not to be believed.</b> Not repeatable; off the manifold;"
    assert f"conv2 read at activation, {told}" in page
    assert "the generator was trained too briefly to say." in page
    assert '<div class="banner no">' not in page
    conv4, conv2 = summary_sheets(run)
    assert str(conv2.title) == "conv2 read at activation: too short to say"
    assert (conv4.title_style, conv2.title_style) == ("bold green", "bold")
    assert conv2.caption_style == "none"
    site.verdict = "diverged"
    assert "red" in str(summary_sheets(run)[1].title_style)
    assert summary_sheets(run)[1].caption_style == "red"
    assert '<div class="banner no">' in write_report(run).read_text()


def test_report_of_a_study_that_was_stopped_early(run):
    page = write_report(bare(run)).read_text()
    check(page)
    assert "Not done when this page was written: train-cnn, train-gan, traverse, measure." in page
    assert "was trained" not in page
    assert page.count("nothing was measured yet") == 2
    assert page.count("No figures here") == 2
    assert "Nothing was measured yet" in page
    assert "The paper's numbers beside ours" not in page


def test_a_damaged_figure_is_one_that_is_not_there(run):
    (run.path / "conv4@activation" / "figures" / "map.png").write_bytes(PIXEL[:40])
    page = write_report(run).read_text()
    assert len(check(page).pictures) == 4
    assert "Map of filters" not in page


def test_report_escapes_what_it_is_given(run):
    run.record.sites["conv4@activation"].reason = "<script>alert(1)</script>"
    page = write_report(run).read_text()
    assert "&lt;script&gt;" in page
    check(page)


def test_report_says_where_the_paper_does_not_compare(run):
    assert "compare in pattern only" not in write_report(run).read_text()
    run.config = StudyConfig(dataset=DatasetConfig(train_limit=10))
    page = write_report(run).read_text()
    assert "compare in pattern only" in page
    assert "train_limit: 10" in page


def test_one_is_no_plural(run):
    """Every number of a config that the page tells, at its least and beyond."""
    names = ("train-cnn", "train-gan", "traverse", "measure", "train-judges")
    run.record.stages = dict.fromkeys(names, StageRecord(done=True, seconds=1.0))
    judge = result("judge_accuracy", 0.99, None, 100)
    run.record.judges = JudgesRecord(accuracies=[judge], sha256="d" * 64, seconds=1.0)
    least = {
        "cnn": {"epochs": 1, "channels": (8,), "pool_after": ()},
        "gan": {"latent": 1, "steps": 1, "batch": 1},
        "traversal": {"images": 1, "measured_images": 1, "evaluations": 1},
        "measure": {"pooled": 1, "retrain_epochs": 1},
    }
    for part, values in least.items():
        own = getattr(run.config, part).model_copy(update=values)
        run.config = run.config.model_copy(update={part: own})
    said = told_as_done(run)
    for one in ("1 convolution ", "1 epoch;", "1 latent ", "1 step of 1 image ", "1 test image,"):
        assert one in said
    for one in ("1 image at ", "by 1 step of", "1 draw pooled", "for 1 epoch, ", "1 judge:"):
        assert one in said
    assert not re.search(r"\b1 \w+s\b(?<!as)", said)
    assert "100 single draws" in said


def told_as_done(run):
    page = " ".join(write_report(run).read_text().partition("What was done</h2>")[2].split())
    return re.sub("<.*?>", "", page.partition("The method in brief")[0])


def test_no_more_is_said_to_be_done_than_was(run):
    """The dataset has but 10 images for training and 5 for test; at first nothing is re-trained."""
    run.record.stages = dict.fromkeys(("traverse", "ceilings", "measure"), StageRecord(done=True))
    one = MeasureRecord(value=0.5)
    ceiling = {"family": "f", "image_change": 0.3, "response_change": 0.2, "compensation": one}
    site = run.record.sites["conv4@activation"]
    site.ceilings = {"f": CeilingRecord.model_validate(ceiling | {"share": one})}
    said = told_as_done(run)
    for words in ("Traversals: 5 test images, ", "for the numbers 5 images at"):
        assert words in said
    assert "up to 10 training images and judged on 5 held-out images" in said
    assert "with nothing re-trained; 10 draws pooled with the later layers" in said
    for site in run.record.sites.values():
        site.measures.pop("pooled_retrained_accuracy", None)
    assert "single draws with nothing re-trained. Intervals" in told_as_done(run)


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (("labels_kept", "labels_kept_judges", "judges_divergence"), "labels kept"),
        (("compensation", "compensation_null", "repeatability"), "inversion"),
        (("image_change", "independent_image_changes", "topology_changed"), "kind of change"),
        (("on_manifold_share", "image_two_sample_accuracy"), "naturalness and smoothness"),
        (("two_sample_accuracy", "pooled_accuracy_k2"), "filters, draws and pooling"),
    ],
)
def test_measures_are_told_to_be_about_what_they_are(names, group):
    assert {tables.about(name) for name in names} == {group}


def test_no_internal_code_reaches_the_reader(run):
    """Measures once had numbers of their own, M1 to M10, which no page explains."""
    text = write_report(run).read_text()
    text += "".join(str(measure) for measure in REGISTRY.values())
    root = Path(__file__).parents[1]
    files = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("src/**/*.py")]
    text += "".join(file.read_text() for file in [*files, *root.glob("src/**/*.j2")])
    assert not re.search(r"\bM([1-9]|10)\b", text)


def test_summary_sheetss(run):
    output = io.StringIO()
    console = Console(width=140, file=output)
    for sheet in summary_sheets(run):
        console.print(*fitted(sheet, 140))
    text = output.getvalue()
    assert "conv4 read at activation: converged" in text
    assert "conv2 read at activation: collapsed" in text
    assert "All draws are alike: filter_spread is 0.0100, below 0.02." in text
    assert "0.9920 to 0.9955" in text
    assert [len(s.rows) for s in summary_sheets(bare(run))] == [0, 0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, DASH),
        (0.98123, "0.9812"),
        (-0.5, MINUS + "0.5000"),
        (7.314, "7.31"),
        (21840.2, "21,840"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, DASH),
        (0.25, "0.2 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3900, "1 h 05 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
