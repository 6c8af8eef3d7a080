"""A measure is one object in one file: registered, it is measured of every set, and on the page."""

from pathlib import Path

import pytest
import torch
from configs import telling
from torch import Tensor

from filtergan import study
from filtergan.machine.files import load_tensors
from filtergan.measures.definition import Measure
from filtergan.measures.registry import REGISTRY

MEANING = "The brightest pixel of the recovered image."


def brightest(x: Tensor, x_k: Tensor) -> Tensor:
    return x_k.flatten(2).amax(2)


DUMMY = Measure(
    "brightest", MEANING, 0.0, 1.0, "neither", "", "grey level", "own", brightest, "median"
)


@pytest.mark.slow
def test_a_measure_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(REGISTRY, DUMMY.name, DUMMY)
    threads = torch.get_num_threads()
    run = study.run(telling(layer=("conv1",)), tmp_path / "run")
    torch.set_num_threads(threads)
    site = run.record.sites["conv1@activation"]
    images = load_tensors(run.path / "conv1@activation" / "traversal.safetensors")["points_images"]
    found = site.measures["brightest"]
    assert found.value == pytest.approx(float(images.flatten(2).amax(2).median()))
    assert found.null == site.references["null"]["brightest"].value
    assert (site.references["brightness"]["brightest"].value or 0) < (found.value or 0)
    assert MEANING in (run.path / "report.html").read_text()
