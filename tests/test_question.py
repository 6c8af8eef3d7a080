"""The directed question: networks that ignore, pass on, or cannot be asked, by construction."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import questions
import torch
from commands import command, told
from configs import micro
from torch import Tensor, nn

import filtergan as fg
from filtergan import study
from filtergan.ceilings.ceiling import ceilings_of, some_of
from filtergan.ceilings.question import IGNORED, Answer, Answers, ask, judged
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.errors import UserError
from filtergan.families.family import Family, Fixed
from filtergan.measures.gates import LABELS_KEPT
from filtergan.sites.site import Site

SHORT = CeilingConfig(steps=5, batch=8, test_images=60)


def pictures(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def family(name: str, change: Callable[[Tensor], Tensor]) -> Family:
    return Family(name, name, fixed=(Fixed(name, lambda x, _: change(x), 1.0),))


def half_blind() -> Site:
    """A convolution that passes three channels on, and logits that see the first alone."""
    conv, last = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(48, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.eye(3)[:, :, None, None])
        last.weight.copy_(torch.randn(2, 48, generator=torch.Generator().manual_seed(0)))
        last.weight[:, 16:] = 0
    network = nn.Sequential(conv, nn.Flatten(), last).eval()
    return Site(network, "0", pictures(2, 3, 4, 4), "conv")


def gain(*factors: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * torch.tensor(factors)[:, None, None]


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    asked = [
        family("unseen", gain(1, 0.6, 0.6)),
        family("seen", gain(0.6, 1, 1)),
        family("other images", lambda x: pictures(len(x), 3, 4, 4, seed=9)),
    ]
    x = pictures(200, 3, 4, 4)
    return ask(half_blind(), x[:100], x[100:], asked, SHORT)


def test_what_the_logits_do_not_see_is_ignored(answers: dict[str, Answer]) -> None:
    one = answers["unseen"]
    assert one.ceiling.compensation.value == pytest.approx(1, abs=1e-4)
    assert one.passed.value == pytest.approx(0, abs=1e-3)
    assert one.labels_kept.value == 1
    assert one.verdict == "yes"


def test_what_they_see_is_passed_on_wholly(answers: dict[str, Answer]) -> None:
    """Handed to a filter at random the change seldom reaches the first channel; here it does."""
    one = answers["seen"]
    assert one.verdict == "no"
    value, (low, high) = one.passed.value, one.passed.ci95
    assert value is not None
    assert low is not None
    assert high is not None
    assert low < value < high
    assert value > 1.4
    assert one.passed.null is not None
    assert one.passed.null > 0.9


def test_the_interval_holds_what_other_exchanges_and_images_say() -> None:
    """Twenty times with other images and exchanges; of 200 times .96 held the mean of all."""
    seen, values, intervals = family("seen", gain(0.6, 1, 0.9)), [], []
    for seed in range(20):
        x = pictures(160, 3, 4, 4, seed=seed)
        one = ask(half_blind(), x[:100], x[100:], [seen], SHORT, seed=seed)["seen"].passed
        values.append(one.value)
        intervals.append(one.ci95)
    middle = sum(values) / len(values)
    assert sum(low < middle < high for low, high in intervals) >= 17
    assert sorted(high / low for low, high in intervals)[10] < 2.5


def test_what_cannot_be_undone_cannot_be_asked(answers: dict[str, Answer]) -> None:
    assert answers["other images"].verdict == "cannot be asked here"


def test_the_ceiling_is_that_of_ceilings(answers: dict[str, Answer]) -> None:
    x, seen = pictures(200, 3, 4, 4), family("seen", gain(0.6, 1, 1))
    alone = ceilings_of(half_blind(), x[:100], x[100:], [seen], SHORT)["seen"]
    assert alone.at_best is not None
    asked = answers["seen"].ceiling.record  # of the fitted filters as they are
    assert alone.record.model_copy(update={"at_best": None}) == asked


def test_what_passes_around_the_response_sees_the_filters_too() -> None:
    """Labels kept are those of the network that has the filters, also where a way leads around."""
    torch.manual_seed(0)
    network = fg.ResNet(fg.tiny().cnn, (3, 8, 8), 10).eval()
    x = pictures(160, 3, 8, 8)
    site = Site(network, "conv", x, "+1")
    assert not site.straight
    for filters in ask(site, x[:80], x[80:], ["brightness", "colour"], SHORT).values():
        other = copy.deepcopy(network)
        conv = other.get_submodule("conv")
        assert isinstance(conv, nn.Conv2d)
        conv.weight.data.copy_(filters.filters)
        seen = some_of(x[80:], SHORT.test_images, 0, "held out")
        kept = (other(seen).argmax(1) == network(seen).argmax(1)).float().mean()
        assert filters.labels_kept.value == pytest.approx(float(kept), abs=0.02)


def test_of_a_single_filter_nothing_can_be_exchanged() -> None:
    x = pictures(160, 1, 4, 4)
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(16, 2)).eval()
    found = ask(Site(network, "0", x, "conv"), x[:80], x[80:], ["brightness"], SHORT)
    (one,) = found.values()
    assert one.ceiling.compensation.value == pytest.approx(1, abs=1e-4)
    assert one.verdict == "cannot be asked here"


def test_a_change_of_images_that_is_no_number_is_asked_beside_others() -> None:
    x = pictures(160, 3, 4, 4)
    asked = [family("none", lambda x: x / 0), family("seen", gain(0.6, 1, 1))]
    found = ask(half_blind(), x[:100], x[100:], asked, SHORT)
    assert found["none"].verdict == "cannot be asked here"
    assert found["seen"].verdict == "no"


def test_what_does_not_arrive_at_the_layer_is_ignored() -> None:
    conv = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(conv, nn.Flatten(), nn.Linear(48, 2)).eval()
    with torch.no_grad():
        conv.weight[:, 1:] = 0
    x, site = pictures(80, 3, 4, 4), Site(network, "0", pictures(2, 3, 4, 4), "conv")
    asked = [family("dropped", gain(1, 0.5, 0.5)), family("seen", gain(0.5, 1, 1))]
    found = ask(site, x[:40], x[40:], asked, SHORT)
    assert found["dropped"].ceiling.response_change < 1e-6
    assert found["dropped"].verdict == "yes"
    assert found["seen"].ceiling.response_change > 0.1
    # The table says the same of what is kept of an answer, which its intervals alone would not.
    kept = questions.told(found["dropped"])
    assert questions.verdict_of(kept) == "yes"
    assert questions.verdict_of({**kept, "arrived": None}) != "yes"


def test_verdicts_follow_from_two_intervals_and_the_labels() -> None:
    below, above = (0.8, IGNORED - 0.01), (IGNORED + 0.01, 2.0)
    assert judged((0.5, 0.6), below, 1.0) == "yes"
    assert judged((0.5, 0.6), above, 1.0) == "no"
    assert judged((0.5, 0.6), (1.0, 2.0), 1.0) == "undecided"
    assert judged((0.2, 0.6), below, 1.0) == "cannot be asked here"
    assert judged((None, None), below, 1.0) == "cannot be asked here"
    assert judged((0.5, 0.6), (None, None), 1.0) == "cannot be asked here"
    assert judged((0.2, 0.6), above, 1.0, 0.009) == "yes"
    assert judged((0.5, 0.6), above, 1.0, 0.011) == "no"
    # Labels lost: not ignored, however little is passed on. What cannot be asked stays so.
    assert judged((0.5, 0.6), below, LABELS_KEPT) == "yes"
    assert judged((0.5, 0.6), below, LABELS_KEPT - 0.01) == "no"
    assert judged((0.5, 0.6), (1.0, 2.0), LABELS_KEPT - 0.01) == "no"
    assert judged((0.2, 0.6), below, LABELS_KEPT - 0.01) == "cannot be asked here"


def test_answers_are_a_table(answers: dict[str, Answer]) -> None:
    assert isinstance(answers, Answers)
    frame = answers.to_dataframe()
    assert list(frame.index) == list(answers)
    assert dict(frame["ignored"]) == {name: one.verdict for name, one in answers.items()}
    seen = answers["seen"]
    assert frame.loc["seen", "ceiling"] == seen.ceiling.compensation.value
    assert frame.loc["seen", "passed_high"] == seen.passed.ci95[1]
    assert frame.loc["seen", "labels_kept_null"] == seen.labels_kept.null
    assert "cannot be asked here" in answers._repr_html_()


def test_what_is_saved_is_loaded(answers: dict[str, Answer], tmp_path: Path) -> None:
    Answers(answers).save(tmp_path / "answers.safetensors")
    again = Answers.load(tmp_path / "answers.safetensors")
    assert list(again) == list(answers)
    for name, one in answers.items():
        assert again[name].measures == one.measures
        assert again[name].verdict == one.verdict
        assert torch.equal(again[name].ceiling.filters, one.ceiling.filters)


def test_labels_kept_have_an_interval(answers: dict[str, Answer]) -> None:
    kept = answers["seen"].labels_kept
    low, high = kept.ci95
    assert low is not None
    assert high is not None
    assert kept.value is not None
    assert low <= kept.value <= high
    # About that of a share of so many images (normal approximation).
    error = 1.96 * (kept.value * (1 - kept.value) / kept.n) ** 0.5
    assert (high - low) / 2 == pytest.approx(error, abs=0.04)


def test_a_network_without_logits_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()).eval()
    x = pictures(60, 1, 4, 4)
    with pytest.raises(UserError, match="not a logit for each of two classes"):
        ask(Site(network, "0", x[:2], "conv"), x, x, ["brightness"], SHORT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "run"
    study.run(micro(), path, until="train-cnn")
    return path


def test_the_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that no name is wrapped
    said = command("ask", run, "--family", "rotation", "--response", "activation", "bn2")
    assert said.count("rotation 20 deg") == 2
    assert "at conv2 read at bn2?" in said
    file, asked = tmp_path / "answers.json", ("--layer", "conv1", "--family", "size", "shift")
    said = command("ask", run, *asked, "-o", file)
    assert "conv1 read at activation" in said
    assert said.count("size x") == 2
    assert said.endswith(f"The document: {file}\n")
    assert json.loads(command("ask", run, *asked, "--json")) == json.loads(file.read_text())
    assert "no family 'tilt'; choose brightness" in told(capsys, "ask", run, "--family", "tilt")
    assert "no layer 'conv9'" in told(capsys, "ask", run, "--layer", "conv9")


def test_the_tables_of_planted_networks(answers: dict[str, Answer]) -> None:
    told_of = {"answers": {name: questions.told(one) for name, one in answers.items()}}
    kinds, site = ("none", "blur", "brightness"), "conv4@activation"
    found = dict.fromkeys(
        (f"{kind}/seed{seed}/{site}" for kind in kinds for seed in (0, 1)), told_of
    )
    found |= {"none/seed0/conv4@bn5": {"answers": {}}}
    head, *lines = questions.table(found, site)
    assert head == ["asked", "of a plain network", "of one with blur", "of one with brightness"]
    assert [line[0] for line in lines] == ["unseen", "seen", "other images"]
    assert lines[0][1].startswith("**yes** 0.00, 0.00 (1.00, 1.00); labels 1.00, 1.00, null ")
    assert lines[1][2].startswith("**no** ")
    assert lines[2][1].startswith("**cannot be asked here** ")
    blurs = {"blur 1 px": told_of["answers"]["unseen"], "shift 1 px": told_of["answers"]["seen"]}
    found[f"blur/seed0/{site}"] = found[f"none/seed0/{site}"] = {"answers": blurs}
    other = {"blur 1 px": told_of["answers"]["seen"]}
    found[f"none/seed1/{site}"] = {"answers": other}
    (line,) = questions.summary(found)[1:]
    assert line[:2] == [site, "blur 1 px"]
    assert line[2] == "**yes** 0.00"
    assert line[3].startswith("**1 no, 1 yes** 0.00, ")
    assert line[4] == "-"  # none of brightness was asked of a blur
