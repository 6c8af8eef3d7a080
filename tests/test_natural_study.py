"""The natural recipe in a study: its stage, what is walked and searched there, and its measures."""

import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import record_of
from configs import micro
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import filtergan as fg
from filtergan import study
from filtergan.config.parsing import parse
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.machine.files import sha256
from filtergan.machine.runtime import generator
from filtergan.measures import transformers
from filtergan.measures.transformers import (
    agreement,
    alike_directions,
    error_over_way,
    independent_directions,
    nearest_compensation,
    share_within,
)
from filtergan.natural import joint
from filtergan.natural.natural_gan import NULL, NaturalGAN
from filtergan.report import page, scrubber
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import read_events
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_transformers import _walked
from filtergan.study.stages import natural, stages_of

SITE = "conv2@activation/natural"
TOLD = ("compensation", "image_change", "labels_kept", "search_compensation", "repeatability")
WEIGHTS = ("generator", "discriminator", "transformer", "reader")


# ------------------------------------------------------------------------------------ the measures


def test_agreement_is_a_cosine_of_each_point() -> None:
    one, other = torch.randn(2, 3, 2, 1, 4, 5, generator=generator(0, "a"))
    other[0, 0] = -2 * one[0, 0]
    one[1, 1] = 0
    found = agreement(one, other)
    for i, j in itertools.product(range(3), range(2)):
        a, b = one[i, j].flatten(), other[i, j].flatten()
        wanted = (a @ b) / (a.norm() * b.norm())
        assert torch.allclose(found[i, j], wanted, atol=1e-6, equal_nan=True)
    assert found[0, 0] == pytest.approx(-1)
    assert found[1, 1].isnan()


def test_errors_are_told_in_lengths_of_the_way() -> None:
    way = torch.tensor([3.0, 4.0, 0.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    wanted = torch.zeros(3, 1, 2, 2)
    assert error_over_way(0.5 * way, wanted, way).tolist()[:2] == [0.5, 0.5]
    assert error_over_way(way + 1, wanted, way)[2].isnan()


@given(st.integers(1, 6), st.floats(0.1, 9))
def test_directions_at_right_angles_are_counted(axes: int, size: float) -> None:
    square = torch.linalg.qr(torch.randn(9, axes, generator=generator(axes, "q")))[0].T
    one = torch.randn(9, generator=generator(1, "one"))
    alike = one * torch.linspace(-1, 2, axes)[:, None]
    found = independent_directions(torch.stack([size * square, alike]))
    assert found.tolist() == pytest.approx([axes, 1.0], rel=1e-4)
    assert independent_directions(torch.zeros(1, axes, 9)).isnan().all()


def test_two_directions_of_which_one_is_longer() -> None:
    change = torch.diag(torch.tensor([2.0, 1.0]))[None]
    assert float(independent_directions(change)) == pytest.approx((4 + 1) ** 2 / (16 + 1))


@given(st.integers(2, 5))
def test_the_most_alike_directions_are_those_of_a_loop(axes: int) -> None:
    change = torch.randn(3, axes, 7, generator=generator(axes, "alike"))
    change[1, 1] = -2 * change[1, 0]  # the same change backwards
    found = alike_directions(change)
    for one, most in zip(change, found, strict=True):
        cosines = [
            abs(float(torch.cosine_similarity(one[i], one[j], dim=0)))
            for i in range(axes)
            for j in range(i)
        ]
        assert float(most) == pytest.approx(max(cosines), abs=1e-5)
    assert float(found[1]) == pytest.approx(1, abs=1e-5)
    assert alike_directions(torch.zeros(1, axes, 7)).isnan().all()
    assert alike_directions(change[:, :1]).isnan().all()  # no two


def test_share_within_is_what_least_squares_leaves() -> None:
    rng = torch.Generator().manual_seed(0)
    changes = torch.randn(3, 2, 12, generator=rng)
    others = torch.randn(3, 4, 12, generator=rng)
    others[1, 3] = others[1, 0] - 2 * others[1, 1]  # spans no more than three
    others[2] = 0
    for image in range(3):
        a, b = changes[image].double().numpy(), others[image].double().numpy()
        near = np.linalg.lstsq(b.T, a.T, rcond=1e-6)[0].T @ b
        want = 1 - ((a - near) ** 2).sum() / (a**2).sum()
        assert float(share_within(changes, others)[image]) == pytest.approx(want, abs=1e-6)
    assert share_within(changes, changes).tolist() == pytest.approx([1, 1, 1])
    assert share_within(0 * changes, others).isnan().all()


def test_the_nearest_candidate_is_that_of_a_loop() -> None:
    rng = generator(0, "nearest")
    candidates, wanted = (torch.randn(n, 4, generator=rng) for n in (7, 3))
    before = torch.tensor([2.0, 5.0, 0.0])
    near, middle = nearest_compensation(candidates, wanted, before)
    for i in range(2):
        squares = sorted(float((c - wanted[i]).square().sum()) for c in candidates)
        assert near[i] == pytest.approx(1 - squares[0] / float(before[i]), abs=1e-5)
        assert middle[i] == pytest.approx(1 - squares[3] / float(before[i]), abs=1e-5)
    assert near[2].isnan()


class Adding(NaturalGAN):
    """A transformer that adds to all pixels what z moved by, bent by how far it went."""

    def __init__(self, bend: float) -> None:
        self.bend = bend  # and nothing else of a generator

    def transform(self, x: Tensor, z: Tensor, z_k: Tensor) -> Tensor:
        step = (z_k - z).sum(1)
        return x + (step + self.bend * step.square())[:, None, None, None]


@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_ways_back_and_ways_in_two_steps(bend: float) -> None:
    rng = generator(0, "walked")
    x, z = torch.rand(5, 1, 3, 3, generator=rng), torch.randn(5, 2, generator=rng)
    tensors = {"points_z": z, "points_targets": z[:, None] + torch.ones(5, 3, 2)}  # a step of 2
    ours, theirs = _walked(Adding(bend), tensors, x, torch.device("cpu"))
    there, back, half = 2 + 4 * bend, -2 + 4 * bend, 1 + bend
    for found, wanted in (
        (ours["return_error"], abs(there + back) / there),
        (theirs["return_error"], 1.0),
        (ours["composition_error"], abs(2 * half - there) / there),
        (theirs["composition_error"], abs(half - there) / there),
    ):
        assert found.shape == (5, 2)
        assert torch.allclose(found, torch.full_like(found, wanted), atol=1e-5)


# --------------------------------------------------------------------------------------- the study


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, unpainted: None) -> Path:
    """A study of one layer by both recipes."""
    path = tmp_path_factory.mktemp("both") / "run"
    study.run(micro(recipe=("paper", "natural")), path)
    return path


def test_every_measure_of_transformers_has_its_null(both: Path) -> None:
    sites = RunDirectory.open(both).record.sites
    names = {measure.name for measure in transformers.MEASURES}
    assert not names & sites["conv2@activation"].measures.keys()
    measured = sites[SITE].measures
    assert names <= measured.keys()
    assert all(measured[name].null is not None for name in names)
    assert measured["return_error"].null == 1
    assert measured["compensation"].null is not None
    assert measured["repeatability"].null is not None


def test_images_are_the_transformers_and_the_nulls(both: Path) -> None:
    run = fg.open_run(both)
    gan, found = run.gan(SITE), run.traversals(SITE)
    assert isinstance(gan, NaturalGAN)
    null = NaturalGAN.load(both / "conv2@activation_natural" / NULL, run.network)
    x = run.dataset.test.pixels(found["points_index"])
    z, targets = found["points_z"], found["points_targets"]
    for name, one in (("points", gan), ("null", null)):
        for place, z_k in enumerate(targets.unbind(1)):
            wanted = one.transform(x, z, z_k)
            assert torch.allclose(found[f"{name}_images"][:, place], wanted, atol=1e-5)
    centre = found["grid_images"][:, 4]
    assert torch.equal(centre, run.dataset.test.pixels(found["grid_index"]))
    starts = [found[name] for name in ("search_images", "search_again_1", "search_again_2")]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(starts, 2))
    assert float(found["search_compensation"].mean()) > float(found["points_compensation"].mean())


def test_an_opened_run_serves_as_ones_own(both: Path) -> None:
    run = fg.open_run(both)
    gan, images = run.gan(SITE), run.dataset.test.images
    assert isinstance(gan, NaturalGAN)
    assert dict(run.measures(SITE)) == run.record.sites[SITE].measures
    walked = fg.traverse(gan, images, run.config.traversal)
    assert len(walked.null) == len(walked.x) == run.config.traversal.images
    found = fg.measure(gan, images, run.config.traversal, resamples=50)
    assert found["compensation"].n == run.config.traversal.measured_images
    assert all(one.null is not None for name, one in found.items() if name in TOLD)


def test_the_record_and_the_page_tell_of_both(both: Path) -> None:
    record, page = record_of(both), (both / "report.html").read_text()
    assert list(record["sites"]) == ["conv2@activation", SITE]
    for site in record["sites"].values():
        assert all((both / path).exists() for path in (*site["files"].values(),))
        assert all((both / path).exists() for path in (*site["figures"].values(),))
    assert set(WEIGHTS) | {"null"} <= record["sites"][SITE]["files"].keys()
    assert "conv2 read at activation (natural)" in page
    assert "a generator and a transformer of images were trained together" in page
    assert "undone" in record["sites"][SITE]["latents"][0]["sentence"]


def test_readers_move_images_on_the_page(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    travels = json.loads((both / scrubber.FILE).read_text())
    assert [site["name"] for site in travels["sites"]] == [SITE]
    assert (travels["why"], travels["sites"][0]["why"]) == (None, None)
    latents = RunDirectory.open(both).record.sites[SITE].latents
    assert latents is not None
    part = next(scrubber.parts(RunDirectory.open(both)))
    assert part is not None
    says = json.loads(part["data"])["sites"][0]["latents"]
    assert len(says) == 6
    assert all(said for said in says)
    assert all(said.rpartition("): ")[2] in latents[j].sentence for j, said in enumerate(says))
    # Gates are told once, above; what remains is a latent's own.
    assert all("no more than" in said for said in says if "believed" in said)
    assert part["data"] in (both / "report.html").read_text()
    # Made once; made again where it is missing, unless the images are others or gone.
    run = tmp_path / "run"
    shutil.copytree(both, run)
    study.run_stage("report", run)
    (run / scrubber.FILE).unlink()
    study.run_stage("report", run)
    assert json.loads((run / scrubber.FILE).read_text()) == travels
    (run / scrubber.FILE).unlink()
    other = dataclasses.replace(fg.load_dataset("digits"), fingerprint="e" * 64)
    monkeypatch.setattr(Materials, "dataset", other)
    study.run_stage("report", run)
    assert "without images to move: The images of 'digits' are not those" in capsys.readouterr().err
    assert "scrubber" not in (run / "report.html").read_text()


def test_the_papers_site_is_what_it_is_alone(both: Path, tmp_path: Path) -> None:
    alone = study.run(micro(), tmp_path / "run", until="traverse")
    for name in ("generator", "discriminator", "traversal"):
        path = Path("conv2@activation") / f"{name}.safetensors"
        assert sha256(alone.path / path) == sha256(both / path)
    assert "natural" not in alone.record.stages


def test_a_study_has_the_stages_of_its_recipes() -> None:
    assert "natural" not in stages_of(micro())
    assert "train-gan" not in stages_of(micro(recipe=("natural",)))
    both = stages_of(micro(recipe=("paper", "natural")))
    assert both == list(study.STAGES)


@pytest.mark.parametrize("stop", [1, 6, 14])
def test_resumed_is_uninterrupted(both: Path, tmp_path: Path, stop: int, monkeypatch: Any) -> None:
    """Stopped before its first checkpoint, later, and in the training of the null."""
    config, path = micro(recipe=("natural",)), tmp_path / "run"
    study.run(config, path, until="train-cnn")
    steps = itertools.count()
    played = joint.JointGame.play

    def play(self: joint.JointGame, inputs: Any) -> dict[str, Tensor]:
        if next(steps) == stop:
            raise KeyboardInterrupt
        return played(self, inputs)

    monkeypatch.setattr(joint.JointGame, "play", play)
    with pytest.raises(KeyboardInterrupt):
        study.run(config, path, until="natural", resume=True)
    monkeypatch.setattr(joint.JointGame, "play", played)
    study.run(config, path, until="natural", resume=True)
    for folder in ("conv2@activation_natural", f"conv2@activation_natural/{NULL}"):
        for name in WEIGHTS:
            ours, oracle = (run / folder / f"{name}.safetensors" for run in (path, both))
            assert sha256(ours) == sha256(oracle)
    logged = {
        stage: [e["step"] for e in read_events(path / "events.jsonl") if e["stage"] == stage]
        for stage in (f"natural/{SITE}", f"natural-null/{SITE}")
    }
    assert list(logged.values()) == [list(range(2, 13, 2)), [2, 4, 6]]


def test_it_may_begin_with_the_papers_generator(both: Path) -> None:
    run = RunDirectory.open(both)
    run.config = micro(recipe=("paper", "natural"), natural={"start": "paper"})
    materials = Materials(run.config)
    materials.load_trained(run)
    first = materials.dataset.train.pixels(slice(8))
    begun = natural._begun(run, materials, SiteName.parse(SITE), first, 0)
    paper = materials.gan("conv2@activation", run)
    z = paper.latents(4)
    assert torch.equal(begun.draw(z), paper.draw(z))


def test_it_may_begin_with_the_spectrum(both: Path) -> None:
    run = RunDirectory.open(both)
    first = Materials(run.config).dataset.train.pixels(slice(8))
    drawn = []
    for start in ("real", "spectrum"):
        run.config = micro(recipe=("natural",), natural={"start": start})
        materials = Materials(run.config)
        materials.load_trained(run)
        begun = natural._begun(run, materials, SiteName.parse(SITE), first, 0)
        drawn.append(begun.draw(torch.tensor([[0.0] * begun.latent, [1.0] * begun.latent])))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.allclose(drawn[0][1], drawn[1][1])


@pytest.mark.parametrize("draws", [0.0, 2.0])
@pytest.mark.parametrize("asked", [(), ("labels",), ("logits",), ("labels", "logits")])
def test_the_page_says_what_of_the_network_was_to_stay(
    asked: tuple[str, ...], draws: float
) -> None:
    natural = dict.fromkeys(asked, 2.0) | {"draws": draws}
    said = page._natural(micro(recipe=("natural",), natural=natural))["natural"]
    assert ("its labels stay is no evidence" in said) == bool(asked)
    assert (f"the network's own {' and '.join(asked)} as they are" in said) == bool(asked)
    assert ("works with single draws of it was asked for" in said) == bool(draws)


def test_without_the_papers_site_it_cannot() -> None:
    for change in ({"recipe": ["natural"]}, {"layer": ["conv2", "conv1/natural"]}):
        values = micro().model_dump() | change | {"natural": {"start": "paper"}}
        with pytest.raises(UserError, match="so the study needs conv"):
            parse(values, "a test")
