"""The paper's two sentences about layers, decided: what the early and the late site ignore.

Kilcher et al. 2017 say that layer 2 ignores low-level features, such as brightness or stroke
width, and layer 4 high-level, highly non-linear ones. Each sentence becomes conditions on measures;
it is supported if all are met, not supported if one is not, and undecided where the intervals, or a
failed gate, leave one open. Sites come by layer, those of one layer by reading; over the readings
of one layer the sentences are decided likewise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.config.site_names import RECIPES, SiteName
from filtergan.measures.gates import (
    LABELS_KEPT,
    ON_MANIFOLD,
    REPEATABLE,
    gates,
    told,
    value_of,
)
from filtergan.measures.statistics import interval
from filtergan.measures.verdicts import told_of
from filtergan.runs.record import (
    NOT_MEASURED,
    TOO_SHORT,
    ClaimRecord,
    ConditionRecord,
    Found,
    MeasureRecord,
    Verdict,
)

Interval = tuple[float, float]
Less = tuple[float, Interval]
"""A difference and the ends of its interval."""
TOLERANCE = 0.1
"""Relative difference up to which two changes of image count as equal."""


@dataclass(frozen=True)
class SiteFound:
    """What is known of one site.

    Attributes:
        name: Layer and reading.
        verdict: On its generator.
        found: Its measures, in the record's form.
        references: Measures of the reference traversals at this site.
    """

    name: SiteName
    verdict: Verdict | None
    found: Found
    references: Mapping[str, Found]

    @property
    def strokes(self) -> bool:
        """Whether strokes were measured: not in colour, where the sentences are about colours."""
        return "explained_colour" not in self.found


@dataclass(frozen=True)
class SiteEvidence(SiteFound):
    """The same with what was measured of every image and point.

    Attributes:
        change: ||x_k - x|| / ||x|| per image and point.
        low_level: Share of the change explained by brightness and stroke width (of images in
            colour: by a linear map of colours), per point.
        transformed: Share explained by an affine warp, brightness and stroke width (in colour
            without this), per point.
        groups: Which images share their points; the same at all sites of a study.
    """

    change: Float[Tensor, "n p"]
    low_level: Float[Tensor, "n p"]
    transformed: Float[Tensor, "n p"]
    groups: Int64[Tensor, " n"]


def compared(order: Sequence[SiteName]) -> dict[str, tuple[SiteName, SiteName]]:
    """Early and late sites that the sentences are decided for, all of one recipe.

    That is the last recipe that has two sites: there its first and its last one, and, where there
    are several layers, those of every layer that is read at several points.

    Args:
        order: Sites by recipe, layer and reading, as the network comes to them.

    Returns:
        By what tells their claims from others: nothing for the first and last site of all, " at
        conv4" for those of a layer. Empty where no recipe has two sites.
    """
    of_each = ([name for name in order if name.recipe == recipe] for recipe in RECIPES)
    several = [names for names in of_each if len(names) > 1]
    if not several:
        return {}
    names = several[-1]
    places = {"": names}
    layers = dict.fromkeys(name.layer for name in names)
    if len(layers) > 1:
        places |= {f" at {layer}": [n for n in names if n.layer == layer] for layer in layers}
    return {where: (of[0], of[-1]) for where, of in places.items() if len(of) > 1}


def decide(
    early: SiteEvidence, late: SiteEvidence, *, resamples: int, seed: int
) -> dict[str, ClaimRecord]:
    """Decide both sentences for two sites measured on the same images.

    Args:
        early: The site that the paper's low-level sentence is about.
        late: The site that its high-level sentence is about.
        resamples: Bootstrap resamples of the differences between the sites.
        seed: Of the resampling.

    Returns:
        `low_level` and `high_level`.
    """
    pairs = matched_pairs(early.change, late.change)
    low, high = (
        difference(one, other, pairs, early.groups, resamples=resamples, seed=seed)
        for one, other in (
            (early.low_level, late.low_level),
            (early.transformed, late.transformed),
        )
    )
    return concluded(early, late, low, high)


def concluded(
    early: SiteFound, late: SiteFound, low_level: Less, transformed: Less
) -> dict[str, ClaimRecord]:
    """What measures and two differences at equal image change decide.

    Args:
        early: As for `decide`.
        late: As for `decide`.
        low_level: What low-level families explain at the early site less at the late one.
        transformed: The same of affine maps, brightness and stroke width.

    Returns:
        `low_level` and `high_level`.
    """
    low, high = _low_level(early, late, low_level), _high_level(early, late, transformed)
    short = TOO_SHORT in (early.verdict, late.verdict)
    other = "stroke width" if early.strokes else "colour"
    low_says = (
        f"{early.name.prose} ignores low-level features such as brightness or {other}, more than "
        f"{late.name.prose} does"
    )
    high_says = f"{late.name.prose} ignores high-level, highly non-linear changes"
    return {
        "low_level": decided(early.name, low_says, low, short),
        "high_level": decided(late.name, high_says, high, short),
    }


def decided(
    site: str, sentence: str, conditions: list[ConditionRecord], short: bool
) -> ClaimRecord:
    """Supported if all conditions are met, not supported if one is not, undecided otherwise.

    A game that was too short decides nothing, against a claim as little as for it.
    """
    failed = [c.told for c in conditions if c.met is False and not short]
    open_ = [c.told for c in conditions if c.met is None]
    word: Literal["supported", "not supported", "undecided"] = (
        "not supported" if failed else "undecided" if open_ else "supported"
    )
    reason = "; ".join(failed or open_ or [c.told for c in conditions])
    return ClaimRecord(
        site=site, sentence=sentence, verdict=word, reason=reason, conditions=conditions
    )


def matched_pairs(
    early: Float[Tensor, "n p"], late: Float[Tensor, "n q"], tolerance: float = TOLERANCE
) -> Int64[Tensor, "m 3"]:
    """Pairs of points of the same image at two sites whose image changes are equal.

    Greedy, the closest pair of an image first; each point takes part once.

    Args:
        early: Image change per image and point at one site.
        late: The same at the other.
        tolerance: Largest relative difference within a pair.

    Returns:
        Image, point at the first site, point at the second.
    """
    apart = (early[:, :, None].log() - late[:, None, :].log()).abs()
    apart = torch.where(apart.isnan(), torch.inf, apart)
    limit = torch.log1p(torch.tensor(tolerance))
    found = []
    for image, table in enumerate(apart):
        while len(table) and table.min() <= limit:
            i, j = divmod(int(table.argmin()), table.shape[1])
            found.append((image, i, j))
            table[i], table[:, j] = torch.inf, torch.inf
    return torch.tensor(found, dtype=torch.long).reshape(-1, 3)


def difference(
    early: Float[Tensor, "n p"],
    late: Float[Tensor, "n q"],
    pairs: Int64[Tensor, "m 3"],
    groups: Int64[Tensor, " n"],
    *,
    resamples: int,
    seed: int,
) -> Less:
    """Mean over matched pairs of early less late, and its 95 % interval over groups of images."""
    image, i, j = pairs.T
    values = early[image, i] - late[image, j]
    if not len(values):
        return float("nan"), (float("nan"), float("nan"))
    ends = interval(values, groups[image], resamples=resamples, seed=seed)
    return float(values.nanmean()), ends


def _low_level(early: SiteFound, late: SiteFound, less: Less) -> list[ConditionRecord]:
    value, ends = less
    other = "stroke width" if early.strokes else "colour"
    conditions = [
        _established(early),
        _established(late),
        _above(
            f"brightness and {other} explain more of the change at the earlier site, at equal "
            "image change",
            f"explained at {early.name} less {late.name}",
            value,
            ends,
        ),
        _more(
            "the change of a pixel is decided by its own grey level more at the earlier site",
            f"R² of a pixel's change from its own grey level at {early.name}, at {late.name}",
            early.found.get("locality_r2_k1", NOT_MEASURED),
            late.found.get("locality_r2_k1", NOT_MEASURED),
        ),
    ]
    if early.strokes:
        share = _slope_share(early.found)
        conditions.append(
            _condition(
                "thickness and intensity make up more than half of the morphometric slopes",
                None if share is None else share > 0.5,
                f"share of thickness and intensity in the slopes at {early.name} {told(share)}",
            )
        )
    return conditions


def _high_level(early: SiteFound, late: SiteFound, less: Less) -> list[ConditionRecord]:
    value, ends = less
    name = "explained_photometric_affine" + ("_width" if late.strokes else "")
    small = (
        "affine maps, brightness and stroke width" if late.strokes else "affine maps and brightness"
    )
    own, rotation = (
        measures.get(name, NOT_MEASURED)
        for measures in (late.found, late.references.get("affine", {}))
    )
    kept, natural, repeatable = (
        value_of(late.found, n)
        for n in ("labels_kept_judges", "on_manifold_share", "repeatability")
    )
    conditions = [
        _established(late),
        _established(early),
        _above(
            f"less of the change is explained by {small} at the later site, at equal image change",
            f"explained at {early.name} less {late.name}",
            value,
            ends,
        ),
        _more(
            "less is explained than of a true affine map",
            f"explained of the affine reference, and of the change at {late.name}",
            rotation,
            own,
        ),
        _reaches("independent judges keep the labels", kept, LABELS_KEPT),
        _reaches("the images stay on the manifold", natural, ON_MANIFOLD),
        _reaches("the images are repeatable", repeatable, REPEATABLE),
    ]
    if late.strokes:
        chance = late.references.get("null", {})
        conditions.append(
            _more(
                "holes or strokes appear or vanish, more often than by random changes of the "
                "filters",
                f"share of points whose topology changes at {late.name}, and under random changes",
                late.found.get("topology_changed", NOT_MEASURED),
                chance.get("topology_changed", NOT_MEASURED),
            )
        )
    return conditions


def _established(site: SiteFound) -> ConditionRecord:
    """Met or open: without generator and inversion nothing is known of what a site ignores."""
    if site.verdict != "converged":
        why = f"the generator at {site.name} {told_of(site.verdict)}"
        return _condition(f"the generator at {site.name} converged", None, why)
    failed = [c.told for c in gates(site.found)[:2] if not c.passed]
    return _condition(
        f"inversions at {site.name} work and are repeatable",
        None if failed else True,
        f"at {site.name}: " + ("; ".join(failed) or "both gates passed"),
    )


def _condition(says: str, met: bool | None, told: str) -> ConditionRecord:
    return ConditionRecord(says=says, met=met, told=told)


def _above(says: str, what: str, value: float, ends: Interval) -> ConditionRecord:
    low, high = ends
    met = True if low > 0 else False if high < 0 else None
    return _condition(says, met, f"{what}: {value:.2f} ({low:.2f} to {high:.2f})")


def _more(says: str, what: str, one: MeasureRecord, other: MeasureRecord) -> ConditionRecord:
    """Whether one measure exceeds another: met or not where their intervals lie apart."""
    low, high = _ends(one)
    other_low, other_high = _ends(other)
    met = True if low > other_high else False if high <= other_low else None
    return _condition(says, met, f"{what}: {told(one.value)}, {told(other.value)}")


def _reaches(says: str, value: float | None, least: float) -> ConditionRecord:
    met = None if value is None else value >= least
    return _condition(says, met, f"{says}: {told(value)}, to reach {least}")


def _slope_share(found: Found) -> float | None:
    """Share of thickness and intensity in the sum of all absolute morphometric slopes."""
    slopes = {
        name: abs(entry.value)
        for name, entry in found.items()
        if name.startswith("slope_") and entry.value is not None
    }
    total = sum(slopes.values())
    ours = sum(v for n, v in slopes.items() if n.split("_")[1] in ("thickness", "intensity"))
    return ours / total if total else None


def _ends(entry: MeasureRecord) -> Interval:
    """Ends of a measure's interval; NaN, which no comparison passes, where there is none."""
    low, high = entry.ci95
    return (math.nan if low is None else low, math.nan if high is None else high)
