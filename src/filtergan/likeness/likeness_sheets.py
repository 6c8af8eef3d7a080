"""A comparison of latents as tables of text."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np

from filtergan.ceilings.question import ASKABLE, IGNORED, Verdict
from filtergan.likeness.likeness_record import (
    CrossingRecord,
    DirectionRecord,
    Likeness,
    ShareRecord,
    Whose,
    plain_site,
)
from filtergan.machine.sheets import Sheet
from filtergan.measures.gates import LABELS_KEPT
from filtergan.report.bounds import told
from filtergan.report.text import brief

SHORT: dict[Verdict, str] = {
    "yes": "yes",
    "no": "no",
    "undecided": "undecided",
    "cannot be asked here": "not asked",
}
"""Verdicts where there is little room."""


def heading(found: Likeness) -> list[str]:
    """The lines above the tables: which networks, on what."""
    networks = [
        f"{one.name}: {one.preset}, seed {one.seed}, {one.network} ({one.run})"
        for one in found.networks
    ]
    on = f"{found.images} test images, each latent by a step of {found.step:g}, seed {found.seed}."
    return [*networks, on]


def sheets(found: Likeness) -> list[Sheet]:
    """What changes have in common; what each network makes of each latent; whose each one is."""
    sites = dict.fromkeys(direction.site for direction in found.directions)
    verdicts = [verdicts_sheet(found, site) for site in sites]
    return [shares_sheet(found), *verdicts, count_sheet(found)]


def shares_sheet(found: Likeness) -> Sheet:
    """Shares of image changes, a row for each pair of sites."""
    rows = [
        [
            f"{one.network} {plain_site(one.site)}",
            f"{one.other_network} {plain_site(one.other_site)}",
            *told(one.share),
            brief(one.top),
        ]
        for one in found.shares
    ]
    return Sheet(
        "How much of the changes of images at a site those at another could have made",
        ("changes at", "made by those at", "share", "its null", "its own"),
        rows,
        "Share of squares within the span of the other's changes of the same image, mean and 95 % "
        "interval over images. Its null: the other's transformer trained for random directions of "
        "the filters; its own: what the site's own latents could have made elsewhere.",
        words=(1,),
    )


def verdicts_sheet(found: Likeness, site: str) -> Sheet:
    """What every network makes of each latent of the sites of one name."""
    names = [network.name for network in found.networks]
    rows = []
    for direction in found.directions:
        if direction.site == site:
            seen = {direction.network: found.own(direction), **found.others(direction)}
            cells = [_cell(seen[name]) if name in seen else "-" for name in names]
            rows.append([f"{direction.network} z{direction.latent}", *cells, direction.whose])
    return Sheet(
        f"Does a network ignore what T does along a latent of {plain_site(site)}?",
        ("latent", *(f"asked of {name}" for name in names), "invariance of"),
        rows,
        "Verdict, and the compensation that the network's fitted filters reach, with its 95 % "
        f"interval and random filters as null. It must exceed {ASKABLE:g} for the question to be "
        "asked; yes: what these filters change reaches the logits less than "
        f"{IGNORED:g} times as much as exchanged ones do, and at least {LABELS_KEPT:g} of the "
        "labels are kept. Of several sites of a network: that whose filters undo most.",
        words=(len(names) + 1,),
    )


def count_sheet(found: Likeness) -> Sheet:
    """How many latents of each site are whose invariance."""
    lines = []
    for network in found.networks:
        for site in network.sites:
            here = [d for d in found.directions if (d.network, d.site) == (network.name, site)]
            name = f"{network.name} {plain_site(site)}"
            lines.append([name, *_counted(here), *_tops(found, here)])
    return Sheet(
        "Latents by whose invariance they are",
        ("site", "latents", *get_args(Whose), "own undone", "by others"),
        lines,
        "Every network: all others ignore it too; this training: no other does; none: its own "
        "network does not ignore it, by this question. Undone: median compensation of the latents.",
    )


def over_pairs(records: Iterable[ShareRecord]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the shares, means over pairs of networks, for a page."""
    groups: dict[tuple[str, str], list[ShareRecord]] = {}
    for one in records:
        of = "another network" if one.network != one.other_network else ""
        of = of if one.site == one.other_site else f"{plain_site(one.other_site)} {of}".strip()
        groups.setdefault((plain_site(one.site), of), []).append(one)
    lines = []
    for (site, of), pairs in groups.items():
        known = [pair.share.value for pair in pairs if pair.share.value is not None]
        values = known or [math.nan]
        null, top = (_mean(v) for v in ([p.share.null for p in pairs], [p.top for p in pairs]))
        share = f"{_mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        lines.append([site, of, share, f"{null:.2f}", f"{top:.2f}"])
    head = ["changes at", "made by those of", "share, over pairs", "its null's", "its own"]
    return head, lines


def _cell(one: CrossingRecord) -> str:
    value, null = told(one.compensation)
    return f"{SHORT[one.ignored]}, {value.replace(chr(10), ' ')}\n(null {null})"


def _counted(directions: Sequence[DirectionRecord]) -> list[str]:
    counts: Mapping[str, int] = Counter(direction.whose for direction in directions)
    return [str(len(directions)), *(str(counts.get(one, 0)) for one in get_args(Whose))]


def _tops(found: Likeness, directions: Sequence[DirectionRecord]) -> list[str]:
    """Median compensation of latents in their own network, and in others."""
    own = [found.own(one).compensation.value for one in directions]
    others = [o.compensation.value for d in directions for o in found.others(d).values()]
    known = ([value for value in some if value is not None] for some in (own, others))
    return [brief(float(np.median(some)) if some else None) for some in known]


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))
