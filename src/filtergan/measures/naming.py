"""What a latent does, in one sentence made of measures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.families.catalogue import FAMILIES, LOW_LEVEL
from filtergan.measures.morphometry import MORPHOMETRY, Slopes
from filtergan.runs.record import CeilingRecord, Number

LEAST_SHIFT = 0.2
"""Smallest shift worth naming, in within-class standard deviations: Cohen's small effect."""

MOST_SHIFTS = 3
"""Shifts named in one sentence."""

LEAST_BEYOND = 0.1
"""What a family must explain beyond the simpler ones that it includes to be named itself: a smooth
warp, for a change to count as bending, or in a headline a map of colours, which includes light."""

MOST = 0.5
"""Share of a change that a family explains at least where the change is mostly of that family."""

LEAST_PART = 0.3
"""Smallest component of a direction that its name shows."""

WORDS = {
    "area": ("larger area", "smaller area"),
    "length": ("longer strokes", "shorter strokes"),
    "thickness": ("thicker strokes", "thinner strokes"),
    "slant": ("slanted right", "slanted left"),
    "width": ("wider", "narrower"),
    "height": ("taller", "less tall"),
    "intensity": ("brighter", "fainter"),
    "euler": ("fewer holes or more parts", "more holes or fewer parts"),
    "ends": ("more stroke ends", "fewer stroke ends"),
}
"""What it looks like when a morphometric grows, and when it shrinks."""

_PLAIN = {"thickness": "thickness", "slant": "slant", "intensity": "brightness"}
"""Morphometrics of which it is worth saying that they stay, and what they are called then."""


@dataclass(frozen=True)
class LatentEvidence:
    """What was measured along one direction of latent space.

    Attributes:
        name: Of the direction, such as "z3" or "+0.7 z1 - 0.5 z4".
        radius: Length of the step from z, in the units of z, at which the rest was measured.
        shifts: Change of each morphometric at that step with the ends of its 95 % interval, in
            within-class standard deviations; empty where there are no strokes (colour images).
        explained: Share of the image change that each family of transformations explains.
        labels_kept: Share of recovered images that keep their label.
        compensation: Share of the change in response that the image change undid.
        compensation_null: The same for random filter changes.
        failures: Why the traversal is not to be believed; empty if all gates were passed.
        ceiling: Of a family that explains most of the change, as `ceiling_of` names it.
    """

    name: str
    radius: float
    shifts: dict[str, tuple[float, float, float]]
    explained: dict[str, float]
    labels_kept: float
    compensation: float
    compensation_null: float
    failures: tuple[str, ...] = ()
    ceiling: tuple[str, float] | None = None


def describe(evidence: LatentEvidence) -> str:
    """One sentence: which shifts, explained by which families, how much is undone; failures first.

    A shift is named if its interval excludes 0 and it is at least `LEAST_SHIFT`, the largest first
    and at most `MOST_SHIFTS`; a plain one (thickness, slant, brightness) is called unchanged if
    its interval lies within ± `LEAST_SHIFT`. A compensation not above its null is a failure.

    Returns:
        Such as "z3: thicker strokes (+0.8 sd), slant unchanged; 71 % photometric + width, 6 %
        affine; undone 0.81 (ceiling of thicker 0.7 px 0.72); labels kept 0.99".
    """
    parts = [_shape(evidence.shifts)] if evidence.shifts else []
    if families := _families(evidence.explained):
        parts.append(families)
    if not math.isnan(evidence.compensation):
        ceiling = evidence.ceiling
        beside = f" (ceiling of {ceiling[0]} {ceiling[1]:.2f})" if ceiling else ""
        parts.append(f"undone {evidence.compensation:.2f}{beside}")
    if not math.isnan(evidence.labels_kept):
        parts.append(f"labels kept {evidence.labels_kept:.2f}")
    failures = list(evidence.failures)
    if not evidence.compensation > max(evidence.compensation_null, 0.0):
        beaten_by = f"the {evidence.compensation_null:.2f} of random filter changes"
        if evidence.compensation > evidence.compensation_null:
            beaten_by = "images left as they are"
        failures.append(f"compensation {evidence.compensation:.2f}, no more than {beaten_by}")
    doubt = f"not to be believed ({'; '.join(failures)}): " if failures else ""
    return f"{evidence.name}: {doubt}{'; '.join(parts) or 'nothing was measured'}"


def ceiling_of(
    explained: Mapping[str, Number], ceilings: Mapping[str, CeilingRecord]
) -> tuple[str, float] | None:
    """The best ceiling of the family that explains most of a change.

    That is the first in the catalogue, where the simple come first, whose share is at least `MOST`
    and of which a ceiling is known; of affine maps and the like, that of the part undone best.

    Args:
        explained: Share of the change that each family explains.
        ceilings: Of a site, by the name of the change of images.

    Returns:
        Name of the change and its ceiling; None: no family explains so much, or none is known.
    """
    for family in FAMILIES.values():
        share = explained.get(family.explained.name) if family.explained else None
        if share is not None and share >= MOST:
            parts = {p.name for p in FAMILIES.values() if family in (p, p.within)}
            known = [
                (one.undone.value, name)
                for name, one in ceilings.items()
                if one.family in parts and one.undone.value is not None
            ]
            if known:
                value, name = max(known)
                return name, value
    return None


def shifts(slopes: Slopes, row: int, radius: float) -> dict[str, tuple[float, float, float]]:
    """Shift of each morphometric at a step of `radius` along one latent, for `LatentEvidence`.

    Args:
        slopes: Of `latent_slopes`, columns as in `MORPHOMETRY`.
        row: Which latent, or which direction where the offsets were rotated.
        radius: Length of the step, in units of z.

    Returns:
        Value and the ends of its interval, by name; undefined ones are left out.
    """
    ends = torch.stack([slopes.value[row], slopes.low[row], slopes.high[row]], dim=1) * radius
    found = dict(zip(MORPHOMETRY, ends.tolist(), strict=True))
    return {name: (v, lo, hi) for name, (v, lo, hi) in found.items() if math.isfinite(v + lo + hi)}


def leading_combinations(
    offsets: Float[Tensor, "n p latents"], change: Float[Tensor, "n p features"], count: int
) -> Float[Tensor, "count latents"]:
    """Directions of latent space that move the image most, in the same way for every image.

    The linear map from z_k - z to the change of the image is fitted to all points by least squares;
    its singular vectors on the side of the latents are the directions, the strongest first.

    Args:
        offsets: z_k - z of each image's points.
        change: x_k - x, or features of it.
        count: How many; at most as many as there are latents.

    Returns:
        Orthonormal rows, each with its largest component positive. With all of them, V, slopes
        along the directions are `latent_slopes(offsets @ V.T, ...)`.
    """
    assert count <= offsets.shape[2]
    inputs, outputs = (t.detach().cpu().flatten(0, 1).double() for t in (offsets, change))
    moments = inputs.T @ inputs
    response = torch.linalg.pinv(moments, hermitian=True) @ (inputs.T @ outputs)
    # Eigenvectors of the square keep a full set of directions where features are few.
    rows = torch.linalg.eigh(response @ response.T).eigenvectors.T.flip(0)[:count]
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).to(offsets)


def combination_name(direction: Float[Tensor, " latents"]) -> str:
    """Name of a direction by its large components, the largest first: "+0.7 z1 - 0.5 z4".

    Args:
        direction: A unit vector; an axis is called by its own name, "z3".
    """
    parts = sorted(enumerate(direction.tolist()), key=lambda part: -abs(part[1]))
    if parts[0][1] > 0.995:
        return f"z{parts[0][0]}"
    shown = [parts[0], *(part for part in parts[1:MOST_SHIFTS] if abs(part[1]) >= LEAST_PART)]
    signed = [f"{'-' if value < 0 else '+'} {abs(value):.1f} z{place}" for place, value in shown]
    return " ".join([signed[0].replace(" ", "", 1), *signed[1:]])


def named_shifts(shifts: Mapping[str, tuple[Number, Number, Number]]) -> list[tuple[str, float]]:
    """The shifts worth naming, the largest first.

    Args:
        shifts: Of each morphometric with the ends of its interval, as in `LatentEvidence`.
    """
    named = [
        (name, value)
        for name, (value, low, high) in shifts.items()
        if value is not None and low is not None and high is not None
        if abs(value) >= LEAST_SHIFT and (low > 0 or high < 0)
    ]
    return sorted(named, key=lambda shift: -abs(shift[1]))


def _shape(shifts: dict[str, tuple[float, float, float]]) -> str:
    """The shifts worth naming, and the plain morphometrics that stay."""
    named = named_shifts(shifts)
    if not named:
        return "no change of shape or brightness that images share"
    words = [f"{WORDS[name][v < 0]} ({v:+.1f} sd)" for name, v in named[:MOST_SHIFTS]]
    same = [
        word
        for name, word in _PLAIN.items()
        if name in shifts and all(abs(end) < LEAST_SHIFT for end in shifts[name])
    ]
    return ", ".join([*words, f"{' and '.join(same)} unchanged"] if same else words)


def _families(explained: dict[str, float]) -> str:
    """Photometric (with stroke width or colour, as there is), affine; spline if it adds."""
    known = {family: share for family, share in explained.items() if not math.isnan(share)}
    low_level = [family for family in LOW_LEVEL if family in known]
    shown = [*low_level[:1], *(["affine"] if "affine" in known else [])]
    small = max((known[family] for family in shown), default=0.0)
    # A warp is told by what the spline explains beyond the small families.
    if known.get("spline", 0.0) >= small + LEAST_BEYOND:
        shown.append("spline")
    return ", ".join(
        f"{max(0, round(100 * known[family]))} % {family.replace('_', ' + ')}" for family in shown
    )
