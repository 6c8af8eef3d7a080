"""Gates and claims against records made by hand, whose answer is known."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from filtergan.config.site_names import SiteName
from filtergan.measures import claims, gates
from filtergan.measures.claims import SiteEvidence
from filtergan.runs.record import TOO_SHORT, MeasureRecord, Verdict


def entry(value, low=None, high=None, null=None):
    return MeasureRecord(value=value, ci95=(low, high), null=null)


def believable(**changed):
    found = {
        "inversion_gate_share": entry(0.99),
        "compensation": entry(0.6, 0.58, 0.62),
        "compensation_null": entry(0.3, 0.28, 0.32),
        "repeatability": entry(0.9, 0.88, 0.92),
        "on_manifold_share": entry(0.9, 0.88, 0.92),
        "labels_kept": entry(0.99),
        "labels_kept_judges": entry(0.98),
        "image_change": entry(0.3),
    }
    return found | changed


def test_a_believable_traversal_passes_all() -> None:
    assert gates.failures(believable()) == ()
    assert gates.is_invariance(believable())


def test_a_null_that_does_worse_than_nothing_is_no_bar() -> None:
    """One of which transformers turn all images black undoes -4; to beat it proves nothing."""
    dead = {"compensation_null": entry(-4.0, -4.5, -3.5)}
    worse = believable(compensation=entry(-0.1, -0.2, 0.0), **dead)
    assert gates.failures(worse) == ("inversion no better than leaving images as they are",)
    assert gates.failures(believable(**dead)) == ()


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"inversion_gate_share": entry(0.5)}, "inversion fails at too many points"),
        ({"compensation": entry(0.33, 0.31, 0.35)}, "inversion no better than chance"),
        ({"repeatability": entry(0.79)}, "not repeatable"),
        ({"on_manifold_share": entry(0.5)}, "off the manifold"),
    ],
)
def test_each_gate_fails_by_itself(changed: dict, failure: str) -> None:
    assert gates.failures(believable(**changed)) == (failure,)
    assert not gates.is_invariance(believable(**changed))


def test_what_searches_reach_is_told_beside_the_rule() -> None:
    found = believable(search_compensation=entry(0.86, null=0.54))
    told = gates.gates(found)[0].told
    assert told.endswith("; searched image by image 0.86 against 0.54")
    assert "searched" not in gates.gates(believable())[0].told


def test_random_changes_of_filters_judged_against_themselves_are_no_invariance() -> None:
    null = believable(compensation=entry(0.31, 0.29, 0.33))
    assert not gates.is_invariance(null)


def test_too_few_labels_or_no_change_is_no_failure_of_a_gate_but_no_invariance() -> None:
    for changed in (
        {"labels_kept": entry(0.9)},
        {"labels_kept_judges": entry(0.9)},
        {"image_change": entry(0.01)},
    ):
        assert gates.failures(believable(**changed)) == ()
        assert not gates.is_invariance(believable(**changed))


def test_what_could_not_be_tested_is_neither_a_failure_nor_passed() -> None:
    found = {name: value for name, value in believable().items() if name != "repeatability"}
    assert gates.failures(found) == ()
    assert not gates.is_invariance(found)
    assert gates.failures({}) == ()


# claims


def test_pairs_are_matched_within_an_image_each_point_once() -> None:
    early = torch.tensor([[0.20, 0.30], [0.10, math.nan]])
    late = torch.tensor([[0.31, 0.21, 0.205], [0.5, 0.6, 0.7]])
    pairs = claims.matched_pairs(early, late)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 0, 2), (0, 1, 0)]


def test_no_pairs_leave_the_difference_unknown() -> None:
    far = torch.full((3, 2), 0.1), torch.full((3, 2), 0.5)
    pairs = claims.matched_pairs(*far)
    value, ends = claims.difference(*far, pairs, torch.arange(3), resamples=50, seed=0)
    assert len(pairs) == 0
    assert math.isnan(value)
    assert math.isnan(ends[0])


def site(
    layer: str,
    low_level: float,
    transformed: float,
    verdict: Verdict = "converged",
    **changed: Any,
) -> SiteEvidence:
    rng = torch.Generator().manual_seed(0)
    shape = (60, 4)
    noise = [0.02 * torch.randn(shape, generator=rng) for _ in range(2)]
    found = believable(
        locality_r2_k1=entry(0.8, 0.78, 0.82),
        slope_thickness_z0=entry(0.5),
        slope_intensity_z0=entry(-0.4),
        slope_slant_z0=entry(0.1),
        explained_photometric_affine_width=entry(
            transformed, transformed - 0.02, transformed + 0.02
        ),
        topology_changed=entry(0.05, 0.02, 0.08),
    )
    references = {
        "affine": {"explained_photometric_affine_width": entry(0.98, 0.97, 0.99)},
        "null": {"topology_changed": entry(0.01, 0.0, 0.015)},
    }
    return SiteEvidence(
        SiteName(layer, "activation"),
        verdict,
        found | changed,
        references,
        torch.full(shape, 0.3),
        low_level + noise[0],
        transformed + noise[1],
        torch.arange(len(noise[1])),
    )


def decided(early: SiteEvidence, late: SiteEvidence) -> dict[str, str]:
    found = claims.decide(early, late, resamples=200, seed=0)
    return {name: claim.verdict for name, claim in found.items()}


def test_sentences_are_decided_over_layers_and_over_the_readings_of_each() -> None:
    paper = SiteName("conv1", "activation"), SiteName("conv2", "activation")
    early, middle, late = (
        SiteName(layer, point, "natural")
        for layer, point in (("conv2", "activation"), ("conv4", "activation"), ("conv4", "bn5"))
    )
    found = claims.compared([*paper, early, middle, late])
    assert found == {"": (early, late), " at conv4": (middle, late)}
    assert claims.compared([*paper, early]) == {"": paper}
    assert claims.compared([middle, late]) == {"": (middle, late)}
    assert claims.compared([paper[0], early]) == {}


def test_claims_about_colour_leave_out_what_is_said_of_strokes() -> None:
    colour = {
        "explained_colour": entry(0.8),
        "explained_photometric_affine": entry(0.4, 0.38, 0.42),
    }
    references = {"affine": {"explained_photometric_affine": entry(0.98, 0.97, 0.99)}}
    of_strokes = ("topology_changed", "slope_thickness_z0", "explained_photometric_affine_width")

    def coloured(layer: str, low: float) -> SiteEvidence:
        one = site(layer, low, 0.4, "converged", locality_r2_k1=entry(low), **colour)
        found = {name: value for name, value in one.found.items() if name not in of_strokes}
        return replace(one, found=found, references=references)

    found = claims.decide(coloured("early", 0.8), coloured("late", 0.3), resamples=200, seed=0)
    said = [c.says for claim in found.values() for c in claim.conditions]
    assert not any("stroke" in says or "thickness" in says for says in said)
    assert "such as brightness or colour, more" in found["low_level"].sentence
    told = [c.told for c in found["high_level"].conditions if "true affine" in c.says]
    assert told == [
        "explained of the affine reference, and of the change at late@activation: 0.98, 0.40"
    ]


def test_the_papers_world_supports_both_claims() -> None:
    late = site("conv4", 0.3, 0.4, locality_r2_k1=entry(0.4, 0.38, 0.42))
    assert decided(site("conv2", 0.8, 0.9), late) == {
        "low_level": "supported",
        "high_level": "supported",
    }


def test_the_opposite_world_supports_neither() -> None:
    late = site("conv4", 0.8, 0.99, locality_r2_k1=entry(0.8, 0.78, 0.82))
    assert decided(site("conv2", 0.3, 0.5, locality_r2_k1=entry(0.3, 0.28, 0.32)), late) == {
        "low_level": "not supported",
        "high_level": "not supported",
    }


def test_equal_sites_and_failed_inversions_leave_the_claims_open() -> None:
    late = site("conv4", 0.3, 0.4, locality_r2_k1=entry(0.4, 0.38, 0.42))
    failed = site("conv2", 0.8, 0.9, compensation=entry(0.2, 0.19, 0.21))
    assert set(decided(failed, late).values()) == {"undecided"}  # both look at both sites
    same = site("conv4", 0.8, 0.9, locality_r2_k1=entry(0.4, 0.38, 0.42))
    assert decided(site("conv2", 0.8, 0.9), same)["low_level"] == "undecided"


def test_an_optimisers_noise_is_no_high_level_invariance() -> None:
    """White noise is not explained by any family either; naturalness and repeatability tell."""
    late = site(
        "conv4", 0.1, 0.1, on_manifold_share=entry(0.0), repeatability=entry(0.1),
        locality_r2_k1=entry(0.0, -0.1, 0.1),
    )  # fmt: skip
    assert decided(site("conv2", 0.8, 0.9), late)["high_level"] == "not supported"


def test_nothing_is_known_of_a_site_whose_generator_diverged() -> None:
    late = site("conv4", 0.3, 0.4, "diverged", locality_r2_k1=entry(0.4, 0.38, 0.42))
    found = decided(site("conv2", 0.8, 0.9), late)
    assert set(found.values()) == {"undecided"}
    late = site("conv4", 0.3, 0.4, locality_r2_k1=entry(0.4, 0.38, 0.42))
    assert set(decided(site("conv2", 0.8, 0.9, "diverged"), late).values()) == {"undecided"}


def test_a_generator_trained_too_briefly_decides_nothing() -> None:
    """In the opposite world, where longer games decide against both claims."""
    late = site("conv4", 0.8, 0.99, TOO_SHORT, locality_r2_k1=entry(0.8, 0.78, 0.82))
    early = site("conv2", 0.3, 0.5, locality_r2_k1=entry(0.3, 0.28, 0.32))
    assert set(decided(early, late).values()) == {"undecided"}
    claim = claims.decide(early, late, resamples=200, seed=0)["low_level"]
    assert "the generator at conv4@activation was trained too briefly to say" in claim.reason
    found = believable()
    assert set(decided(site("conv2", 0.8, 0.9, TOO_SHORT, **found), late).values()) == {"undecided"}
    ready = site("conv4", 0.3, 0.9, "converged", **found, locality_r2_k1=entry(0.3, 0.28, 0.32))
    assert "supported" not in decided(site("conv2", 0.8, 0.9, TOO_SHORT, **found), ready).values()
    short = site("conv2", 0.8, 0.9, TOO_SHORT, **found)
    reason = claims.decide(short, ready, resamples=200, seed=0)["high_level"].reason
    assert "the generator at conv2@activation was trained too briefly to say" in reason
