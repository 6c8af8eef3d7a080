"""What the page says of the evidence: gates, claims, kinds of change, latents."""

from collections.abc import Mapping
from typing import Any

from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import explained
from filtergan.figures import png
from filtergan.measures.doubts import doubts, latent_says
from filtergan.measures.gates import failures, findings, gates, is_invariance
from filtergan.report import plotted
from filtergan.report.pictures import data_url
from filtergan.report.text import cell, sentence
from filtergan.runs.record import (
    NOT_MEASURED,
    TOO_SHORT,
    CheckRecord,
    ClaimRecord,
    Found,
    Record,
    SiteRecord,
)

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
    against = doubts(site)
    says = sentence("; ".join(against))
    if failures(found):
        title, tone = "not to be believed", "open" if site.verdict == TOO_SHORT else "no"
    elif against:
        title, tone = "no invariance was shown", "open"
    else:
        title, tone = "an invariance is shown", "good"
        says = "By these measures the network ignores these changes of the image."
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


def decided(record: Record) -> dict[str, ClaimRecord] | None:
    """The paper's two sentences; None: not decided, or the gates of a site are missing."""
    if record.claims and not all(map(plotted.tested, record.sites.values())):
        return None
    return record.claims


def claims(record: Record) -> dict[str, Any] | None:
    """The paper's two sentences with verdict and conditions; None: not decided yet.

    Returns:
        `claims`, empty where no recipe has two sites, and `why`, which says so.
    """
    found = decided(record)
    if found is None:
        return None
    if not found:
        return {
            "claims": [],
            "why": "The paper compares two layers; no recipe of this study has two sites, so "
            "neither of its two claims can be decided.",
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


def accuracies(site: SiteRecord) -> str | None:
    """The re-trained accuracies and their controls, as a figure; None: fewer than two measured."""
    figure = plotted.accuracies(site)
    return None if figure is None else data_url(png(figure))


def kinds(site: SiteRecord) -> dict[str, Any] | None:
    """What kind of change: a figure of explained shares, and a table, ours beside known ones.

    Returns:
        `figure`, `columns` and `rows` (label, name, cells of a value, its interval and the number
        itself); None: no share was measured.
    """
    figure, sets = plotted.kinds(site), plotted.compared(site)
    if figure is None:
        return None
    rows = [
        {
            "label": label,
            "name": name,
            "cells": [
                (*cell(measure), measure.value)
                for measure in (found.get(name, NOT_MEASURED) for found in sets.values())
            ],
        }
        for name, label in COMPARED.items()
        if any(name in found for found in sets.values())
    ]
    return {"figure": data_url(png(figure)), "columns": list(sets), "rows": rows}


def labels(site: SiteRecord) -> str | None:
    """Labels kept over the distance walked, as a figure; None: not measured."""
    figure = plotted.labels(site)
    return None if figure is None else data_url(png(figure))


def latents(site: SiteRecord) -> dict[str, Any] | None:
    """What the latents do: `sentences` and a `figure`; None: not measured."""
    figure, entries = plotted.latents(site), site.latents
    if figure is None:
        return None
    return {
        "sentences": [{"name": entry.name, "says": latent_says(entry, site)} for entry in entries],
        "figure": data_url(png(figure)),
        "images": entries[0].images,
    }
