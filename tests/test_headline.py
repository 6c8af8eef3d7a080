"""The finding of a site in plain words, and what the page shows and tells with it."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from records import put
from test_report_evidence import evidence_record

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import SiteName
from filtergan.figures.style import MINUS
from filtergan.machine.files import save_tensors
from filtergan.measures.registry import result
from filtergan.report import pictures
from filtergan.report.alternatives import alternatives, of_network
from filtergan.report.glossary import WORDS, glossed
from filtergan.report.headline import headline, ignored, key_numbers
from filtergan.report.pictures import example
from filtergan.runs.reading import read_record
from filtergan.runs.record import SiteRecord

RESULTS = Path(__file__).parents[1] / "results"
CONV4 = SiteName.parse("conv4@activation")


@pytest.fixture
def site():
    return evidence_record(StudyConfig()).sites["conv4@activation"]


def kinds(site: SiteRecord) -> list[str]:
    """What may be called ignored."""
    return ignored(site)[0]


def test_an_invariance_is_told_by_what_it_is_its_number_and_its_null() -> None:
    record = read_record(RESULTS / "mnist_bn5" / "seed0")
    ((name, site),) = record.sites.items()
    found = headline(name, site)
    undone, null = site.measures["compensation"].value, site.measures["compensation_null"].value
    assert found.tone == "good"
    assert found.says == (
        "Behind bn5, this network ignores brightness, height, width, size and bending: filters of "
        f"conv4 changed in 8 ways are undone to {undone:.2f} by changes of the image, of all kinds "
        f"together; the same number for random changes of filters is {null:.2f}."
    )


def test_what_is_ignored_is_what_latents_shift_most(site):
    for entry in site.latents:
        assert entry.explained["spline"] < entry.explained["affine"] + 0.5
    shifts = dict.fromkeys(site.latents[0].shifts, (0.0, -0.1, 0.1))
    turned = shifts | {"slant": (-0.5, -0.6, -0.4), "area": (0.9, -0.1, 1.9)}  # the one is sure
    own = [entry.model_copy(update={"shifts": shifts}) for entry in site.latents]
    site.latents = [*own, own[0].model_copy(update={"shifts": turned})]
    assert kinds(site) == ["slant", "bending"]
    put(site.measures, "explained_spline", 0.45)  # brightness and width explain .42
    assert kinds(site) == ["slant"]
    site.latents = []
    assert kinds(site) == ["brightness"]
    site.measures = {}
    assert kinds(site) == ["changes of the image"]


def test_bending_is_more_than_brightness_and_affine_maps_together(site):
    site.latents, site.ceilings = [], {}
    names = ("photometric", "photometric_width", "affine", "photometric_affine", "spline")
    for name, share in zip(names, (0.3, 0.3, 0.4, 0.7, 0.79), strict=True):
        site.measures[f"explained_{name}"] = result(f"explained_{name}", share, None, 10)
    assert kinds(site) == ["brightness", "shift, turn and stretch"]
    put(site.measures, "explained_spline", 0.81)
    assert kinds(site) == ["brightness", "shift, turn and stretch", "bending"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_ceilings_contradict_is_not_called_ignored(seed: int) -> None:
    """At conv2 filters express a third of a warp; if they undid none, it would be contradicted."""
    sites = read_record(RESULTS / "mnist_natural" / f"seed{seed}").sites
    site = sites["conv2@activation/natural"]
    assert ignored(site)[1] == []
    warp = site.ceilings["warp 1.5 px"]
    none = warp.share.model_copy(update={"value": -0.1, "ci95": (-0.2, 0.0)})
    site.ceilings["warp 1.5 px"] = warp.model_copy(update={"at_best": none})
    assert ignored(site)[1] == ["bending"]
    told = headline("conv2@activation/natural", site).says
    assert "bending" not in told.partition(":")[0]
    assert told.endswith("by no filters of conv2 when alone (see the ceilings): bending.")
    assert kinds(sites["conv4@bn5/natural"])[-1] == "bending"


@pytest.mark.parametrize(
    ("value", "low", "null", "named"),
    [(0.3, 0.2, -1.0, True), (-0.1, -0.2, -1.0, False), (0.3, 0.2, 0.25, False)],
)
def test_a_ceiling_is_to_be_above_nothing_and_above_its_null(value, low, null, named) -> None:
    site = read_record(RESULTS / "mnist_natural" / "seed0").sites["conv4@bn5/natural"]
    one = site.ceilings["warp 1.5 px"]
    ends = (low, value + 0.1)
    told = one.compensation.model_copy(update={"value": value, "ci95": ends, "null": null})
    site.ceilings = {"warp": one.model_copy(update={"at_best": told})}
    assert ("bending" in kinds(site)) is named
    assert ("bending" in ignored(site)[1]) is not named


def test_images_without_strokes_are_told_by_families(site):
    site.latents, measures = [], site.measures
    for name in [n for n in measures if n.startswith("explained_")]:
        del measures[name]
    for family, share in {"colour": 0.5, "photometric": 0.3, "affine": 0.25, "spline": 0.7}.items():
        measures[f"explained_{family}"] = result(f"explained_{family}", share, None, 10)
    assert kinds(site) == ["colour", "shift, turn and stretch", "bending"]
    measures["explained_photometric"] = result("explained_photometric", 0.45, None, 10)
    assert kinds(site)[0] == "brightness"  # which a map of colours includes


@pytest.mark.parametrize(
    ("changed", "tone", "says"),
    [
        ({"compensation": 0.27}, "no", "no different from chance: changes of the image undo 0.27"),
        ({"repeatability": 0.3}, "no", "but not repeatable: repeatability (ICC) 0.30, to reach"),
        ({"labels_kept": 0.5}, "open", "but too few labels are kept: labels kept 0.50"),
        ({"repeatability": 0.3, "labels_kept": 0.5}, "no", "not repeatable: repeatability"),
        ({"on_manifold_share": None}, "open", "Not tested: naturalness."),
        ({}, "good", "At conv4, this network ignores"),
    ],
)
def test_what_fails_is_told(site, changed, tone, says):
    for name, value in changed.items():
        entry = site.measures[name]
        ends = (None, None) if value is None else (value - 0.01, value + 0.01)
        site.measures[name] = entry.model_copy(update={"value": value, "ci95": ends})
    found = headline(CONV4, site)
    assert found.tone == tone
    assert says in found.says


def test_a_null_that_passes_the_same_tests_is_no_finding(site):
    site.references["null"] |= site.measures
    assert headline(CONV4, site).tone == "open"
    assert "which therefore decide nothing here" in headline(CONV4, site).says


def test_every_committed_record_has_a_finding() -> None:
    records = set(RESULTS.glob("**/seed*/record.json")) - set(RESULTS.glob("variants/*/*"))
    assert len(records) > 10
    for path in sorted(records):
        for name, site in read_record(path.parent).sites.items():
            found = headline(name, site)
            assert re.fullmatch(r"[A-Z].*\.", found.says), path
            assert not re.search(r"None|nan|\{", found.says), path


def test_numbers_stand_beside_what_they_are_read_against(site):
    undone, kept, natural, right = key_numbers(site)
    assert undone == (
        "0.58",
        "of what other filters do is undone",
        "random changes of the filters: 0.27",
    )
    assert (kept[2], natural[2], right[2]) == (
        "to reach: 0.95",
        "to reach: 0.80",
        "its own filters: 0.99",
    )
    site.measures = {}
    assert key_numbers(site) == []


def walked(folder: Path) -> torch.Tensor:
    """Grids of 3 x 3 colour images in a run's folder; the images."""
    x = torch.linspace(0, 1, 3 * 4 * 4).reshape(3, 4, 4)
    images = torch.stack([(x + 0.1 * k - 0.4).clamp(0, 1) for k in range(9)])[None]
    tensors = {
        "grid_images": images,
        "grid_index": torch.tensor([17]),
        "grid_dims": torch.tensor([[2, 5]]),
        "grid_offsets": torch.tensor([-3.0, 0.0, 3.0]),
        "grid_image_change": torch.full((1, 9), 0.9),
        "grid_compensation": torch.full((1, 9), -1e8),
        "grid_labels_kept": torch.zeros(1, 9),
    }
    tensors["grid_image_change"][0, [4, 5]] = 0.3  # the image itself is never shown as changed
    tensors["grid_compensation"][0, [4, 5]] = 0.6
    save_tensors(folder / "traversal.safetensors", tensors)
    return images[0]


def test_the_example_is_the_typical_point_with_its_numbers(site, tmp_path):
    assert example(tmp_path, site) is None
    images = walked(tmp_path)
    assert example(tmp_path, site) is None  # the record does not name it
    site.files = {"traversal": "traversal.safetensors"}
    shown = example(tmp_path, site)
    assert shown is not None
    assert "Test image 17" in shown.caption
    assert "latent z5 by +3)" in shown.caption
    assert "changes by 0.30 of its norm, and this undoes 0.60 of" in shown.caption
    assert "gives it another label" in shown.caption
    change = (images[5] - images[4]).mean(0)
    brighter = f"{float((change > 0.1).float().mean()):.0%}".replace("%", " %")
    assert f"{brighter} of the pixels grow brighter by more than 0.1" in shown.panels[2][2]
    site.measures = {}
    assert example(tmp_path, site) is None


def test_a_difference_is_orange_where_brighter_and_blue_where_darker() -> None:
    x = np.full((1, 3, 1), 0.5)
    x_k = np.array([0.5, 1.0, 0.0]).reshape(1, 3, 1)
    url, told = pictures._difference(x, x_k)
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    same, brighter, darker = np.asarray(image)[0]
    assert same.tolist() == [255, 255, 255]
    assert brighter[0] > brighter[2]
    assert darker[2] > darker[0]
    assert f"at most by +0.50 and {MINUS}0.50" in told


def test_alternative_texts_tell_the_numbers(site):
    told = alternatives(CONV4, site)
    assert "0.58 of the change in response is undone" in told["traversal"]
    assert "brightness explains 0.21" in told["kinds"]
    assert "1.00 at 1, 0.98 at 6; by the judges 0.99 at 1, 0.93 at 6" in told["labels"]
    assert "z3: thicker strokes" in told["latents"]
    put(site.measures, "repeatability", 0.1)
    for place, entry in enumerate(site.latents):
        said = entry.sentence.replace(": ", ": not to be believed (not repeatable): ", 1)
        site.latents[place] = entry.model_copy(update={"sentence": said})
    doubted = alternatives(CONV4, site)["latents"]
    assert doubted == f"Not to be believed: not repeatable. {told['latents']}"
    own = "compensation 0.05, no more than the 0.07 of random filter changes"
    last = site.latents[-1]
    said = last.sentence.replace("(not repeatable)", f"(not repeatable; {own})")
    site.latents[-1] = last.model_copy(update={"sentence": said})
    assert f"{last.name}: not to be believed ({own}): " in alternatives(CONV4, site)["latents"]
    site.measures, site.references, site.latents = {}, {}, []
    assert not re.search("None|nan", " ".join(alternatives(CONV4, site).values()))
    assert "an unknown part" in of_network(None)


def test_words_are_explained_where_they_come_first() -> None:
    told = glossed("Undone < 1, by judges; undone again. Random changes of the filters: filtered.")
    assert re.findall(r'popovertarget="word-([\w-]+)"', told) == [
        "compensation",
        "judges",
        "random-changes-of-the-filters",
    ]
    assert re.sub(r"</?button.*?>", "", told) == (
        "Undone &lt; 1, by judges; undone again. Random changes of the filters: filtered."
    )
    assert all(means.endswith(".") for means in WORDS.values())
