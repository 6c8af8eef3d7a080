"""What a study says of its traversals: references land where they must, nulls are no findings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import telling
from PIL import Image

from filtergan import study
from filtergan.machine.files import load_tensors
from filtergan.measures import gates
from filtergan.runs.directory import RunDirectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A study of the bundled digits, and its record."""
    path = tmp_path_factory.mktemp("evidence") / "run"
    before = torch.get_num_threads()
    study.run(telling(), path)
    torch.set_num_threads(before)
    return path, json.loads((path / "record.json").read_text())


def share(found: dict[str, Any], family: str) -> float:
    return found[f"explained_{family}"]["value"]


@pytest.mark.parametrize("layer", ["conv1@activation", "conv2@activation"])
def test_references_land_where_they_must(run: tuple[Path, dict[str, Any]], layer: str) -> None:
    found = run[1]["sites"][layer]["references"]
    assert share(found["brightness"], "photometric") >= 0.95
    assert share(found["affine"], "affine") >= 0.9  # 8x8 pixels: resampling shows
    assert share(found["thickness"], "photometric_width") >= 0.8
    assert share(found["warp"], "photometric_affine_width") < share(found["warp"], "spline") - 0.2
    assert max(share(found["noise"], f) for f in ("photometric", "width", "affine")) <= 0.2
    assert found["brightness"]["independent_image_changes"]["value"] == pytest.approx(1, abs=0.05)
    assert found["noise"]["independent_image_changes"]["value"] > 20
    assert found["brightness"]["locality_r2_k1"]["value"] > 0.9
    assert found["noise"]["locality_r2_k1"]["value"] < 0.2


@pytest.mark.parametrize("layer", ["conv1@activation", "conv2@activation"])
def test_references_change_the_image_as_much_as_the_walk(
    run: tuple[Path, dict[str, Any]], layer: str
) -> None:
    points = load_tensors(run[0] / layer / "evidence.safetensors")
    ours = points["points/image_change"]
    for name in ("brightness", "affine", "warp", "noise"):
        made = points[f"{name}/image_change"]
        ratio = made.square().mean().sqrt() / ours.square().mean().sqrt()
        assert float(ratio) == pytest.approx(1, rel=0.05)


def test_of_every_group_some_images_walk_up_the_axes_and_some_down(
    run: tuple[Path, dict[str, Any]],
) -> None:
    found = load_tensors(run[0] / "conv1@activation" / "traversal.safetensors")
    signs = found["axes_sign"]
    groups = found["points_groups"][: len(signs)]
    assert len(groups.unique()) > 1
    for group in groups.unique():
        assert set(signs[groups == group].tolist()) == {-1, 1}


@pytest.mark.parametrize("layer", ["conv1@activation", "conv2@activation"])
def test_random_changes_of_filters_are_no_finding(
    run: tuple[Path, dict[str, Any]], layer: str
) -> None:
    null = RunDirectory.open(run[0]).record.sites[layer].references["null"]
    assert not gates.is_invariance(null)
    assert gates.gates(null)[0].passed is False


def test_the_record_holds_gates_names_and_claims(run: tuple[Path, dict[str, Any]]) -> None:
    record = run[1]
    for site in record["sites"].values():
        assert [g["name"] for g in site["gates"][:3]] == [
            "inversion",
            "repeatability",
            "naturalness",
        ]
        names = [latent["name"] for latent in site["latents"]]
        assert names[:3] == ["z0", "z1", "z2"]
        assert len(names) == 4
        assert all(latent["sentence"].startswith(latent["name"]) for latent in site["latents"])
        failed = [g for g in site["gates"][:3] if g["passed"] is False]
        if failed:
            assert all("not to be believed" in latent["sentence"] for latent in site["latents"])
        assert site["not_measured"] == {}
    claims = record["claims"]
    assert (claims["low_level"]["site"], claims["high_level"]["site"]) == (
        "conv1@activation",
        "conv2@activation",
    )
    for claim in claims.values():
        assert claim["verdict"] in ("supported", "not supported", "undecided")
        assert claim["conditions"]


def test_images_in_colour_get_the_measures_that_apply(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(2):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 60, (10, 10, 3), dtype=np.uint8)
            pixels[2 + label * 4 : 5 + label * 4, 2:8, i % 3] = 250
            Image.fromarray(pixels).save(folder / f"{i}.png")
    config = telling(data=str(tmp_path / "images"), dataset={}, layer=("conv2",))
    record = study.run(config, tmp_path / "run").record
    site = record.sites["conv2@activation"]
    assert "colour" in " ".join(site.not_measured.values())
    assert set(site.references) == {"null", "brightness", "tint", "affine", "warp", "noise"}
    names = set(site.measures)
    assert {"explained_photometric", "explained_affine", "explained_spline"} <= names
    assert {"labels_kept_judges", "on_manifold_share", "repeatability"} <= names
    assert not any(
        "width" in n or n.startswith(("slope_", "morphometry", "topology")) for n in names
    )
    assert record.claims == {}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "in colour" in page
