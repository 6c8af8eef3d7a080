"""A run opened again: in another process, from another folder, after it has moved."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import filtergan as fg
from filtergan import study
from filtergan.config.fields import StudyConfig
from filtergan.figures import style
from filtergan.study.opened import OpenedRun

NETWORK = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3))
"""
OPENED = """
import json, sys
import filtergan as fg

run = fg.open_run(sys.argv[1])
gan = run.gan("3@activation")
print(json.dumps({
    "classes": run.dataset.classes,
    "network": run.network(run.dataset.test.pixels(slice(3))).tolist(),
    "frozen": not any(p.requires_grad for p in run.network.parameters()),
    "training": run.network.training,
    "filters": gan.draw(2, seed=5).tolist(),
    "site": run.site("3@activation") is gan.site,
    "status": run.record.status,
    "points": run.traversals("3@activation")["points_images"].tolist(),
}))
"""


def small(**changes: object) -> StudyConfig:
    values = fg.tiny().model_dump()
    values["gan"] |= {"steps": 8, "batch": 8, "latent": 3, "hidden": 8}
    values["traversal"] |= {"images": 1, "grid": 3, "measured_images": 4, "measured_points": 2}
    values["traversal"] |= {"evaluations": 2, "axis_images": 2, "path_images": 2}
    values["traversal"] |= {"repeat_images": 2, "repeat_points": 2}
    return StudyConfig.model_validate(values | {"threads": 1} | changes)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a network and a run on them, all of whose names are relative."""
    folder = tmp_path_factory.mktemp("made") / "project"
    rng = np.random.default_rng(0)
    for split, n in (("train", 20), ("test", 6)):
        for label in "abc":
            place = folder / "images" / split / label
            place.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(256, size=(8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    work = folder / "work"
    work.mkdir()
    (work / "net_of_mine.py").write_text(NETWORK)
    names: dict[str, object] = {}
    exec(NETWORK, names)
    network = names["make"]()  # type: ignore[operator]
    save_file(network.state_dict(), work / "w.safetensors")
    own = {"model": "net_of_mine:make", "weights": "w.safetensors", "layer": ("3", "0")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setattr(style, "png", lambda figure: b"")
        study.run(small(data="../images", **own), Path("../runs/one"), until="traverse")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_everything_is_found_again_by_another_process_elsewhere(
    project: Path, tmp_path: Path
) -> None:
    """The project has moved as a whole; what the run says of places is no path of a machine."""
    moved = tmp_path / "moved"
    shutil.copytree(project, moved)
    before = contents(moved / "runs")
    assert str(project).encode() not in b"".join(before.values())
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(moved / "runs" / "one")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    run = fg.open_run(project / "runs" / "one")
    images = run.dataset.test.pixels(slice(3))
    assert found["classes"] == ["a", "b", "c"]
    # Within rounding: a matrix product's last bits may depend on where its numbers lie in memory.
    torch.testing.assert_close(torch.tensor(found["network"]), run.network(images))
    drawn = run.gan("3@activation").draw(2, seed=5)
    torch.testing.assert_close(torch.tensor(found["filters"]), drawn)
    assert found["points"] == run.traversals("3@activation")["points_images"].tolist()
    assert (found["frozen"], found["training"], found["site"]) == (True, False, True)
    assert found["status"] == "running"
    assert contents(moved / "runs") == before


def test_one_path_may_be_relative_and_a_string(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "runs")
    run = fg.open_run("one")
    assert run.sites == ("3@activation", "0@activation")
    assert run.config.data == "../images"
    monkeypatch.chdir(project)
    with pytest.raises(fg.UserError, match="holds no study"):
        fg.open_run("one")


def test_what_is_needed_is_read_when_it_is_asked_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that moved alone: the network needs no images, the images no network."""
    shutil.copytree(project / "runs" / "one", tmp_path / "one")
    run = fg.open_run(tmp_path / "one")
    assert len(run.traversals("0@activation")) > 10
    with pytest.raises(fg.UserError, match=r"were not found again.* --data, in Python with open"):
        _ = run.dataset
    monkeypatch.delitem(sys.modules, "net_of_mine")
    with pytest.raises(fg.UserError, match="cannot be imported"):
        _ = fg.open_run(tmp_path / "one", device="cpu").network


def test_another_network_of_the_same_name_is_not_taken_for_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project, tmp_path / "other")
    monkeypatch.delitem(sys.modules, "net_of_mine", raising=False)
    assert fg.open_run(project / "runs" / "one").network is not None
    with pytest.raises(fg.UserError, match="Another module 'net_of_mine' is loaded already"):
        _ = fg.open_run(tmp_path / "other" / "runs" / "one").network


def test_places_and_objects_of_one_s_own(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "runs" / "one", tmp_path / "one")
    there = fg.open_run(project / "runs" / "one")
    names: dict[str, object] = {}
    exec(NETWORK, names)
    own: nn.Module = names["make"]()  # type: ignore[operator]
    before = {name: value.clone() for name, value in own.state_dict().items()}
    for data in (project / "images", str(project / "images"), there.dataset):
        run = fg.open_run(tmp_path / "one", data=data, network=own)
        assert run.dataset.fingerprint == there.dataset.fingerprint
    assert torch.equal(run.gan("0@activation").draw(2), there.gan("0@activation").draw(2))
    # The weights are the run's; the object that was given stays as it was.
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert all(p.requires_grad for p in own.parameters())
    other = fg.open_run(tmp_path / "one", data="digits", network=nn.Linear(3, 3))
    with pytest.raises(fg.UserError, match=r"other images than those of the run.* with --data, in"):
        _ = other.dataset
    with pytest.raises(fg.UserError, match="does not fit the weights"):
        _ = other.network


def test_the_paper_s_network_needs_no_images_to_be_loaded(tmp_path: Path) -> None:
    config = small(layer=("conv2",), data="digits")
    directory = study.run(config, tmp_path / "run", until="train-cnn")
    run = fg.open_run(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("filtergan.study.materials.load_dataset", None)
        weights = run.network.state_dict()
        assert run.site("conv2@activation").image_shape == (1, 8, 8)
    assert directory.record.begun_in is None  # nothing of it lies on this machine
    assert all(torch.equal(value, weights[name]) for name, value in weights.items())
    for ask, told in (
        (
            lambda: run.gan("conv2@activation"),
            "has not finished train-gan at 'conv2@activation' yet",
        ),
        (
            lambda: run.traversals("conv2@activation"),
            "has not finished traverse at 'conv2@activation' yet",
        ),
        (
            lambda: run.site("conv9@activation"),
            "has no site 'conv9@activation'; it has conv2@activation",
        ),
    ):
        with pytest.raises(fg.UserError, match=told):
            ask()
    assert not (tmp_path / "run" / "conv9@activation").exists()


def test_a_run_and_its_traversals_are_told_in_a_line(project: Path) -> None:
    run = fg.open_run(project / "runs" / "one")
    assert isinstance(run, OpenedRun)
    assert repr(run).endswith("one': ../images, 3@activation, 0@activation, running)")
    assert (
        repr(run.traversals("3@activation"))
        == f"Traversals('3@activation', {len(run.traversals('3@activation'))} tensors)"
    )
