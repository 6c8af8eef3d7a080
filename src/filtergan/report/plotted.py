"""The figures that a site's measures alone make: accuracies, kinds of change, labels, latents."""

from filtergan.families.catalogue import LOW_LEVEL, explained, references
from filtergan.figures import (
    Figure,
    distances_figure,
    intervals_figure,
    latents_figure,
    shares_figure,
)
from filtergan.measures.gates import LABELS_KEPT, failures, gates
from filtergan.runs.record import NOT_MEASURED, Found, MeasureRecord, SiteRecord

OWN, NULL = "traversals", "random changes of the filters"
ACCURACIES = {
    "real_accuracy": ("real network, as it is", True),
    "single_draw_accuracy": ("single draws, nothing re-trained (mean)", False),
    "pooled_retrained_accuracy": ("draws pooled, later layers re-trained", False),
    "real_retrained_accuracy": ("real filters, re-trained alike", True),
    "noise_matched_retrained_accuracy": ("real filters + matched noise, pooled", True),
    "random_filters_retrained_accuracy": ("random filters (null), pooled", True),
}
"""Rows of the figure of accuracies, and which of them are controls."""
MORPHOMETRICS = {"intensity": "brightness", "euler": "parts less holes", "ends": "stroke ends"}
"""Morphometrics whose names in the record are no plain words."""


def tested(site: SiteRecord) -> bool:
    """Whether the gates of a site's traversals are there, without which nothing is said of them."""
    return any(check.passed is not None for check in gates(site.measures))


def compared(site: SiteRecord) -> dict[str, Found]:
    """Measures of the traversals, of their null and of each reference, by what they are called."""
    others = {"null": NULL} | {name: family.words for name, family in references().items()}
    sets = {OWN: site.measures}
    sets |= {words: site.references.get(name, {}) for name, words in others.items()}
    return {words: found for words, found in sets.items() if found}


def accuracies(site: SiteRecord) -> Figure | None:
    """The re-trained accuracies and their controls; None: fewer than two measured."""
    shown = [
        (label, site.measures[name], control)
        for name, (label, control) in ACCURACIES.items()
        if site.measures.get(name, NOT_MEASURED).value is not None
    ]
    if len(shown) < 2:
        return None
    return intervals_figure(shown, "test accuracy, 95 % interval")


def kinds(site: SiteRecord) -> Figure | None:
    """Shares of the image change that families explain, beside null and references; or None."""
    sets = compared(site)
    families = {
        family.title: {
            words: found.get(f"explained_{name}", NOT_MEASURED) for words, found in sets.items()
        }
        for name, family in explained().items()
        if f"explained_{name}" in site.measures
    }
    if not families:
        return None
    return shares_figure(families, OWN, controls=(NULL,), failures=failures(site.measures))


def labels(site: SiteRecord) -> Figure | None:
    """Labels kept over the distance walked; None: not measured."""
    found = site.measures
    curves = {
        "the network": _curve(found, "labels_kept_at_"),
        "independent judges": _curve(found, "labels_kept_judges_at_"),
    }
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    return distances_figure(curves, "labels kept", LABELS_KEPT, failures(found))


def latents(site: SiteRecord) -> Figure | None:
    """What each direction of latent space does; None: not measured."""
    entries = site.latents
    if not entries or not tested(site):
        return None
    shifts = {
        MORPHOMETRICS.get(m, m): [entry.shifts.get(m, (None,) * 3) for entry in entries]
        for m in entries[0].shifts
    }
    low_level = [family for family in LOW_LEVEL if family in entries[0].explained]
    shown = {name: explained()[name].title for name in (*low_level[:1], "affine", "spline")}
    shares = {t: [entry.explained.get(name) for entry in entries] for name, t in shown.items()}
    names = [entry.name.replace(" - ", " \u2212 ") for entry in entries]
    return latents_figure(names, shifts, shares, failures(site.measures))


def _curve(found: Found, prefix: str) -> list[tuple[float, MeasureRecord]]:
    """Distance and measure; a distance of 2.5 is written 2p5 in the name."""
    named = {name.removeprefix(prefix): m for name, m in found.items() if name.startswith(prefix)}
    return [(float(r.replace("p", ".")), measure) for r, measure in named.items()]
