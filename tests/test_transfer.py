"""The study of what carries over: measures by hand, classes, tables."""

import json
import math
from pathlib import Path

import few_labels
import movable
import pytest
import torch
import transfer
import transfer_tables
from torch import Tensor

import filtergan as fg
from filtergan.benchmark.trials import packed
from filtergan.traversals.assessment import Points

DATA = movable.images(1, 8)


@pytest.fixture(scope="module")
def gan() -> fg.NaturalGAN:
    return movable.gan(movable.network(movable.PAPER, DATA), DATA, movable.PAPER)


def squares(values: Tensor) -> float:
    return float(values.square().sum())


def test_at_its_own_network_it_is_seen_what_the_generator_undoes(gan: fg.NaturalGAN) -> None:
    target = transfer.Target("its own", gan.site, DATA)
    found = transfer.seen(gan, target)
    x = transfer.Pixels.chosen(DATA, 0, transfer.IMAGES, transfer.SEED).test
    config = fg.TraversalConfig(measured_images=len(x), measured_points=transfer.POINTS, group=1)
    points = Points.drawn(gan, len(x), config, transfer.SEED)
    for k in (0, 17):  # image by image
        one, z, z_k = x[k : k + 1], points.z[k : k + 1], points.targets[k, 1:2]
        wanted = gan.site.respond(gan.site.input(one), gan.draw(z))
        moved = gan.transform(one, z, z_k)
        before, after = (
            squares(gan.site.respond(gan.site.input(y), gan.draw(z_k)) - wanted)
            for y in (one, moved)
        )
        assert float(found["compensation"][k, 1]) == pytest.approx(1 - after / before, abs=1e-3)
        change = math.sqrt(squares(moved - one) / squares(one))
        assert float(found["image_change"][k, 1]) == pytest.approx(change, abs=1e-4)
        same = gan.whole_network(moved).argmax() == gan.whole_network(one).argmax()
        assert bool(found["labels_kept"][k, 1]) == bool(same)


def test_at_another_network_and_size_filters_are_asked(gan: fg.NaturalGAN) -> None:
    data = movable.images(1, 12)
    site = fg.Site(movable.network(movable.PAPER, data), "conv2", data.test.pixels(), "conv")
    target = transfer.Target("larger", site, data)
    carried = transfer.for_size(gan, (12, 12))
    found = transfer.seen(carried, target)
    assert found.keys() == {"image_change", "labels_kept"}
    own = transfer.seen(gan, transfer.Target("its own", gan.site, DATA))
    assert float(found["image_change"].mean()) == pytest.approx(
        float(own["image_change"].mean()), rel=0.3
    )
    answers = transfer.asked(carried, target)
    assert len(answers) == gan.latent
    assert gan.transformer.space.shape == (1, 8, 8)


def test_classes_keep_their_labels() -> None:
    found = transfer.of_classes(DATA, "two", range(1, 3))
    assert set(found.train.labels.tolist()) == {1, 2}
    kept = DATA.train.labels > 0
    assert torch.equal(found.train.images[:], DATA.train.images[kept])
    assert found.classes == DATA.classes


def test_from_some_classes_to_others(
    gan: fg.NaturalGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record has a row for what is carried and one for what was learned there, and their use."""
    monkeypatch.setattr(few_labels, "STEPS", 2)
    monkeypatch.setattr(few_labels, "SEEDS", range(2))
    short = {"steps": 2, "null_steps": 1}
    config = transfer.shortened(fg.tiny(), short)
    assert (config.natural.steps, config.natural.null_steps) == (2, 1)
    data = movable.images(1, 8, 120)
    classes = {"low": range(1), "high": range(1, 3)}
    found = transfer.from_to(transfer.Kept(tmp_path, {}), data, classes, gan.site, config)
    rows = [(one["learned_on"], one["used_for"], one["own"]) for one in found["rows"]]
    assert rows == [("low", "high", False), ("high", "high", True)]
    assert {"none", "affine", *(one["key"] for one in found["rows"])} < found["use"]["high"].keys()
    transfer.record(tmp_path / "record.json", short, found)
    kept = json.loads((tmp_path / "record.json").read_bytes())
    assert kept["rows"] == found["rows"]
    assert kept["settings"]["steps"] == 2


def test_parts_are_made_once(tmp_path: Path) -> None:
    kept, made = transfer.Kept(tmp_path, {"steps": 3}), []
    for _ in range(2):
        assert kept.values("a part", lambda: made.append(1) or {"n": len(made)}) == {"n": 1}
    first, again = (
        kept.network("net", movable.PAPER.model_copy(update={"epochs": 1}), DATA) for _ in range(2)
    )
    x = DATA.test.pixels()
    assert torch.equal(first(x), again(x))


def test_parts_made_otherwise_are_refused(tmp_path: Path) -> None:
    transfer.Kept(tmp_path, {"steps": 3})
    transfer.Kept(tmp_path, {"steps": 3})
    with pytest.raises(SystemExit, match="learned otherwise"):
        transfer.Kept(tmp_path, {"steps": 4})
    (tmp_path / "learned.json").unlink()
    (tmp_path / "a part.json").touch()  # of nobody knows what
    with pytest.raises(SystemExit, match="learned otherwise"):
        transfer.Kept(tmp_path, {"steps": 4})


def test_gains_are_in_pairs() -> None:
    none = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 0]], dtype=torch.bool)
    other = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1]], dtype=torch.bool)
    found = few_labels.compared(
        {"none": list(map(packed, none)), "other": list(map(packed, other))}
    )
    assert found["none"]["gain"] == {"value": 0.0, "ci95": [0.0, 0.0]}
    assert found["other"]["accuracy"]["value"] == pytest.approx(7 / 8)
    assert found["other"]["gain"]["value"] == pytest.approx(3 / 8)
    low, high = found["other"]["gain"]["ci95"]
    assert low < 0 < 3 / 8 < high  # two seeds say little
    low, high = found["other"]["accuracy"]["ci95"]
    assert low < 7 / 8
    assert high == 1  # and no accuracy is larger


def test_trainings_differ_by_their_augmentation_only(
    gan: fg.NaturalGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_labels, "LABELLED", 20)
    monkeypatch.setattr(few_labels, "STEPS", 30)
    monkeypatch.setattr(few_labels, "SEEDS", range(2))
    still = fg.InvarianceAugment(gan, strength=0.0)
    first, again = (few_labels.trainings(DATA, gan, by) for by in (torch.nn.Identity(), still))
    assert first == again
    assert len(first) == 2


def test_tables() -> None:
    answers = [{"compensation": c, "ignored": i} for c, i in ((0.5, "yes"), (0.7, "undecided"))]
    number = {"value": 0.25, "ci95": [0.2, 0.3], "null": 0.1}
    one = {"learned_on": "a", "used_for": "b", "site": "conv2", "key": "a, conv2", "own": False}
    one |= {"image_change": number, "labels_kept": number}
    one |= {"asked": answers, "asked_null": answers[:1] * 2}
    plain = {"value": 0.8, "ci95": [0.7, 0.9]}
    methods = ("none", "a, conv2", "null of a, conv2")
    use = {name: {"accuracy": plain, "gain": plain} for name in methods}
    head, (line,) = transfer_tables.rows_of({"rows": [one], "use": {"b": use}})
    assert len(head) == len(line)
    assert line[:4] == ["b", "conv2", "a", "-"]
    assert line[4].startswith("0.60 (0.50 to 0.70)")
    assert line[5] == "1 of 2, 1 undecided; null 2 of 2"
    assert line[8] == "+0.800 (+0.700 to +0.900); null +0.800"
    _, lines = transfer_tables.use_of({"use": {"b": use}})
    assert lines[0] == ["b", "none", "0.800 (0.700 to 0.900)", "+0.800 (+0.700 to +0.900)"]
    assert transfer_tables.rows_of({}) == (head, [])
