"""What the page says of the evidence: gates, claims, kinds of change, latents."""

from collections.abc import Mapping
from typing import Any

from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import LOW_LEVEL, explained, references
from filtergan.figures import distances_figure, latents_figure, png, shares_figure
from filtergan.measures.gates import LABELS_KEPT, failures, findings, gates, is_invariance
from filtergan.measures.verdicts import told_of
from filtergan.report.text import cell, data_url, sentence
from filtergan.runs.record import (
    NOT_MEASURED,
    TOO_SHORT,
    CheckRecord,
    ClaimRecord,
    Found,
    LatentRecord,
    MeasureRecord,
    Record,
    SiteRecord,
)

OWN, NULL = "traversals", "random changes of the filters"
COMPARED = {
    "image_change": "image change, in norms of the image",
    "labels_kept_judges": "labels kept by the judges",
    "on_manifold_share": "images as near to the training images as test images are",
    "image_two_sample_accuracy": "told apart from test images by a fresh classifier (chance 0.5)",
    "independent_image_changes": "independent image changes",
    "topology_changed": "holes or parts appear or vanish",
    "locality_r2_k1": "R² of a pixel's change from its own grey level",
    "locality_size": "patch that decides a pixel's change, in pixels across (a dash: none does)",
    "change_support": "share of pixels that hold 90 % of the change",
    "change_frequency": "frequency of the change, cycles per pixel",
    **{f"explained_{name}": f"explained by {f.words}" for name, f in explained().items()},
}
"""Rows of the table of kinds of change."""

MORPHOMETRICS = {"intensity": "brightness", "euler": "parts less holes", "ends": "stroke ends"}
"""Morphometrics whose names in the record are no plain words."""


def traversals(site: SiteRecord) -> dict[str, Any] | None:
    """Whether a site's traversals are to be believed, and shown to be invariances, with the tests.

    Computed by `measures.gates` from the measures, so that the thresholds have one source.

    Args:
        site: Its part of the record.

    Returns:
        `title`, `says`, `tone` (good, open or no), `checks` and `null` (what the same tests say of
        random changes of the filters); None: nothing was measured of the traversals.
    """
    found = site.measures
    checks = [*gates(found), *findings(found)]
    if all(check.passed is None for check in checks):
        return None
    failed = failures(found)
    faults = [check.failure for check in findings(found) if check.passed is False]
    if open_ := [check.name for check in checks if check.passed is None]:
        faults.append(f"not tested: {', '.join(open_)}")
    if site.verdict not in ("converged", None):
        faults.append(f"the generator {told_of(site.verdict)}")
    if failed:
        title, says = "not to be believed", sentence("; ".join([*failed, *faults]))
        tone = "open" if site.verdict == TOO_SHORT else "no"
    elif is_invariance(found) and not faults:
        title, tone = "an invariance is shown", "good"
        says = "By these measures the network ignores these changes of the image."
    else:
        title, says, tone = "no invariance was shown", sentence("; ".join(faults)), "open"
    return {
        "title": title,
        "says": says,
        "tone": tone,
        "checks": [_check(check) for check in checks],
        "null": _null_judged(site.references.get("null", {})),
    }


def _check(check: CheckRecord) -> dict[str, str]:
    state = {True: "passed", False: "failed", None: "not tested"}[check.passed]
    return {"name": check.name, "state": state, "told": check.told}


def _null_judged(found: Found) -> str | None:
    """What the tests say of random changes of the filters, in a sentence."""
    checks = [*gates(found), *findings(found)]
    failed = [check.name for check in checks if check.passed is False]
    if is_invariance(found):
        return (
            "Random changes of the filters of the same size pass the same tests: here the tests "
            "decide nothing."
        )
    if not failed:
        return None
    return f"Random changes of the filters of the same size fail: {', '.join(failed)}."


def verdict_tone(site: SiteRecord) -> str:
    """How the verdict on a site's generator is to look: good, open, neutral or bad."""
    tones = {"converged": "good", None: "open", TOO_SHORT: "neutral"}
    return tones.get(site.verdict, "bad")


def tested(site: SiteRecord) -> bool:
    """Whether the gates of a site's traversals are there, without which nothing is said of them."""
    return any(check.passed is not None for check in gates(site.measures))


def decided(record: Record) -> dict[str, ClaimRecord] | None:
    """The paper's two sentences; None: not decided, or the gates of a site are missing."""
    if record.claims and not all(map(tested, record.sites.values())):
        return None
    return record.claims


def claims(record: Record) -> dict[str, Any] | None:
    """The paper's two sentences with verdict and conditions; None: not decided yet.

    Returns:
        `claims`, empty where there is but one site, and `why`, which says so.
    """
    found = decided(record)
    if found is None:
        return None
    if not found:
        return {
            "claims": [],
            "why": "The paper compares two layers; this study has one site, so neither of its two "
            "claims can be decided.",
        }
    return {"claims": [_claim(claim, record.sites) for claim in found.values()], "why": ""}


def _claim(claim: ClaimRecord, sites: Mapping[str, SiteRecord]) -> dict[str, Any]:
    words = {True: "met", False: "not met", None: "open"}
    conditions = [{"says": c.says, "told": c.told, "state": words[c.met]} for c in claim.conditions]
    count = {word: sum(c["state"] == word for c in conditions) for word in words.values()}
    doubts = [
        f"the traversals of {SiteName.parse(name).prose} are not to be believed "
        f"({'; '.join(failed)})"
        for name, site in sites.items()
        if (failed := failures(site.measures))
    ]
    tones = {"supported": "open" if doubts else "good", "not supported": "no", "undecided": "open"}
    return {
        "sentence": claim.sentence,
        "verdict": claim.verdict,
        "tone": tones[claim.verdict],
        "conditions": conditions,
        "count": ", ".join(f"{n} {word}" for word, n in count.items() if n),
        "doubts": doubts,
    }


def kinds(site: SiteRecord) -> dict[str, Any] | None:
    """What kind of change: a figure of explained shares, and a table, ours beside known ones.

    Returns:
        `figure`, `columns` and `rows` (label, name, cells of a value and its interval); None: no
        share was measured.
    """
    sets = {OWN: site.measures}
    others = {"null": NULL} | {name: family.words for name, family in references().items()}
    sets |= {words: site.references.get(name, {}) for name, words in others.items()}
    sets = {words: found for words, found in sets.items() if found}
    families = {
        family.title: {
            words: found.get(f"explained_{name}", NOT_MEASURED) for words, found in sets.items()
        }
        for name, family in explained().items()
        if f"explained_{name}" in site.measures
    }
    if not families:
        return None
    failed = failures(sets[OWN])
    rows = [
        {
            "label": label,
            "name": name,
            "cells": [cell(found.get(name, NOT_MEASURED)) for found in sets.values()],
        }
        for name, label in COMPARED.items()
        if any(name in found for found in sets.values())
    ]
    figure = shares_figure(families, OWN, controls=(NULL,), failures=failed)
    return {"figure": data_url(png(figure)), "columns": list(sets), "rows": rows}


def labels(site: SiteRecord) -> str | None:
    """Labels kept over the distance walked, as a figure; None: not measured."""
    found = site.measures
    curves = {
        "the network": _curve(found, "labels_kept_at_"),
        "independent judges": _curve(found, "labels_kept_judges_at_"),
    }
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    figure = distances_figure(curves, "labels kept", LABELS_KEPT, failures(found))
    return data_url(png(figure))


def _curve(found: Found, prefix: str) -> list[tuple[float, MeasureRecord]]:
    """Distance and measure; a distance of 2.5 is written 2p5 in the name."""
    named = {name.removeprefix(prefix): m for name, m in found.items() if name.startswith(prefix)}
    return [(float(r.replace("p", ".")), measure) for r, measure in named.items()]


def latents(site: SiteRecord) -> dict[str, Any] | None:
    """What the latents do: `sentences` and a `figure`; None: not measured."""
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
    figure = latents_figure(names, shifts, shares, failures(site.measures))
    return {
        "sentences": [_latent(entry) for entry in entries],
        "figure": data_url(png(figure)),
        "images": entries[0].images,
    }


def _latent(entry: LatentRecord) -> dict[str, str]:
    """A latent's sentence, in two: its name, and what is said of it."""
    said = entry.sentence.removeprefix(f"{entry.name}:").strip()
    return {"name": entry.name, "says": said}
