"""Latents of several networks compared: planted ones, a run beside its copy, what is refused."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import command, record_of, told
from configs import micro
from torch import Tensor, nn

from filtergan import study
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.fields import GanConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.errors import UserError
from filtergan.figures.ignored import Asked, ignored_figure
from filtergan.figures.style import DASH
from filtergan.images.palette import GREY
from filtergan.images.splits import Dataset, Split
from filtergan.likeness.crossed import moved_by
from filtergan.likeness.likeness_files import read, write
from filtergan.likeness.likeness_record import Likeness, NetworkRecord, whose
from filtergan.likeness.likeness_sheets import over_pairs, sheets
from filtergan.likeness.likening import liken
from filtergan.likeness.spanned import shares_of
from filtergan.likeness.trained import Pixels, Trained
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.runs.record import MeasureRecord
from filtergan.sites.site import Site

SITE = "2@conv/natural"
FITTED = CeilingConfig(train_images=60, test_images=40)


# ---------------------------------------------------------------------------------------- planted


def smooth(n: int, seed: int) -> Tensor:
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(x, (8, 8), mode="bilinear")


IMAGES = Dataset(
    "smooth",
    Split((255 * smooth(80, 0)).round().to(torch.uint8), torch.arange(80) % 3),
    Split((255 * smooth(60, 1)).round().to(torch.uint8), torch.arange(60) % 3),
    ("a", "b", "c"),
    "f" * 64,
)
PIXELS = Pixels.chosen(IMAGES, 60, 40, seed=0)


class Moving(nn.Module):
    """In the place of a transformer: so much of a given change for each step along a latent."""

    def __init__(self, *changes: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.changes = changes

    def forward(self, x: Tensor, z: Tensor, z_k: Tensor) -> Tensor:
        steps = (z_k - z).unbind(1)
        moved = [s[:, None, None, None] * f(x) for s, f in zip(steps, self.changes, strict=True)]
        return x + sum(moved)


def dim(x: Tensor) -> Tensor:
    return -0.1 * x


def flip(x: Tensor) -> Tensor:
    return 0.1 * (x.flip(3) - x)


def slope(x: Tensor) -> Tensor:
    return 0.1 * torch.linspace(-1, 1, 8).expand_as(x)


def network(threshold: float | None) -> nn.Sequential:
    """Without biases or norms; or one that sees no images below a threshold."""
    torch.manual_seed(0)
    first = nn.Conv2d(1, 3, 1, bias=threshold is not None)
    with torch.no_grad():
        first.weight.fill_(1.0)
        if first.bias is not None and threshold is not None:
            first.bias.fill_(-threshold)
    second = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(256, 3)).eval()


def planted(
    name: str, whole: nn.Module, *changes: Callable[[Tensor], Tensor], site: str = SITE
) -> Trained:
    """A network whose latents do what they are told to."""
    config = joint_config(
        GanConfig(hidden=8, discriminator_channels=4),
        NaturalConfig(latent=(len(changes),), grid=3, channels=4),
    )
    gan = NaturalGAN.new(
        Site(whole, "2", PIXELS.test[:2], "conv"), torch.rand(8, 3, 8, 8), config, seed=0
    )
    gan.transformer = Moving(*changes)  # pyright: ignore[reportAttributeAccessIssue]
    gan.null = NaturalGAN.new(gan.site, torch.rand(8, 3, 8, 8), config, seed=1)
    record = NetworkRecord(
        **{"name": name, "run": f"runs/{name}", "preset": "planted", "seed": 0},
        network="Sequential",
        sites={site: len(changes)},
    )
    return Trained(record, {site: gan}, FITTED)


@pytest.fixture(scope="module")
def found() -> Likeness:
    """A and B undo brightness exactly; C, which sees no image below a threshold, does not."""
    networks = [
        planted("A", network(None), dim, flip),
        planted("B", network(None), dim, slope),
        planted("C", network(0.6), flip, slope),
    ]
    return liken(networks, IMAGES, images=40)


def crossing(found: Likeness, source: str, latent: int, asked: str) -> Any:
    (one,) = (
        one
        for one in found.crossings
        if (one.network, one.latent, one.other_network) == (source, latent, asked)
    )
    return one


def test_brightness_is_undone_where_nothing_is_added(found: Likeness) -> None:
    for asked in "AB":
        one = crossing(found, "A", 0, asked)
        assert one.compensation.value == pytest.approx(1, abs=1e-3)
        assert one.compensation.ci95[0] > 0.99
        assert one.image_change == pytest.approx(0.4, abs=1e-5)
        assert one.compensation.null < 0.5
    assert crossing(found, "A", 0, "B") == crossing(found, "B", 0, "B").model_copy(
        update={"network": "A"}
    )


def test_where_signals_vanish_it_is_not(found: Likeness) -> None:
    """Dimmed to .6 nothing reaches the filters, and none undoes anything."""
    one = crossing(found, "A", 0, "C")
    assert one.compensation.value is None
    assert one.ignored == "cannot be asked here"
    assert crossing(found, "C", 0, "A").compensation.value < 0.9  # flipped: no filters do that


def test_every_latent_is_asked_of_every_network(found: Likeness) -> None:
    assert len(found.crossings) == 3 * 2 * 3
    assert found.networks[0].sites == {SITE: 2}
    assert [d.latent for d in found.directions] == [0, 1] * 3
    for direction in found.directions:
        others = found.others(direction).values()
        assert len(others) == 2
        said = whose(found.own(direction).ignored, [one.ignored for one in others])
        assert direction.whose == said


def test_shares_are_those_of_what_was_planted() -> None:
    """Half of what A does (by squares of its own), B could have done; of slopes nothing else."""
    a = planted("A", network(None), dim, dim)
    b = planted("B", network(None), dim, flip)
    c = planted("C", network(None), slope, flip)
    shares = {
        (one.network, one.other_network): one for one in shares_of([a, b, c], PIXELS.test, 4.0, 0)
    }
    assert shares["A", "B"].share.value == pytest.approx(1, abs=1e-5)
    assert shares["A", "B"].top == pytest.approx(1, abs=1e-5)
    x = PIXELS.test.flatten(1).double()
    s = slope(PIXELS.test).flatten(1).double()
    f = flip(PIXELS.test).flatten(1).double()
    base = torch.linalg.qr(torch.stack([s, f], dim=2))[0]
    wanted = (base.mT @ x[:, :, None]).square().sum((1, 2)) / x.square().sum(1)
    one = shares["A", "C"].share
    assert one.value == pytest.approx(float(wanted.mean()), abs=1e-4)
    low, high = one.ci95
    assert low is not None
    assert high is not None
    assert low < float(wanted.mean()) < high
    assert one.n == 40


def test_networks_without_a_site_of_the_name_are_asked_at_all_of_theirs() -> None:
    a = planted("A", network(None), dim)
    b = planted("B", network(0.6), dim, site="one@conv/natural")
    other = planted("B", network(None), dim, site="two@conv/natural")
    both = Trained(b.told, {**b.gans, **other.gans}, FITTED)
    found = liken([a, both], IMAGES, images=40)
    places = [
        (one.network, one.site[:3], one.other_network, one.other_site[:3])
        for one in found.crossings
    ]
    assert places == [
        *(("A", "2@c", "A", "2@c"), ("A", "2@c", "B", "one"), ("A", "2@c", "B", "two")),
        *(("B", "one", "A", "2@c"), ("B", "one", "B", "one")),
        *(("B", "two", "A", "2@c"), ("B", "two", "B", "two")),
    ]
    (first, *_) = found.directions
    assert found.others(first)["B"].other_site == "two@conv/natural"  # where most is undone


def test_steps_lie_around_the_middle() -> None:
    gan = planted("A", network(None), dim, flip).gans[SITE]
    one, other = moved_by(gan, 4.0).fixed
    assert torch.allclose(one(PIXELS.test), 0.6 * PIXELS.test)
    assert torch.allclose(other(PIXELS.test), PIXELS.test + 4 * flip(PIXELS.test))


def test_whose_invariance_it_is() -> None:
    assert whose("yes", ["yes", "yes"]) == "every network"
    assert whose("yes", ["yes", "no"]) == "some networks"
    assert whose("yes", ["yes", "cannot be asked here"]) == "some networks"
    assert whose("yes", ["no", "no"]) == "this training"
    assert whose("yes", ["no", "cannot be asked here"]) == "undecided"
    assert whose("no", ["yes", "yes"]) == "none"
    assert whose("undecided", ["yes", "yes"]) == "undecided"
    assert whose("cannot be asked here", ["no"]) == "undecided"


# ------------------------------------------------------------------------------------------- files


def test_what_is_written_is_read_again(found: Likeness, tmp_path: Path) -> None:
    write(found, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == found
    (tmp_path / "b.json").write_text('{"schema": "filtergan-comparison-1"}')
    for name in ("b.json", "c.json"):
        with pytest.raises(UserError, match="is no comparison of directions"):
            read(tmp_path / name)


def test_csv_holds_every_number(found: Likeness, tmp_path: Path) -> None:
    write(found, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * len(found.shares) + 4 * len(found.crossings)
    shares = [float(one["value"]) for one in lines if one["measure"] == "share"]
    assert shares == [one.share.value for one in found.shares]
    passed = [one for one in lines if one["measure"] == "passed"]
    for line, one in zip(passed, found.crossings, strict=True):
        assert (line["network"], line["latent"]) == (one.network, str(one.latent))
        assert line["ignored"] == one.ignored
        assert [line["low"], line["high"]] == [
            "" if end is None else repr(end) for end in one.passed.ci95
        ]


def test_tables_and_their_files(found: Likeness, tmp_path: Path) -> None:
    shares, verdicts, counts = sheets(found)
    assert len(shares.rows) == 6
    assert [row[0] for row in verdicts.rows] == ["A z0", "A z1", "B z0", "B z1", "C z0", "C z1"]
    assert [sum(map(int, row[2:7])) for row in counts.rows] == [2, 2, 2]
    write(found, tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text().count("| A z0 |") == 1
    write(found, tmp_path / "a.tex")
    assert (tmp_path / "a.tex").read_text().count("\\begin{tabular}") == 3
    head, lines = over_pairs(found.shares)
    assert len(head) == 5
    assert [line[:2] for line in lines] == [["2@conv", "another network"]]
    none = found.shares[0].model_copy(update={"share": MeasureRecord()})
    assert over_pairs([*found.shares, none])[1][0][2] == lines[0][2]  # where nothing changed


def test_the_figure(found: Likeness, tmp_path: Path) -> None:
    for ending, first in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        write(found, tmp_path / f"a.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes().startswith(first)
    none = Asked(MeasureRecord(), "not asked", own=False)
    sure = Asked(MeasureRecord(value=0.95, ci95=(0.9, 0.97), null=-0.2), "yes", own=True)
    vague = Asked(MeasureRecord(value=0.3, ci95=(0.1, 0.4), null=0.2), "no", own=False)
    figure = ignored_figure({"conv2": {"A z0": {"A": sure, "B": vague}, "B z0": {"A": none}}})
    texts = [text for axes in figure.axes for text in axes.texts]
    assert [text.get_text() for text in texts] == [".95", "yes", ".10", "no", DASH, DASH]
    assert [texts[place].get_color() for place in (0, 2)] == ["white", GREY]


# -------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its copy, another seed of another layer, one of other images and one by the game."""
    folder = tmp_path_factory.mktemp("runs")
    study.run(micro(layer=("conv2/natural",)), folder / "a", until="natural")
    shutil.copytree(folder / "a", folder / "copy")
    other = micro(layer=("conv1/natural",), seed=1)
    study.run(other, folder / "other", until="natural")
    shutil.copytree(folder / "a", folder / "images")
    record = record_of(folder / "images")
    record["dataset"]["fingerprint"] = "e" * 64
    (folder / "images" / "record.json").write_text(json.dumps(record))
    study.run(micro(), folder / "paper", until="train-cnn")
    return folder


def test_a_run_and_its_copy_ignore_the_same(runs: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "a.json", tmp_path / "a.md"
    said = command(
        *("compare", "--directions", runs / "a", runs / "copy", "--images", "20", "--json"),
        *("-o", out, "-o", page),
    )
    found = read(out)
    assert json.loads(said) == json.loads(out.read_text())
    assert "Directions compared" in page.read_text()
    assert [one.share.value for one in found.shares] == pytest.approx([1, 1], abs=1e-5)
    assert found.images == 20
    assert len(found.crossings) == 4 * found.networks[0].sites["conv2@activation/natural"]
    for direction in found.directions:
        own = found.own(direction)
        (other,) = found.others(direction).values()
        assert own.model_copy(update={"other_network": other.other_network}) == other


def test_layers_may_differ(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    named = ("--site", "conv2@activation", "conv1@activation/natural")
    said = command("compare", "--directions", runs / "a", runs / "other", "--images", "20", *named)
    assert "A conv2@activation" in said
    assert "B conv1@activation" in said
    assert "Latents by whose invariance they are" in said


def test_bad_input_is_told_in_a_sentence(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str | Path) -> str:
        return told(capsys, "compare", *arguments)

    a, copy = runs / "a", runs / "copy"
    assert "at least two" in refused("--directions", a)
    assert "named twice" in refused("--directions", a, a)
    assert "no site of the natural recipe" in refused("--directions", a, runs / "paper")
    assert "are not those of" in refused("--directions", a, runs / "images")
    assert "holds no study" in refused("--directions", a, tmp_path / "none")
    assert "none of the sites" in refused("--directions", a, copy, "--site", "conv9@conv")
    assert "too few" in refused("--directions", a, copy, "--images", "1")
    assert ".svg or .png" in refused("--directions", a, copy, "-o", "table.txt")
    assert "leave out --measures" in refused("--directions", a, copy, "--measures", "compensation")
    assert "option of --directions" in refused(a, copy, "--seed", "1")
