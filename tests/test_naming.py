"""Sentences about latents against written ones, leading directions against a planted map."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filtergan.measures.gates import failures
from filtergan.measures.morphometry import MORPHOMETRY, latent_slopes
from filtergan.measures.naming import (
    WORDS,
    LatentEvidence,
    ceiling_of,
    combination_name,
    describe,
    leading_combinations,
    shifts,
)
from filtergan.runs.reading import read_record
from filtergan.runs.record import CeilingRecord, MeasureRecord

RESULTS = Path(__file__).parents[1] / "results"
THICKER = LatentEvidence(
    name="z3",
    radius=2.0,
    shifts={"thickness": (0.8, 0.6, 1.0), "slant": (0.01, -0.05, 0.06)},
    explained={"photometric": 0.2, "photometric_width": 0.71, "affine": 0.06, "spline": 0.73},
    labels_kept=0.99,
    compensation=0.5,
    compensation_null=0.27,
)


# describe


def test_the_sentence_of_the_issue():
    wanted = (
        "z3: thicker strokes (+0.8 sd), slant unchanged; 71 % photometric + width, 6 % affine; "
        "undone 0.50; labels kept 0.99"
    )
    assert describe(THICKER) == wanted


def test_the_ceiling_stands_beside_what_is_undone():
    said = describe(replace(THICKER, ceiling=("thicker 0.7 px", 0.724)))
    assert "; undone 0.50 (ceiling of thicker 0.7 px 0.72); labels kept" in said


def test_the_ceiling_is_that_of_the_family_that_explains_most():
    def ceiling(family, value):
        found = MeasureRecord(value=value)
        return CeilingRecord(
            family=family, image_change=0.5, response_change=0.5, compensation=found, share=found
        )

    known = {
        "thinner": ceiling("width", 0.2),
        "thicker": ceiling("width", 0.4),
        "rotation": ceiling("rotation", -0.4),
        "shift": ceiling("shift", 0.8),
    }
    assert ceiling_of({"width": 0.6, "affine": 0.7}, known) == ("thicker", 0.4)
    assert ceiling_of({"width": 0.4, "affine": 0.7}, known) == ("shift", 0.8)  # a part of affine
    assert ceiling_of({"width": 0.4, "affine": 0.4, "spline": 0.9}, known) is None
    assert ceiling_of({"width": 0.6}, {}) is None
    assert ceiling_of({"width": None, "affine": float("nan")}, known) is None


def known(value):
    assert value is not None
    return value


@pytest.mark.parametrize("study", ["mnist_natural", "mnist_both", "digits", "faces"])
def test_committed_sentences_are_those_of_their_numbers(study):
    """Every sentence of a record is what its measures say, ceilings included."""
    for path in (RESULTS / study).glob("seed*/record.json"):
        for site in read_record(path.parent).sites.values():
            for latent in site.latents:
                shifts = {
                    name: (known(value), known(low), known(high))
                    for name, (value, low, high) in latent.shifts.items()
                }
                evidence = LatentEvidence(
                    name=latent.name,
                    radius=4.0,
                    shifts=shifts,
                    explained={name: known(share) for name, share in latent.explained.items()},
                    labels_kept=known(latent.labels_kept),
                    compensation=known(latent.compensation),
                    compensation_null=known(
                        latent.compensation_null or site.measures["compensation"].null
                    ),
                    failures=failures(site.measures),
                    ceiling=ceiling_of(latent.explained, site.ceilings),
                )
                assert latent.sentence == describe(evidence)


def test_shifts_are_named_largest_first_and_at_most_three():
    evidence = replace(
        THICKER,
        shifts={
            "area": (0.3, 0.2, 0.4),
            "thickness": (-0.5, -0.6, -0.4),
            "slant": (0.9, 0.8, 1.0),
            "intensity": (-1.2, -1.3, -1.1),
        },
    )
    named = describe(evidence).split(": ")[1].split(";")[0]
    assert named == "fainter (-1.2 sd), slanted right (+0.9 sd), thinner strokes (-0.5 sd)"


@pytest.mark.parametrize(
    "shift", [(0.5, -0.1, 1.1), (0.19, 0.1, 0.28), (-0.6, -1.5, 0.3), (0.0, 0.0, 0.0)]
)
def test_small_and_uncertain_shifts_are_not_named(shift):
    said = describe(replace(THICKER, shifts={"thickness": shift, "slant": shift}))
    assert said.startswith("z3: no change of shape or brightness that images share; 71 %")


def test_only_what_is_known_to_be_small_is_unchanged():
    unsure = {"thickness": (0.8, 0.6, 1.0), "slant": (0.1, -0.3, 0.5), "intensity": (0.1, 0, 0.15)}
    said = describe(replace(THICKER, shifts=unsure))
    assert "thicker strokes (+0.8 sd), brightness unchanged;" in said
    assert "slant" not in said


@pytest.mark.parametrize("name", MORPHOMETRY)
def test_every_morphometric_has_words_for_both_directions(name):
    up, down = (
        describe(replace(THICKER, shifts={name: (v, v - 0.1, v + 0.1)})) for v in (0.7, -0.7)
    )
    assert f"{WORDS[name][0]} (+0.7 sd)" in up
    assert f"{WORDS[name][1]} (-0.7 sd)" in down
    assert len({word for pair in WORDS.values() for word in pair}) == 2 * len(WORDS)


def test_failures_are_said_first():
    said = describe(replace(THICKER, failures=("inversion gate 0.20", "ICC 0.40")))
    assert said.startswith("z3: not to be believed (inversion gate 0.20; ICC 0.40): thicker")


@pytest.mark.parametrize("null", [0.5, 0.6, math.nan])
def test_compensation_not_above_its_null_is_a_failure(null):
    said = describe(replace(THICKER, compensation_null=null))
    assert said.startswith("z3: not to be believed (compensation 0.50, no more than the")


def test_colour_images_are_described_by_families_only():
    colour = replace(
        THICKER, shifts={}, explained={"photometric": 0.4, "affine": 0.1, "spline": 0.9}
    )
    wanted = "z3: 40 % photometric, 10 % affine, 90 % spline; undone 0.50; labels kept 0.99"
    assert describe(colour) == wanted


def test_undefined_numbers_are_left_out():
    evidence = replace(THICKER, shifts={}, explained={"affine": math.nan}, labels_kept=math.nan)
    assert describe(evidence) == "z3: undone 0.50"
    some = replace(THICKER, explained={"photometric": math.nan, "affine": -0.01, "spline": 0.4})
    assert "; 0 % affine, 40 % spline; undone 0.50; labels" in describe(some)


def test_evidence_can_be_kept():
    kept = asdict(THICKER)
    assert LatentEvidence(**kept) == THICKER


def test_shifts_are_slopes_times_the_radius():
    rng = torch.Generator().manual_seed(0)
    offsets = torch.randn(60, 4, 2, generator=rng)
    change = offsets @ torch.randn(2, 9, generator=rng) + torch.randn(60, 4, 9, generator=rng)
    change[..., 8] = torch.nan
    slopes = latent_slopes(offsets, change, torch.ones(9), resamples=100, seed=0)
    found = shifts(slopes, 1, 3.0)
    assert list(found) == list(MORPHOMETRY[:8])
    for column, ends in enumerate(found.values()):
        wanted = [3 * float(part[1, column]) for part in (slopes.value, slopes.low, slopes.high)]
        assert ends == pytest.approx(wanted)


# directions


@given(st.integers(0, 20), st.integers(2, 6))
def test_planted_directions_are_found_in_order(seed, latents):
    rng = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(latents, latents, generator=rng)).Q.T
    images = torch.linalg.qr(torch.randn(12, latents, generator=rng)).Q.T
    strength = torch.arange(latents, 0, -1.0) ** 2
    offsets = torch.randn(100, 8, latents, generator=rng)
    change = (offsets @ basis.T * strength) @ images
    change += 0.01 * torch.randn(change.shape, generator=rng)
    found = leading_combinations(offsets, change, latents)
    assert (found * basis).sum(dim=1).abs().min() > 0.99
    torch.testing.assert_close(found @ found.T, torch.eye(latents), atol=1e-5, rtol=0)
    assert (found.gather(1, found.abs().argmax(dim=1, keepdim=True)) > 0).all()
    torch.testing.assert_close(leading_combinations(offsets, change, 1), found[:1])


def test_one_feature_still_gives_a_full_set_of_directions():
    rng = torch.Generator().manual_seed(0)
    offsets = torch.randn(50, 2, 4, generator=rng)
    found = leading_combinations(offsets, offsets[..., 2:3], 4)
    assert found[0].tolist() == pytest.approx([0, 0, 1, 0], abs=1e-5)
    torch.testing.assert_close(found @ found.T, torch.eye(4), atol=1e-5, rtol=0)


def test_slopes_along_a_full_set_of_directions_are_rotated_slopes():
    rng = torch.Generator().manual_seed(0)
    offsets = torch.randn(80, 4, 3, generator=rng)
    plan = torch.tensor([[1.0], [-2.0], [0.5]])
    directions = leading_combinations(offsets, offsets @ plan, 3)
    turned = latent_slopes(
        offsets @ directions.T, offsets @ plan, torch.ones(1), resamples=20, seed=0
    )
    torch.testing.assert_close(turned.value, (directions @ plan).double(), atol=1e-5, rtol=0)
    assert turned.value[0].abs() == pytest.approx(float(plan.norm()), rel=1e-5)


@pytest.mark.parametrize(
    ("direction", "name"),
    [
        ([0.0, 0, 0, 1.0], "z3"),
        ([0.1, 0.7, 0.0, 0.1, -0.5], "+0.7 z1 - 0.5 z4"),
        ([0.8, 0.2, 0.2], "+0.8 z0"),
        ([0.5, 0.5, 0.5, 0.5], "+0.5 z0 + 0.5 z1 + 0.5 z2"),
    ],
)
def test_directions_are_named_by_their_large_parts(direction, name):
    assert combination_name(torch.tensor(direction)) == name
