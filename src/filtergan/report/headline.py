"""The finding of a site in plain words, made of its record: what the page opens with."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from filtergan.config.site_names import PAPER, PLAIN, SiteName
from filtergan.families.catalogue import LOW_LEVEL
from filtergan.machine.wording import count_of
from filtergan.measures.gates import (
    LABELS_KEPT,
    ON_MANIFOLD,
    findings,
    gates,
    is_invariance,
    value_of,
)
from filtergan.measures.naming import LEAST_BEYOND, named_shifts
from filtergan.measures.verdicts import told_of
from filtergan.report.text import brief, listed, sentence
from filtergan.runs.record import (
    TOO_SHORT,
    CeilingRecord,
    CheckRecord,
    Found,
    LatentRecord,
    MeasureRecord,
    SiteRecord,
)

MOST_KINDS = 4
"""Kinds of change named in one sentence, beside bending."""

LEAST_SHARE = 0.2
"""Share of the change that a family must explain to be named, where strokes have no measures."""

SHAPES = {
    "area": "size",
    "length": "length of strokes",
    "thickness": "thickness of strokes",
    "slant": "slant",
    "width": "width",
    "height": "height",
    "intensity": "brightness",
    "euler": "holes and parts",
    "ends": "ends of strokes",
}
"""What is said to be ignored where a latent shifts a morphometric."""

KINDS = dict.fromkeys(LOW_LEVEL, "brightness") | {
    "colour": "colour",
    "affine": "shift, turn and stretch",
    "spline": "bending",
}
"""The same of families."""

ASKED = {
    "size": ("size",),
    "width": ("size",),
    "height": ("size",),
    "thickness of strokes": ("width",),
    "slant": ("slant",),
    "brightness": ("brightness", "ground"),
    "colour": ("colour",),
    "shift, turn and stretch": ("shift", "rotation", "slant", "size"),
    "bending": ("warp",),
}
"""The families by whose ceilings a kind of change can be contradicted; others have no ceilings."""

KEY = (
    ("compensation", "of what other filters do is undone"),
    ("labels_kept_judges", "of labels kept, say independent judges"),
    ("on_manifold_share", "of images lie on the manifold"),
    ("single_draw_accuracy", "of test images right with other filters"),
)
"""Measures told first, with what they are."""


class Headline(NamedTuple):
    """The finding of one site.

    Attributes:
        tone: How it is to look: good, open, no, neutral or bad.
        word: It in a word or three.
        says: It in a sentence or two.
    """

    tone: str
    word: str
    says: str


ORDER = ("good", "open", "no", "neutral", "bad")
"""Tones, in the order in which findings are told."""


def headline(name: str, site: SiteRecord) -> Headline:
    """What was found at a site: an invariance, nothing beyond chance, or which test fails.

    Args:
        name: The site's.
        site: Its part of the record.

    Returns:
        Such as "Behind conv5, this network ignores slant, size and bending: filters of conv4
        changed in 8 ways are undone to 0.82 by changes of the image, of all kinds together; the
        same number for random changes of filters is 0.05."
    """
    own, found = SiteName.parse(name), site.measures
    layer, where = own.layer, _where(own)
    by = "by the paper's recipe, " if own.recipe == PAPER else ""
    if site.verdict == TOO_SHORT:
        why = f"The generator of {layer} was trained too briefly for anything to be said {where}."
        return Headline("neutral", "too short to say", _first(why))
    if site.verdict not in ("converged", None):
        why = f"the generator of {layer} {told_of(site.verdict)}, so nothing can be said {where}."
        return Headline("bad", site.verdict, _first(f"{why} {sentence(site.reason)}"))
    undone = value_of(found, "compensation")
    checks = [*gates(found), *findings(found)]
    if undone is None or all(check.passed is None for check in checks):
        return Headline("open", "not measured", _first(f"{where}, nothing was measured yet."))
    chance = value_of(found, "compensation_null")
    failed = [check for check in checks if check.passed is False]
    if failed and failed[0].failure == "inversion no better than chance":
        says = (
            f"{where}, {by}what is seen is no different from chance: changes of the image undo "
            f"{brief(undone)} of what other filters of {layer} do, and as much "
            f"({brief(chance)}) of what random changes of the filters do."
        )
        return Headline("no", "no different from chance", _first(says))
    beside = f"the same number for random changes of filters is {brief(chance)}"
    changed = f"filters of {layer} changed{_ways(site.latents)} are undone to {brief(undone)} by"
    if failed:
        gate = any(check in gates(found) for check in failed)
        says = f"{where}, {by}nothing is shown: {changed} changes of the image ({beside}), but "
        word = "fails a gate" if gate else "no invariance shown"
        return Headline("no" if gate else "open", word, _first(f"{says}{_faults(failed)}."))
    if missing := [check.name for check in checks if check.passed is None]:
        says = f"{where}, {changed} changes of the image; {beside}. Not tested: {listed(missing)}."
        return Headline("open", "not tested in full", _first(says))
    kinds, contradicted = ignored(site)
    says = (
        f"{where}, this network ignores {listed(kinds)}: {changed} changes of the image, of all "
        f"kinds together; {beside}."
    )
    if contradicted:
        says += (
            f" Seen too, but undone by no filters of {layer} when alone (see the ceilings): "
            f"{listed(contradicted)}."
        )
    if is_invariance(site.references.get("null", {})):
        says += " But random changes pass the same tests, which therefore decide nothing here."
        return Headline("open", "not to be told from chance", _first(says))
    return Headline("good", "an invariance", _first(says))


def key_numbers(site: SiteRecord) -> list[tuple[str, str, str]]:
    """The numbers that speak for or against a finding: value, what it is, what it stands beside."""
    found = site.measures
    beside = {
        "compensation": ("random changes of the filters", value_of(found, "compensation_null")),
        "labels_kept_judges": ("to reach", LABELS_KEPT),
        "on_manifold_share": ("to reach", ON_MANIFOLD),
        "single_draw_accuracy": ("its own filters", value_of(found, "real_accuracy")),
    }
    return [
        (brief(value), words, f"{beside[name][0]}: {brief(beside[name][1])}")
        for name, words in KEY
        if (value := value_of(found, name)) is not None
    ]


def ignored(site: SiteRecord) -> tuple[list[str], list[str]]:
    """The kinds of change that a site's latents make, the largest first.

    By the shape of strokes, as in the sentences on latents; where there are no strokes, by the
    families that explain the changes.

    Returns:
        Those that may be named, and those that the site's ceilings contradict: even the filters
        fitted to it undo nothing of such a change by itself, or no more than random filters.
    """
    sizes: dict[str, float] = {}
    for entry in site.latents:
        for shape, shift in named_shifts(entry.shifts):
            sizes[shape] = max(sizes.get(shape, 0.0), abs(shift))
    kinds = [SHAPES[shape] for shape in sorted(sizes, key=lambda shape: -sizes[shape])]
    families = _families(site.measures)
    bending = [families["spline"]] if "spline" in families else []
    kinds = [*kinds[:MOST_KINDS], *bending] if kinds else list(families.values())
    contradicted = [kind for kind in kinds if _contradicted(kind, site.ceilings)]
    named = [kind for kind in kinds if kind not in contradicted]
    return named or ["changes of the image"], contradicted


def _contradicted(kind: str, ceilings: Mapping[str, CeilingRecord]) -> bool:
    """Whether filters undo none of the known changes of a kind, of those that were asked for."""
    # What fits a change best says least of what others undo: where only that is known, its share.
    asked = [one for one in ceilings.values() if one.family in ASKED.get(kind, ())]
    found = [one.at_best or one.share for one in asked]
    known = [one for one in found if one.value is not None]
    return bool(known) and not any(_undone(one) for one in known)


def _undone(ceiling: MeasureRecord) -> bool:
    """Whether a ceiling, with its interval, is above its null and above nothing."""
    low = ceiling.value if ceiling.ci95[0] is None else ceiling.ci95[0]
    return low is not None and low > max(ceiling.null or 0.0, 0.0)


def _families(found: Found) -> dict[str, str]:
    """Families that explain a part worth naming of the change, with their words.

    Bending is what a smooth warp explains beyond brightness and affine maps together, and colour
    what a map of colours explains beyond light, which is one of them.
    """
    shares = {name: value_of(found, f"explained_{name}") or 0.0 for name in KINDS}
    low_level = next((name for name in LOW_LEVEL if shares[name]), LOW_LEVEL[0])
    if low_level == "colour" and shares["colour"] < shares["photometric"] + LEAST_BEYOND:
        low_level = "photometric"
    simple = {name: shares[name] for name in (low_level, "affine")}
    shown = [name for name, share in simple.items() if share >= LEAST_SHARE]
    together = value_of(found, "explained_photometric_affine") or 0.0
    if shares["spline"] >= max(together, *simple.values()) + LEAST_BEYOND:
        shown.append("spline")
    return {name: KINDS[name] for name in shown}


def _where(name: SiteName) -> str:
    """Where a response is read, as it begins a sentence."""
    where = {PLAIN: f"at {name.layer}", "conv": f"at {name.layer}, before its activation"}
    return where.get(name.point, f"behind {name.point}")


def _ways(latents: Sequence[LatentRecord]) -> str:
    return f" in {count_of(len(latents[0].direction), 'way')}" if latents else ""


def _faults(failed: Sequence[CheckRecord]) -> str:
    """The tests failed, with their numbers."""
    return "; ".join(f"{check.failure}: {check.told}" for check in failed)


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
