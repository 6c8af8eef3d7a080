"""The report's evidence: verdicts, gates, latents, kinds of change and planted truth, in words."""

import re

import pytest

from filtergan.config import DatasetConfig, StudyConfig
from filtergan.measures.morphometry import MORPHOMETRY
from filtergan.measures.registry import lookup, result
from filtergan.record import RunDirectory
from filtergan.report import summary_table, write_report
from filtergan.report.tables import GROUPS, MAIN
from test_report import check, site_measures

SHARES = {  # photometric, width, both, affine, photometric + affine, all three, spline
    "points": (0.21, 0.34, 0.42, 0.18, 0.33, 0.51, 0.62),
    "null": (0.05, 0.03, 0.07, 0.06, 0.1, 0.12, 0.2),
    "brightness": (0.99, 0.25, 0.99, 0.02, 0.99, 0.99, 0.99),
    "thickness": (0.2, 0.88, 0.91, 0.11, 0.3, 0.93, 0.71),
    "affine": (0.01, 0.04, 0.05, 0.98, 0.98, 0.98, 0.98),
    "warp": (0.01, 0.06, 0.08, 0.33, 0.35, 0.38, 0.9),
    "noise": (0.01, 0.02, 0.03, 0.02, 0.03, 0.04, 0.09),
}
FAMILIES = ("photometric", "width", "photometric_width", "affine", "photometric_affine")
FAMILIES += ("photometric_affine_width", "spline")
OTHERS = {  # of the images that each set holds
    "image_change": 0.31,
    "labels_kept": 0.985,
    "labels_kept_judges": 0.972,
    "judges_divergence": 0.08,
    "manifold_percentile": 0.71,
    "on_manifold_share": 0.86,
    "change_support": 0.21,
    "change_frequency": 0.11,
    "topology_changed": 0.04,
    "independent_image_changes": 3.42,
    "locality_size": 5.0,
    "image_two_sample_accuracy": 0.61,
    **{f"locality_r2_k{k}": 0.5 + k / 40 for k in (1, 3, 5, 9, 15)},
}


def entry(name: str, value: float, half: float = 0.02, null: float | None = None) -> dict:
    return result(
        name, value, (value - half, min(value + half, 1 if value <= 1 else 99)), 256, null
    )


def image_measures(name: str) -> dict:
    shares = zip(FAMILIES, SHARES[name], strict=True)
    found = {f"explained_{family}": entry(f"explained_{family}", v) for family, v in shares}
    others = OTHERS | ({"on_manifold_share": 0.02} if name == "noise" else {})
    return found | {other: entry(other, value) for other, value in others.items()}


def evidence_measures() -> dict:
    """What a site's record holds once all was measured; all gates are passed."""
    found = image_measures("points") | {
        "inversion_gate_share": entry("inversion_gate_share", 0.984, null=0.01),
        "compensation": entry("compensation", 0.58, null=0.27),
        "compensation_null": entry("compensation_null", 0.27),
        "profile_correlation": entry("profile_correlation", 0.97, null=0.4),
        "repeatability": entry("repeatability", 0.91),
        "path_length": entry("path_length", 1.7),
        "roughness": entry("roughness", 1.4),
        "curvature": entry("curvature", 1.2),
    }
    for radius in ("1", "2", "2p5", "4", "6"):
        far = float(radius.replace("p", "."))
        for key, slope in (("labels_kept", 0.004), ("labels_kept_judges", 0.012)):
            found[f"{key}_at_{radius}"] = entry(f"{key}_at_{radius}", 1 - slope * far, 0.01)
    for t in ("brightness", "thickness", "affine", "warp", "noise"):
        found[f"invariance_gain_{t}"] = entry(f"invariance_gain_{t}", 0.4, null=1.0)
        found[f"normalized_variance_{t}"] = entry(f"normalized_variance_{t}", 0.3)
    for m in MORPHOMETRY:
        found[f"morphometry_r2_{m}"] = entry(f"morphometry_r2_{m}", 0.4, null=0.0)
        for z in range(8):
            found[f"slope_{m}_z{z}"] = entry(f"slope_{m}_z{z}", 0.1 * z - 0.3, null=0.0)
    return found


def latent(name: str, turn: int) -> dict:
    values = [((3 * i + 5 * turn) % 9 - 4) / 5 for i in range(len(MORPHOMETRY))]
    families = zip(FAMILIES, SHARES["points"], strict=True)
    return {
        "name": name,
        "sentence": f"{name}: thicker strokes (+0.8 sd), slant unchanged; 71 % photometric + width,"
        " 6 % affine; labels kept 0.99",
        "direction": [0.0] * 8,
        "images": 64,
        "shifts": {m: [v, v - 0.3, v + 0.3] for m, v in zip(MORPHOMETRY, values, strict=True)},
        "explained": {family: share / (1 + turn / 4) for family, share in families},
        "labels_kept": 0.99,
        "image_change": 0.3,
        "compensation": 0.5,
    }


def claim(layer: str, sentence: str, verdict: str, *met: bool | None) -> dict:
    conditions = [
        {"says": f"condition {i}", "met": m, "told": f"number {i} of {layer} is 0.{i}2"}
        for i, m in enumerate(met)
    ]
    told = {"layer": layer, "sentence": sentence, "verdict": verdict, "reason": "as below"}
    return told | {"conditions": conditions}


def evidence_record() -> dict:
    names = [*(f"z{i}" for i in range(8)), "+0.7 z1 - 0.5 z4 + 0.4 z6", "+0.8 z2 + 0.6 z0"]
    site = {
        "filters": [64, 64, 3, 3],
        "response": [64, 7, 7],
        "verdict": "converged",
        "reason": "single draws reach 0.981 where the real filters reach 0.994.",
        "figures": {},
        "files": {},
        "references": {name: image_measures(name) for name in SHARES if name != "points"},
        "latents": [latent(name, turn) for turn, name in enumerate(names)],
        "not_measured": {},
    }
    low = "conv2 ignores low-level features such as brightness or stroke width, more than conv4"
    return {
        "preset": "mnist",
        "seed": 3,
        "started": "2026-11-22T15:00:00+00:00",
        "git": None,
        "status": "finished",
        "cnn": {},
        "judges": {"accuracies": [result("real_accuracy", a, None, 10000) for a in (0.989, 0.993)]},
        "stages": {name: {"done": True} for name in ("train-judges", "measure")},
        "claims": {
            "low_level": claim("conv2", low, "not supported", True, True, False, None),
            "high_level": claim("conv4", "conv4 ignores high-level ones", "undecided", True, None),
        },
        "sites": {
            layer: site | {"measures": site_measures() | evidence_measures()}
            for layer in ("conv4", "conv2")
        },
    }


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path, StudyConfig(preset="mnist"), evidence_record())


def written(run: RunDirectory) -> str:
    page = write_report(run).read_text()
    check(page)
    return page


def section(page: str, layer: str) -> str:
    """A site's part of the page."""
    return re.split(r"<h2 ", page.split(f">{layer}</h2>")[1])[0]
