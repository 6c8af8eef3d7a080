"""Studies of a network of one's own that takes normalised images, or is near chance."""

import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import quickly, record_of
from configs import micro
from safetensors.torch import save_file
from torch import Tensor, nn

import filtergan as fg
from filtergan import cli
from filtergan.config.parsing import dump
from filtergan.machine.files import load_tensors
from filtergan.measures.accuracies import reordered_accuracy

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(96, 10)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.norm(self.conv1(x)))))
        return self.fc(torch.max_pool2d(x, 2).flatten(1))

class Folded(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x):
        return super().forward(self.scale * x + self.shift)

class Reordered(Net):
    def forward(self, x):
        return super().forward(x).roll(1, dims=1)
"""
# Powers of two: (x - 0.5) / 0.25 and 4 x - 2 are rounded alike.
TOLD = ("--mean", "0.5", "--std", "0.25")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normalised_nets.py").write_text(FACTORIES)
    (tmp_path / "micro.yaml").write_text(dump(micro()))
    monkeypatch.syspath_prepend(tmp_path)
    with quickly():
        yield tmp_path
    sys.modules.pop("normalised_nets", None)


def trained(domain: fg.Domain) -> nn.Module:
    """A network of digits in a domain; its weights are in w.safetensors."""
    import normalised_nets  # pyright: ignore[reportMissingImports]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = normalised_nets.Net()
    images = fg.load_dataset("digits").train
    whole = fg.Classifier(network, domain)
    fg.fit(whole, network.parameters(), images.images, images.labels, epochs=3, batch=32)
    save_file(network.state_dict(), "w.safetensors")
    return network


def study(capsys: pytest.CaptureFixture[str], name: str, out: str, *more: str) -> tuple[Any, str]:
    """The record of a study of conv2 of one of the networks, and what it says on stderr."""
    own = ("--model", f"normalised_nets:{name}", "--weights", "w.safetensors")
    code = cli.main(["study", "--config", "micro.yaml", *own, "--out", out, *more])
    said = capsys.readouterr().err
    assert code == 0, said
    return record_of(Path(out)), said


def numbers(measure: dict[str, Any]) -> list[float | None]:
    return [measure["value"], measure["null"], *measure["ci95"]]


def test_a_study_equals_that_of_the_folded_network(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = trained(fg.Domain(0.5, 0.25)).state_dict()
    found, said = study(capsys, "Net", "told", *TOLD)
    assert "near chance" not in said
    assert found["config"]["mean"] == [0.5]
    assert found["config"]["std"] == [0.25]
    assert found["cnn"]["accuracy"]["value"] > 0.8
    assert "warning" not in found["cnn"]
    kept = load_tensors(here / "told" / "cnn.safetensors")
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[key], value) for key, value in state.items())

    save_file(state | {"scale": torch.tensor(4.0), "shift": torch.tensor(-2.0)}, "w.safetensors")
    folded, said = study(capsys, "Folded", "folded")
    assert "near chance" not in said
    assert found["cnn"]["accuracy"] == folded["cnn"]["accuracy"]
    one, other = (record["sites"]["conv2@activation"]["measures"] for record in (found, folded))
    assert one.keys() == other.keys()
    assert len(one) > 50
    for key, measure in one.items():
        for have, wanted in zip(numbers(measure), numbers(other[key]), strict=True):
            same = have is wanted is None or have == pytest.approx(wanted, rel=1e-6, abs=1e-9)
            assert same, (key, measure, other[key])
    images, want = (
        load_tensors(here / run / "conv2@activation" / "traversal.safetensors")["points_images"]
        for run in ("told", "folded")
    )
    torch.testing.assert_close(images, want, rtol=0, atol=1e-6)
    assert images.min() >= 0
    assert images.max() <= 1

    run = fg.open_run("told")
    assert run.network.domain == fg.Domain(0.5, 0.25)
    assert run.network.classes == tuple("0123456789")
    x = run.dataset.test.pixels(slice(5))
    torch.testing.assert_close(run.gan("conv2@activation").site.output(x), run.network(x))


@pytest.mark.parametrize(
    ("name", "domain", "told", "renamed"),
    [
        ("Reordered", fg.Domain(), (), (85.0, 100.0)),
        ("Net", fg.Domain.of_range(0.0, 255.0), (), (0.0, 50.0)),
        ("Net", fg.Domain(), ("--mean", "0.5", "--std", "1000"), (0.0, 50.0)),
    ],
    ids=["order of classes", "not normalised", "wrongly normalised"],
)
@pytest.mark.usefixtures("here")
def test_a_network_near_chance(
    name: str,
    domain: fg.Domain,
    told: tuple[str, ...],
    renamed: tuple[float, float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained(domain)
    record, said = study(capsys, name, "run", "--until", "train-cnn", *told)
    warning = record["cnn"]["warning"]
    assert said.count("near chance") == 1
    assert f"filtergan: {warning}\n" in said
    assert "near chance on these labels" in warning
    for word in ("--mean, --std", "another order", "weights", "images"):
        assert word in warning
    least, most = renamed
    assert least <= float(warning.split("right on ")[2].split()[0]) <= most
    assert cli.main(["report", "run"]) == 0
    page = Path("run", "report.html").read_text()
    assert page.count("near chance on these labels") == 1
    assert page.index("near chance on these labels") < page.index("What was done")


def test_the_accuracy_of_the_best_order() -> None:
    labels = torch.arange(60) % 4
    names = torch.tensor([2, 0, 3, 1])
    assert reordered_accuracy(labels, names[labels]) == 1
    wrong = names[labels]
    wrong[:15] = 5  # names that no label has
    assert reordered_accuracy(labels, wrong) == 45 / 60
    assert reordered_accuracy(labels, torch.zeros_like(labels)) == 15 / 60

    def best(one: Tensor) -> float:
        """By trying all."""
        orders = [torch.tensor(order) for order in permutations(range(3))]
        return max(float((order[one] == labels % 3).float().mean()) for order in orders)

    guesses = torch.randint(3, (60,), generator=torch.Generator().manual_seed(0))
    assert reordered_accuracy(labels % 3, guesses) == pytest.approx(best(guesses))
