"""Augmentations side by side: what is the same for all, what is chosen by what, and the record."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from augmented import subject
from commands import command, quickly, told
from configs import micro
from movable import WHITENED
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from filtergan import cli, study
from filtergan.benchmark import contest, standings, trials
from filtergan.benchmark.affine_maps import UniformAffine
from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.subject import Factory, Subject, subject_of
from filtergan.benchmark.trials import Trial, packed, planned, unpacked
from filtergan.errors import UserError
from filtergan.study.opened import open_run

NATURAL = "conv2@activation/natural"


@pytest.fixture(scope="module")
def grey() -> Subject:
    return subject()


# ------------------------------------------------------------------- the same for all methods


def test_a_fresh_network_is_drawn_anew_and_the_old_one_stays(grey: Subject) -> None:
    before = {name: value.clone() for name, value in grey.network.state_dict().items()}
    one, same, other = (grey.fresh(seed).state_dict() for seed in (1, 1, 2))
    for name, value in before.items():
        assert torch.equal(grey.network.state_dict()[name], value)
        assert torch.equal(one[name], same[name])
    drawn = [name for name in before if "conv" in name or name.endswith("fc.weight")]
    assert len(drawn) > 3
    for name in drawn:
        assert not torch.equal(one[name], before[name])
        assert not torch.equal(one[name], other[name])

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

    with pytest.raises(UserError, match="Layer 'one' of the network, a Own, cannot be drawn"):
        dataclasses.replace(grey, network=nn.ModuleDict({"one": Own()})).fresh(0)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.spectral_norm])
def test_weights_that_are_computed_are_refused(
    grey: Subject, norm: Callable[[nn.Module], nn.Module]
) -> None:
    network = nn.Sequential(nn.Flatten(), norm(nn.Linear(64, 10)))
    with pytest.raises(UserError, match="Layer '1' of the network computes its weights"):
        dataclasses.replace(grey, network=network).fresh(0)


def test_a_fresh_whitened_network_keeps_its_whitening_and_learns(tmp_path: Path) -> None:
    """The rate of its preset, which is SGD's, would leave it at chance."""
    config = micro(
        layer=("group2.conv1@activation/natural",),
        cnn=WHITENED,
        natural={"latent": (3,), "steps": 1, "null_steps": 1},
        gan={"steps": 1},
    )
    with quickly():
        study.run(config, tmp_path / "run", until="natural")
    own = subject_of(open_run(tmp_path / "run"), None, 60)
    before, drawn = (dict(one.named_parameters()) for one in (own.network, own.fresh(1)))
    for name, value in before.items():
        stays = "whiten." in name or ("bn" in name and name.endswith("weight"))
        assert torch.equal(value, drawn[name]) == stays, name
        assert drawn[name].requires_grad == (not stays or name.endswith("whiten.bias")), name
    found = trials.perform(Trial("none", 50, 0, 0.0), own, own.factory("none"), 50)
    assert found["test"] > 0.3  # of ten classes


def test_the_fewer_images_are_among_the_more_and_none_tunes(grey: Subject) -> None:
    few, more = grey.labelled(10, 3), grey.labelled(30, 3)
    assert torch.equal(few, more[:10])
    assert not torch.equal(few, grey.labelled(10, 4))
    tuned = grey.validation(30, 3)
    assert len(tuned) == 50
    assert sorted([*more.tolist(), *tuned.tolist()]) == list(range(80))
    with pytest.raises(UserError, match="80 training images, and none of them is left to tune by"):
        grey.check(80)


def test_all_methods_are_trained_alike(grey: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same images, labels, first weights, minibatches and number of steps."""
    seen: dict[Trial, Any] = {}

    def looked(net: nn.Module, _: object, rows: Any, labels: Tensor, **given: Any) -> None:
        given.pop("prepare")
        weights = {name: value.clone() for name, value in net.state_dict().items()}
        seen[now] = (rows[:].clone(), labels, weights, given)

    monkeypatch.setattr(trials, "fit", looked)
    for now in planned(list(METHODS), [10, 20], [0, 1], 1):
        found = trials.perform(now, grey, grey.factory(now.method), 20)
        assert found["steps"] == 3
    for trial, (rows, labels, weights, given) in seen.items():
        first = seen[dataclasses.replace(trial, method="none", strength=0.0)]
        assert torch.equal(rows, first[0])
        assert torch.equal(labels, first[1])
        assert all(torch.equal(weights[name], first[2][name]) for name in weights)
        assert given == first[3]
    assert len(seen) == 2 * 2 * len(METHODS)


def test_steps_are_whole_passes(grey: Subject) -> None:
    for size, steps, made in ((100, 600, 600), (300, 600, 600), (1000, 600, 600), (300, 7, 12)):
        own = dataclasses.replace(grey, steps=steps)
        assert own.passes(size) * (size // 50) == made


def test_copies_are_averaged(grey: Subject) -> None:
    """As a plain loop over copies has it."""
    net, test = grey.network, (grey.test.images, grey.test.labels)
    transform = UniformAffine(torch.tensor([3.0, 3, 1, 0, 0, 0]), copies=3)
    found = trials.correct(net, transform, *test, grey.device, 7)
    torch.manual_seed(7)
    with torch.no_grad():
        x = grey.test.pixels()
        logs = [net(transform(x)).softmax(1).log() for _ in range(3)]
    assert torch.equal(found, torch.stack(logs).mean(0).argmax(1) == grey.test.labels)
    alone = trials.correct(net, nn.Identity(), *test, grey.device, 7)
    assert torch.equal(alone, net(grey.test.pixels()).argmax(1) == grey.test.labels)


# --------------------------------------------------------------------------- what came of it


def test_truth_values_are_kept_whole() -> None:
    right = torch.rand(37) < 0.5
    assert torch.equal(unpacked(packed(right)), right)


def outcome(name: str, seed: int, strength: float, validation: float, right: Tensor) -> Any:
    own = {"method": name, "size": 10, "seed": seed, "strength": strength}
    return own | {"validation": validation, "correct": packed(right)}


def test_strengths_are_chosen_by_validation_and_methods_compared_in_pairs() -> None:
    drawn = torch.Generator().manual_seed(0)
    right = {
        (name, seed, s): torch.rand(50, generator=drawn) < chance
        for name, chance in (("none", 0.5), ("affine", 0.8))
        for seed in (0, 1, 2)
        for s in METHODS[name].strengths(2)
    }
    validation = {0.0: 0.3, 0.5: 0.6, 1.0: 0.6}  # of equals the weaker
    done = [outcome(n, seed, s, validation[s], r) for (n, seed, s), r in right.items()]
    done.append(outcome("affine", 3, 1.0, 0.9, torch.ones(50) > 0))  # half of a seed does not count
    found = standings.standings(done, 2)["10"]
    affine = found["methods"]["affine"]
    assert affine["strength"] == 0.5
    assert affine["validation"] == {"0.5": pytest.approx(0.6), "1.0": pytest.approx(0.6)}
    shares = {key: float(one.float().mean()) for key, one in right.items()}
    each = {s: shares["affine", s, 0.5] - shares["none", s, 0.0] for s in (0, 1, 2)}
    less = found["less"]["affine"]["none"]
    assert less["by_seed"] == {str(seed): pytest.approx(value) for seed, value in each.items()}
    assert less["value"] == pytest.approx(np.mean(list(each.values())))
    back = found["less"]["none"]["affine"]
    assert back["value"] == -less["value"]
    assert back["ci95"] == [-less["ci95"][1], -less["ci95"][0]]
    accuracies, beside, others = standings.sheets({"10": found})
    assert [row[0] for row in accuracies.rows] == ["none", "affine"]
    assert accuracies.rows[1][1].endswith("at 0.5")
    assert [row[0] for row in beside.rows] == ["affine"]
    assert beside.rows[0][1].startswith("+")
    assert [row[0] for row in others.rows] == ["none"]


# ------------------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the bundled digits with a transformer that is hardly trained."""
    config = micro(
        layer=(NATURAL,), natural={"latent": (3,), "steps": 3, "null_steps": 2}, gan={"steps": 3}
    )
    path = tmp_path_factory.mktemp("augmented") / "run"
    with quickly():
        study.run(config, path, until="natural")
        yield path


SMALL = ("--sizes", "20", "10", "--seeds", "0", "1", "--steps", "2", "--budget", "2")
FEW = (*SMALL, "--methods", "none", "affine_copies", "ours")


def benchmark(run: Path, *options: str | Path) -> str:
    return command("benchmark", "augment", run, *options)


def plain(path: Path) -> Any:
    """A record without what two of the same may differ in."""
    record = json.loads(path.read_bytes())
    record.pop("began")
    for one in record["trials"]:
        assert one.pop("seconds") >= 0
    return record


def test_a_queue_goes_on_after_a_crash_and_comes_to_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    text = benchmark(run, *FEW, "-o", whole)
    assert "Test accuracy" in text
    assert "Less none, in pairs" in text
    assert text.endswith(f"The record: {whole}\n")
    before = plain(whole)
    assert len(before["trials"]) == 2 * 2 * (1 + 2 + 2)
    assert [one["size"] for one in before["trials"][:10]] == [10] * 5 + [20] * 5
    assert set(before["results"]["20"]["less"]["ours"]) == {"none", "affine_copies"}
    assert before["settings"]["validation"] == 80

    done = 0
    perform = trials.perform

    def interrupted(*given: Any) -> Any:
        nonlocal done
        done += 1
        if done == 8:
            raise KeyboardInterrupt
        return perform(*given)

    monkeypatch.setattr(contest, "perform", interrupted)
    capsys.readouterr()
    assert cli.main(["benchmark", "augment", str(run), *FEW, "-o", str(parts)]) == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err
    assert len(json.loads(parts.read_bytes())["trials"]) == 7
    found = json.loads(benchmark(run, *FEW, "-o", parts, "--json"))
    assert done == 8 + 13
    assert found["results"] == before["results"]
    assert found["record"] == str(parts)
    assert plain(parts) == before
    benchmark(run, *FEW, "-o", parts, "--quiet")
    assert done == 8 + 13  # all were done already


def test_more_methods_and_seeds_join_a_record(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "augment.json"
    small = ("--sizes", "10", "--steps", "1", "--budget", "1", "-o", path)
    benchmark(run, *small, "--seeds", "1", "--methods", "ours_affine", "none")
    benchmark(run, *small, "--seeds", "0", "1", "--methods", "none", "elastic")
    found = plain(path)
    keys = [(one["seed"], one["method"]) for one in found["trials"]]
    expected = [(0, "none"), (0, "elastic"), (1, "none"), (1, "elastic"), (1, "ours_affine")]
    assert keys == expected
    less = found["results"]["10"]["less"]
    assert list(less["none"]["elastic"]["by_seed"]) == ["0", "1"]
    assert list(less["none"]["ours_affine"]["by_seed"]) == ["1"]


def test_the_record_lies_in_the_run(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    single = ("--sizes", "5", "--seeds", "0", "--steps", "1", "--methods", "none")
    benchmark(copied, *single)
    assert plain(copied / "augment.json")["schema"] == contest.SCHEMA


def test_what_would_be_trained_is_told(run: Path) -> None:
    text = benchmark(run, *FEW, "--dry-run")
    assert "20 trainings" in text
    assert "affine_copies" in text
    assert "0.5, 1" in text
    found = json.loads(benchmark(run, *FEW, "--dry-run", "--json"))
    assert found["trainings"] == 20
    assert [one["trainings"] for one in found["methods"]] == [4, 8, 8]
    assert found["seconds"] == pytest.approx(sum(one["seconds"] for one in found["methods"]))
    assert not (run / "augment.json").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--methods", "mixup"), "There is no method 'mixup'; there are none, affine"),
        (("--sizes", "0"), "numbers from 1 on"),
        (("--budget", "0"), "numbers from 1 on"),
        (("--steps", "0"), "a number from 1 on"),
        (("--seeds", "-1"), "numbers from 0 on"),
        (("--sizes", "100"), "none of them is left to tune by"),
        (("--site", "conv1@activation/natural"), "has no site 'conv1@activation/natural'"),
        (("--steps", "many"), "invalid int value"),
        (("--method", "none"), "There is no option --method"),
    ],
)
def test_mistakes(
    run: Path, options: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in told(capsys, "benchmark", "augment", run, *options)


def test_what_cannot_be_had_here_is_left_out_unless_it_was_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.lig", None)  # as outside the repository
    for name in {*METHODS} - {"none", "lig"}:
        monkeypatch.delitem(METHODS, name)
    path = tmp_path / "augment.json"
    single = ("--sizes", "5", "--seeds", "0", "--steps", "1", "--budget", "1", "-o", path)
    options = ("benchmark", "augment", run, *single)
    command(*options, warned="lig is left out: The method lig lies in")
    assert [one["method"] for one in plain(path)["trials"]] == ["none"]
    said = told(capsys, "benchmark", "augment", run, *single, "--methods", "lig")
    assert "The method lig lies in" in said


def test_a_task_that_there_is_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'speed'" in told(capsys, "benchmark", "speed", run)


def test_a_record_of_other_settings_is_refused(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "augment.json"
    single = ("--sizes", "5", "--seeds", "0", "--methods", "none", "-o", str(path))
    benchmark(run, *single, "--steps", "1")
    said = told(capsys, "benchmark", "augment", run, *single, "--steps", "2")
    assert "was begun with other steps" in said
    with monkeypatch.context() as other:
        other.setitem(METHODS, "ours", dataclasses.replace(METHODS["ours"], most=1.0))
        said = told(capsys, "benchmark", "augment", run, *single, "--steps", "1")
    assert "was begun with other dials" in said
    for text in ("{}", "[]", '{"schema": "other", "trials": [], "settings": {}}', "no JSON"):
        path.write_text(text)
        assert "is no record of" in told(capsys, "benchmark", "augment", run, *single)


def test_a_run_without_a_transformer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with quickly():
        study.run(micro(), tmp_path / "run", until="train-cnn")
    said = told(capsys, "benchmark", "augment", tmp_path / "run")
    assert "has no transformer at any site" in said


def test_one_entry_adds_a_method(grey: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is all that has to know of it."""
    from filtergan.benchmark.methods import Method

    monkeypatch.setitem(METHODS, "mirrored", Method("mirrored", f"{__name__}:mirrored", None))
    (trial,) = planned(["mirrored"], [10], [0], 3)
    found = trials.perform(trial, grey, grey.factory("mirrored"), 10)
    assert found["method"] == "mirrored"
    assert 0 <= found["test"] <= 1


class Mirror(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(3)


def mirrored(subject: Subject) -> Factory:
    return lambda images, labels, strength, seed: Mirror()
