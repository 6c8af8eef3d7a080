"""Studies of a network of one's own: straight, residual, of lines, of another library."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import MEASURED, command, record_of
from configs import micro
from safetensors.torch import save_file
from torch import nn

from filtergan import study
from filtergan.config.parsing import dump
from filtergan.images.dataset import load_dataset
from filtergan.machine.files import load_tensors, sha256
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials

pytestmark = pytest.mark.usefixtures("unpainted")

STRAIGHT = """
from torch import nn

def make():
    return nn.Sequential(OrderedDict(
        features=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Dropout()),
        head=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)),
    ))
""".replace("\nfrom", "\nfrom collections import OrderedDict\nfrom", 1)

RESIDUAL = """
from torch import nn

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 10)

    def forward(self, images):
        x = self.features(images)
        if x.mean() > 1e9:  # depends on the images, so that it cannot be traced
            return self.fc(x.mean((2, 3)))
        x = (x + self.bn(self.conv(x))).relu()
        return self.fc(x.mean((2, 3)))

def make():
    return Residual()
"""

LINES = """
from torch import nn

def make():
    return nn.Sequential(OrderedDict(
        conv=nn.Conv2d(1, 4, 3, stride=2), flatten=nn.Flatten(2),
        line=nn.Conv1d(4, 5, 3, padding=1), norm=nn.BatchNorm1d(5), relu=nn.ReLU(),
        head=nn.Sequential(nn.Flatten(), nn.Linear(45, 10)),
    ))
""".replace("\nfrom", "\nfrom collections import OrderedDict\nfrom", 1)

RESNET = """
from foreign import digits_resnet as make
"""


@pytest.mark.parametrize(
    ("source", "layers", "straight"),
    [
        (STRAIGHT, ("features.0",), True),
        (RESIDUAL, ("conv", "features.0"), False),
        (LINES, ("line",), True),
        (RESNET, ("resnet.encoder.stages.1.layers.0.shortcut.convolution",), False),
    ],
    ids=["straight", "residual", "lines", "resnet"],
)
def test_one_s_own_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    layers: tuple[str, ...],
    straight: bool,
) -> None:
    name = f"mynet_{layers[0].replace('.', '_')}"  # a module of its own for each network
    (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "micro.yaml").write_text(dump(micro()))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "here"}
    exec(source, names)
    network: nn.Module = names["make"]()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    chosen = [word for layer in layers for word in ("--layer", layer)]
    own = ("--model", f"{name}:make", "--weights", "w.safetensors")
    untrained = "The network is near chance"
    command("study", "--config", "micro.yaml", *own, *chosen, "--out", "run", warned=untrained)

    record = record_of(tmp_path / "run")
    assert record["status"] == "finished"
    assert record["cnn"]["source"] == f"{name}:make"
    assert record["cnn"]["weights"] == {
        "path": "w.safetensors",
        "sha256": sha256(Path("w.safetensors")),
    }
    assert list(record["sites"]) == [f"{layer}@activation" for layer in layers]
    kept = load_tensors(tmp_path / "run" / "cnn.safetensors")
    for key, value in network.state_dict().items():  # studied as it came, not trained
        assert torch.equal(kept[key], value)
    for layer in layers:
        site = Materials(RunDirectory.open(tmp_path / "run").config).site(f"{layer}@activation")
        assert site.straight == straight
        assert set(record["sites"][f"{layer}@activation"]["measures"]) >= MEASURED
    assert not (tmp_path / "run" / "figures" / "cnn_curves.png").exists()  # no training


def test_the_record_says_whether_images_were_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network lies on this machine, wherever the images come from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fetching.py").write_text(STRAIGHT)
    images = replace(load_dataset("digits", micro().dataset), name="owner/name")
    monkeypatch.setattr("filtergan.study.materials.load_dataset", lambda *_: images)
    config = micro(data="owner/name", model="fetching:make", layer=("features.0",))
    for fetched in (True, False):
        record = study.run(config, tmp_path / f"run{fetched}", until="train-cnn").record
        assert record.begun_in == ".."
        assert record.dataset is not None
        assert record.dataset.fetched == fetched
        (tmp_path / "owner" / "name").mkdir(parents=True, exist_ok=True)
