"""Tables of measures: for the terminal, for each site, and beside the paper's numbers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import explained
from filtergan.figures.style import DASH, MINUS
from filtergan.machine.sheets import Sheet
from filtergan.measures.registry import lookup, order
from filtergan.report.findings import decided, traversals, verdict_tone
from filtergan.report.text import number, sentence
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import NOT_MEASURED, Found, MeasureRecord, SiteRecord

MAIN = (
    "real_accuracy",
    "single_draw_accuracy",
    "single_draw_accuracy_min",
    "pooled_retrained_accuracy",
    "real_retrained_accuracy",
    "noise_matched_retrained_accuracy",
    "random_filters_retrained_accuracy",
    "filter_spread",
    "participation_ratio",
    "latent_r2_min",
    "two_sample_accuracy",
    "compensation",
    "compensation_null",
    "inversion_gate_share",
    "repeatability",
    "on_manifold_share",
    "image_two_sample_accuracy",
    "image_change",
    "independent_image_changes",
    "labels_kept",
    "labels_kept_judges",
    *(f"explained_{name}" for name, family in explained().items() if family.main),
    "locality_r2_k1",
    "locality_size",
    "topology_changed",
)
"""The measures that the terminal shows, and that come first in the page's table of all."""

GROUPS = {
    "each latent recovered": r"latent_r2_\d+",
    "what each latent does to the shape of a stroke": r"(slope|morphometry_r2)_.*",
    "labels kept": r"labels_kept(_.*)?|judges_.*",
    "inversion": r"compensation(_.*)?|(profile|inversion)_.*|repeatability",
    "the transformer": r"(transformer|search|pixel|step|return|composition|folded|"
    r"nearest_image|independent_directions|alike_directions).*",
    "naturalness and smoothness": r"manifold_percentile|on_manifold_share|"
    r"image_two_sample_accuracy|path_length|roughness|curvature",
    "kind of change": r"(explained|locality|change)_.*|image_change|"
    r"independent_image_changes|topology_changed",
    "what the network ignores more": r"(invariance_gain|normalized_variance)_.*",
    "filters, draws and pooling": r".*",
}
"""What measures are about, and their names; the first that fits holds a measure."""

PAPER_ROWS = (
    ("Test accuracy of the network", "0.971", "real_accuracy"),
    ("Single draws, nothing re-trained: mean", DASH, "single_draw_accuracy"),
    ("Single draws, nothing re-trained: worst", DASH, "single_draw_accuracy_min"),
    ("Draws pooled, later layers re-trained", "0.982 (ten, layer 4)", "pooled_retrained_accuracy"),
    ("Control: real filters, re-trained alike", DASH, "real_retrained_accuracy"),
    ("Control: real filters with matched noise", DASH, "noise_matched_retrained_accuracy"),
    ("Null: random filters, re-trained alike", DASH, "random_filters_retrained_accuracy"),
    ("Variety of the filters: spread", "“a variety” (fig. 5)", "filter_spread"),
    ("Latents recovered: worst R²", DASH, "latent_r2_min"),
    ("Traversals: labels kept", "“irrelevant for the task”", "labels_kept"),
    ("The same, by independent judges", DASH, "labels_kept_judges"),
    ("Traversals: image change", "seen in figs. 3, 4", "image_change"),
    ("Traversals: compensation", DASH, "compensation"),
    ("Its null: norm-matched random changes", DASH, "compensation_null"),
)
"""What is measured, the paper's number, and the name of ours."""


STYLES = {
    "good": "bold green",
    "open": "bold yellow",
    "neutral": "bold",
    "bad": "bold white on red",
}
"""How the terminal shows a verdict's tone."""


def summary_sheets(run: RunDirectory) -> list[Sheet]:
    """The main measures of each site, and the verdicts on the paper's claims, for the terminal.

    A site that collapsed or diverged says so in red above its numbers, one that was trained too
    briefly without colour; what its traversals are worth is said below, in red where they fail a
    gate.
    """
    sheets = [_site_sheet(name, site) for name, site in run.record.sites.items()]
    if claims := decided(run.record):
        rows = [[claim.sentence, claim.verdict] for claim in claims.values()]
        sheets.append(Sheet("the paper's two claims", ("claim", "verdict"), rows, words=(1,)))
    return sheets


def _site_sheet(name: str, site: SiteRecord) -> Sheet:
    tone = verdict_tone(site)
    judged = traversals(site)
    told = judged and f"Traversals: {judged['title']}. {judged['says']}"
    said = [sentence(site.reason), told]
    sound = tone != "bad" and (judged is None or judged["tone"] != "no")
    columns = ("name", "value", "interval", "n", "null", "better")
    return Sheet(
        f"{SiteName.parse(name).prose}: {site.verdict or 'not assessed'}",
        ("measure", "value", "95 % interval", "n", "null", "better"),
        [[str(row[column]) for column in columns] for row in main_rows(site.measures)],
        "\n".join(filter(None, said)) or None,
        words=(5,),
        title_style=STYLES[tone],
        caption_style="none" if sound else "red",
    )


def main_rows(measures: Found) -> list[dict[str, Any]]:
    """The main measures, as rows of text."""
    return [_row(name, measures[name]) for name in MAIN if name in measures]


def measure_rows(measures: Found) -> list[dict[str, Any]]:
    """All measures as rows of text: the main ones, then group by group in the registry's order."""
    others = sorted(measures.keys() - MAIN, key=lambda n: (list(GROUPS).index(about(n)), _order(n)))
    return main_rows(measures) + [_row(name, measures[name]) for name in others]


def about(name: str) -> str:
    """What a measure is about: its group."""
    return next(title for title, names in GROUPS.items() if re.fullmatch(names, name))


def paper_table(sites: Mapping[str, SiteRecord]) -> list[dict[str, Any]]:
    """The paper's numbers with those of every site beside them."""
    table = []
    for label, paper, name in PAPER_ROWS:
        found = [site.measures.get(name, NOT_MEASURED) for site in sites.values()]
        cells = [(number(measure.value), _interval(measure)) for measure in found]
        if any(name in site.measures for site in sites.values()):
            table.append({"label": label, "paper": paper, "cells": cells})
    return table


def _row(name: str, found: MeasureRecord) -> dict[str, Any]:
    meaning = lookup(name)
    (low, high), null = found.ci95, found.null
    against = ""
    if low is not None and high is not None and null is not None:
        against = "above null" if low > null else "below null" if high < null else "as null"
    return {
        "name": name,
        "about": about(name),
        "meaning": meaning.meaning,
        "null_meaning": meaning.null_meaning,
        "source": meaning.source,
        "unit": meaning.unit,
        "range": f"{_bound(meaning.low, MINUS + '∞')} to {_bound(meaning.high, '∞')}",
        "better": {"neither": DASH}.get(meaning.better, meaning.better),
        "value": number(found.value),
        "interval": _interval(found) or DASH,
        "n": found.n,
        "null": number(null),
        "has_null": null is not None,
        "against": against,
        "quantiles": {k: number(v) for k, v in found.quantiles.items()},
        "sorted_by": {"value": found.value, "low": low, "null": null},
    }


def _order(name: str) -> tuple[int, Sequence[int | str]]:
    """Place of a measure: the registry's, those of one kind in order of their numbers."""
    parts = re.split(r"(\d+)", name)
    return order(name)[0], [int(p) if i % 2 else p for i, p in enumerate(parts)]


def _interval(measure: MeasureRecord) -> str:
    low, high = measure.ci95
    return "" if low is None else f"{number(low)} to {number(high)}"


def _bound(value: float | None, unbounded: str) -> str:
    return unbounded if value is None else f"{value:g}".replace("-", MINUS)
