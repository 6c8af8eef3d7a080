"""What a study tells who waits for it: bars that end at their total, stages, where it goes on."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accidents import CONFIG
from commands import quickly
from configs import micro
from PIL import Image

from filtergan import study
from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import parse
from filtergan.config.presets import tiny
from filtergan.errors import UserError
from filtergan.machine import distributed, telling
from filtergan.study.expected import expected as parts_of
from filtergan.study.expected import planned
from filtergan.study.materials import Materials
from filtergan.study.stages import stages_of

CHANGES: dict[str, Any] = {
    "threads": 1,
    "dataset": {"planted": "rotation", "train_limit": None, "test_limit": None},
    "cnn": {"epochs": 2, "batch": 32},
    "judges": {"networks": 2, "epochs": 2, "batch": 50},
    "gan": {"latent": 3, "steps": 11, "batch": 7, "checkpoint_every": 4, "hidden": 8},
    "traversal": {
        "images": 100,  # more than there are
        "grid": 3,
        "measured_images": 9,
        "measured_points": 3,
        "group": 3,
        "path_images": 4,
        "path_radii": (1, 2, 3),
        "axis_images": 5,
        "repeat_images": 4,
        "evaluations": 3,
    },
    "measure": {"draws": 3, "pooled": 2, "pooled_sizes": (1, 2), "retrain_epochs": 2},
}
"""What differs from `tiny`: no minibatch divides its images, no number is that of another."""


@dataclass
class Bar:
    """Stands for a bar of `telling.progress`."""

    total: int
    description: str
    done: int = 0


class Bars:
    """All bars of a study, in their order."""

    def __init__(self) -> None:
        self.shown: list[Bar] = []
        self.stop_at: tuple[str, int] | None = None

    @contextmanager
    def progress(self, total: int, description: str, unit: str) -> Iterator[Callable[..., None]]:
        bar = Bar(total, description)
        self.shown.append(bar)

        def advance(n: int = 1) -> None:
            bar.done += n
            if (description, bar.done) == self.stop_at:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    fake = Bars()
    monkeypatch.setattr(telling, "progress", fake.progress)
    return fake


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quickly():
        yield


def config_of(data: str) -> StudyConfig:
    values: dict[str, Any] = tiny().model_dump() | {"data": data}
    for name, change in CHANGES.items():
        values[name] = values[name] | change if isinstance(change, dict) else change
    return parse(values, "the test")


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    """A study of 150 small images in a folder, 37 of them held out."""
    rng = np.random.default_rng(0)
    for number in range(150):
        folder = tmp_path / "images" / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return config_of(str(tmp_path / "images"))


def test_every_bar_ends_at_its_total(config: StudyConfig, bars: Bars, tmp_path: Path) -> None:
    bars.stop_at = ("generator of conv2@activation", 6)
    with pytest.raises(KeyboardInterrupt):
        study.run(config, tmp_path / "run")
    stopped = bars.shown.pop()
    assert (stopped.description, stopped.done, stopped.total) == (
        "generator of conv2@activation",
        6,
        11,
    )
    bars.stop_at = None
    study.run(config, tmp_path / "run", resume=True)
    for bar in bars.shown:
        assert bar.done == bar.total > 0, bar.description
    of_sites = ("generator of", "traversals of", "single draws of")
    of_sites += ("re-training after", "images of", "ceilings of")
    expected = {f"{what} {layer}@activation" for what in of_sites for layer in ("conv4", "conv2")}
    expected |= {"reading images", "network", "judges", "inputs of conv4", "inputs of conv2"}
    found = {bar.description for bar in bars.shown}
    assert found - expected == {found_one for found_one in found if found_one.startswith("random ")}
    assert expected < found
    materials = Materials(config)
    materials.check()
    foreseen = {(part.stage, part.told): part.seconds for part in parts_of(materials)}
    assert {told for _, told in foreseen} - {""} < found
    assert all(seconds > 0 for seconds in foreseen.values())
    assert list(dict.fromkeys(stage for stage, _ in foreseen)) == [
        stage
        for stage in stages_of(config)
        if stage != "train-judges"  # they are kept by now
    ]


def test_a_dry_run_tells_what_is_left_of_a_study(begun: Path) -> None:
    parts = planned(CONFIG, resumed=begun)
    assert not isinstance(parts, str)
    assert {part.stage for part in parts} == {"traverse", "measure", "report"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": ("nosuch",)}, "no layer 'nosuch'"),
        ({"recipe": ("natural",), "dataset": {"train_limit": 24}}, "There are 24 training images"),
        ({"data": "./nowhere"}, "There is no folder"),
    ],
)
def test_a_dry_run_refuses_what_the_study_would(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        planned(micro(**changes))


def test_a_share_of_the_work_counts_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 3)
    counted: list[int] = []
    tick = distributed.pace(counted.append)
    with distributed.apart():  # as `spread` computes its share
        tick(2)
        distributed.pace(counted.append)(5)  # divided no further
    assert counted == [6, 5]


def test_stages_and_from_where_they_go_on(
    config: StudyConfig, bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line as each stage begins and ends; a resumed study says stage, sites and step."""
    run = tmp_path / "run"

    def told() -> list[str]:
        out, err = capsys.readouterr()
        assert out == ""
        lines = [line.removeprefix("filtergan: ") for line in err.splitlines()]
        lines = [re.sub(r"took [\d.]+ (s|min .*)$", "took a time", line) for line in lines]
        return [re.sub(r"; about .* left$", "", line) for line in lines]  # in `test_outlook`

    study.run(config, run, until="train-cnn")
    assert told() == ["stage 1 of 1, train-cnn begins", "train-cnn took a time"]

    bars.stop_at = ("generator of conv2@activation", 6)
    with pytest.raises(KeyboardInterrupt):
        study.run(config, run, until="train-gan", resume=True)
    assert told() == [
        "the study goes on with stage ceilings",
        "stage 2 of 3, ceilings begins",
        "ceilings took a time",
        "stage 3 of 3, train-gan begins",
    ]

    bars.stop_at = None
    study.run(config, run, until="train-gan", resume=True)
    assert told() == [
        "the study goes on with stage train-gan (done there: conv4@activation)",
        "stage 3 of 3, train-gan begins",
        "the generator of conv2 read at activation goes on from step 4 of 11",
        "train-gan took a time",
    ]

    study.run(config, run, until="train-gan", resume=True)
    assert told() == [f"everything was done already; the run directory: {run}"]
    study.run_stage("report", run)
    assert told() == ["report begins", "report took a time"]
    study.run(config, run, until="train-gan", resume=True)
    assert told() == [f"everything was done already; the report: {run / 'report.html'}"]
