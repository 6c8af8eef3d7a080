"""A family that is one object more is planted, measured, set beside traversals, and told."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import another_family
import planted
import pytest

import filtergan
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.errors import UserError
from filtergan.images.dataset import load_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a study leaves behind that knows the family."""
    path = tmp_path_factory.mktemp("mirror")
    places = (Path(filtergan.__file__).parents[1], Path(planted.__file__).parent)
    known = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    subprocess.run([sys.executable, another_family.__file__, path], env=known, check=True)
    return path


@pytest.fixture(scope="module")
def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "record.json").read_text())


def test_without_its_object_nobody_knows_it() -> None:
    with pytest.raises(
        UserError, match="'mirror' can be planted; choose blur, brightness, colour, rot"
    ):
        load_dataset("digits", DatasetConfig(planted="mirror"))


def test_its_reference_is_measured_and_explained_by_it_alone(record: dict[str, Any]) -> None:
    site = record["sites"]["conv2@activation"]
    shares = {
        name: found["explained_mirrored"]["value"] for name, found in site["references"].items()
    }
    assert shares["reflection"] > 0.999
    assert max(share for name, share in shares.items() if name != "reflection") < 0.8
    measured = ("explained_mirrored", "invariance_gain_reflection")
    assert all(site["measures"][name]["value"] is not None for name in measured)
    assert "normalized_variance_reflection" in site["measures"]


def test_it_is_told_on_the_page(folder: Path) -> None:
    page = (folder / "run" / "report.html").read_text()
    assert re.search(r'<th scope="col"[^>]*>mirror image<button type="button" class="sort"', page)
    row = page.split("explained by a mirror image <small>")[1].split("</tr>")[0]
    assert len(re.findall(r"<strong>", row)) == 8  # traversals, null, six references
    assert "each training image was faded into its mirror image, and network and game" in page
    assert "change that a mirror image can explain is" in page
    assert "Share of the squared image change that a mixture with the mirror image can" in page


def test_colour_and_the_tables_of_studies_have_it(folder: Path) -> None:
    told = json.loads((folder / "told.json").read_text())
    assert {"mirrored", "reflection"} <= set(told["of colour"])
    assert min(told["explained"]) > 0.999
    assert told["asked"] == ["explained_mirrored", "normalized_variance_reflection"]
    assert told["column"] == "M"
