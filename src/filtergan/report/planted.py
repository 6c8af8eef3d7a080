"""What the page says of an invariance that was planted in the network."""

from collections.abc import Mapping
from typing import Any

from filtergan.config.fields import StudyConfig
from filtergan.measures.gates import failures
from filtergan.report.text import cell, ends

Site = Mapping[str, Any]

PLANTED = {
    "brightness": (
        "each training image was dimmed by a factor of its own",
        "brightness and contrast",
        "explained_photometric",
        "brightness",
    ),
    "rotation": (
        "each training image was turned by an angle of its own",
        "an affine map (rotation, scale, shear, shift)",
        "explained_affine",
        "affine",
    ),
    "width": (
        "the strokes of each training image were made wider or narrower by a step of its own",
        "stroke width",
        "explained_width",
        "thickness",
    ),
}
"""What was planted: how, the family that explains it, its measure, and its reference."""


def planted(config: StudyConfig, sites: Mapping[str, Site]) -> dict[str, Any] | None:
    """Whether the invariance that was planted in the network is found; None: none was."""
    kind = config.dataset.augmentation
    if kind is None:
        return None
    how, family, name, reference = PLANTED[kind]
    says = (
        f"A known invariance was planted: {how}, and network and game saw the same images. Such a "
        "network should ignore this change, and the traversals should show it."
    )
    return {
        "says": says,
        "sites": [
            _found_again(layer, site, family, name, reference) for layer, site in sites.items()
        ],
    }


def _found_again(layer: str, site: Site, family: str, name: str, reference: str) -> dict[str, Any]:
    """One site's share of the planted family, against the null and the reference, in words."""
    measures, others = site.get("measures", {}), site.get("references", {})
    ours, null, known = (
        found.get(name, {})
        for found in (measures, others.get("null", {}), others.get(reference, {}))
    )
    if ours.get("value") is None:
        return {"layer": layer, "tone": "open", "word": "not measured", "says": ""}
    (low, high), (null_low, null_high) = ends(ours), ends(null)
    word, tone = "open", "open"
    if low is not None and null_high is not None and low > null_high:
        word, tone = "found", "good"
    elif high is not None and null_low is not None and high < null_low:
        word, tone = "not found", "no"
    if failed := failures(measures):
        word, tone = f"not to be believed ({'; '.join(failed)})", "no"
    says = (
        f"The share of the traversals' change that {family} can explain is {_told(ours)}. Of the "
        f"change under random changes of the filters it is {_told(null)}, of a true change of this "
        f"kind {_told(known)}."
    )
    return {"layer": layer, "tone": tone, "word": word, "says": says}


def _told(measure: Mapping[str, Any]) -> str:
    value, interval = cell(measure)
    return f"{value} ({interval})" if interval else value
