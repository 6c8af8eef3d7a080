"""What the page says of an invariance that was planted in the network."""

from collections.abc import Mapping
from typing import Any

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import to_plant
from filtergan.families.family import Family
from filtergan.measures.gates import failures
from filtergan.report.text import cell
from filtergan.runs.record import NOT_MEASURED, MeasureRecord, SiteRecord


def planted(config: StudyConfig, sites: Mapping[str, SiteRecord]) -> dict[str, Any] | None:
    """Whether the invariance that was planted in the network is found; None: none was."""
    kind = config.dataset.planted
    if kind is None:
        return None
    family = to_plant(kind)
    assert family.strength is not None
    says = (
        f"A known invariance was planted: {family.strength.planted}, and network and game saw the "
        "same images. Such a network should ignore this change, and the traversals should show it."
    )
    known = family.within or family
    return {
        "says": says,
        "sites": [_found_again(name, site, known) for name, site in sites.items()],
    }


def _found_again(key: str, site: SiteRecord, family: Family) -> dict[str, Any]:
    """One site's share of the planted family, against the null and the reference, in words."""
    prose, others = SiteName.parse(key).prose, site.references
    explained = family.explained
    name = f"explained_{explained.name}" if explained else ""
    reference = family.reference.name if family.reference else ""
    ours, null, known = (
        found.get(name, NOT_MEASURED)
        for found in (site.measures, others.get("null", {}), others.get(reference, {}))
    )
    if explained is None or ours.value is None:
        return {"prose": prose, "tone": "open", "word": "not measured", "says": ""}
    (low, high), (null_low, null_high) = ours.ci95, null.ci95
    word, tone = "open", "open"
    if low is not None and null_high is not None and low > null_high:
        word, tone = "found", "good"
    elif high is not None and null_low is not None and high < null_low:
        word, tone = "not found", "no"
    if failed := failures(site.measures):
        word, tone = f"not to be believed ({'; '.join(failed)})", "no"
    says = (
        f"The share of the traversals' change that {explained.words} can explain is "
        f"{_told(ours)}. Of the change under random changes of the filters it is {_told(null)}, "
        f"of a true change of this kind {_told(known)}."
    )
    return {"prose": prose, "tone": tone, "word": word, "says": says}


def _told(measure: MeasureRecord) -> str:
    value, interval = cell(measure)
    return f"{value} ({interval})" if interval else value
