"""What became of a game: converged, collapsed, diverged, or too short to say."""

import json
from pathlib import Path

import pytest

from filtergan.measures.verdicts import LEAST_STEPS, told_of, verdict
from filtergan.runs.record import TOO_SHORT, Found, MeasureRecord

RESULTS = Path(__file__).parents[1] / "results"


def found(
    accuracy: float | None, low: float | None, r2: float | None, spread: float | None
) -> Found:
    return {
        "real_accuracy": MeasureRecord(value=0.99),
        "single_draw_accuracy": MeasureRecord(value=accuracy, ci95=(low, 1.0)),
        "latent_r2_mean": MeasureRecord(value=r2),
        "filter_spread": MeasureRecord(value=spread),
    }


WELL = [
    (found(0.97, 0.96, 0.9, 0.15), "converged", "0.970"),
    (found(0.97, 0.96, 0.3, 0.02), "converged", "0.970"),
]
BADLY = [
    (found(0.97, 0.96, 0.29, 0.15), "collapsed", "latent is ignored"),
    (found(0.97, 0.96, -2.0, 0.15), "collapsed", "latent is ignored"),
    (found(0.97, 0.96, None, 0.15), "collapsed", "latent is ignored"),
    (found(0.97, 0.96, 0.9, 0.019), "collapsed", "all draws are alike"),
    (found(0.2, 0.1, 0.9, 0.15), "diverged", "no better than random"),
    (found(0.05, 0.04, 0.0, 0.0), "diverged", "no better than random"),
]
NO_NUMBERS = [
    (found(None, None, 0.9, 0.15), "diverged", "no better than random"),
    (found(0.97, 0.96, 0.9, None), "diverged", "no better than random"),
]


@pytest.mark.parametrize(("measures", "expected", "why"), [*WELL, *BADLY, *NO_NUMBERS])
def test_a_long_game(measures: Found, expected: str, why: str) -> None:
    given, reason = verdict(measures, null=0.1, steps=LEAST_STEPS)
    assert given == expected
    assert why in reason


def test_images_that_tell_the_latent_count_before_q() -> None:
    for r2, expected in ((0.9, "converged"), (0.2, "collapsed")):
        measures = found(0.97, 0.96, 1.1 - r2, 0.15) | {"step_r2_mean": MeasureRecord(value=r2)}
        given, reason = verdict(measures, null=0.1, steps=LEAST_STEPS)
        assert given == expected
        assert f"{r2:.2f}" in reason


@pytest.mark.parametrize(("measures", "expected", "why"), [*WELL, *NO_NUMBERS])
def test_a_short_game_of_which_the_numbers_say_enough(
    measures: Found, expected: str, why: str
) -> None:
    given, reason = verdict(measures, null=0.1, steps=1)
    assert given == expected
    assert why in reason


@pytest.mark.parametrize(("measures", "_", "why"), BADLY)
def test_a_short_game_that_may_have_gone_on(measures: Found, _: str, why: str) -> None:
    given, reason = verdict(measures, null=0.1, steps=LEAST_STEPS - 1)
    assert given == TOO_SHORT
    assert why in reason
    assert f"had {LEAST_STEPS - 1} steps only, fewer than the {LEAST_STEPS}" in reason


def test_no_shorter_study_is_known_to_converge() -> None:
    records = [json.loads(path.read_bytes()) for path in RESULTS.rglob("record.json")]
    steps = [
        record["config"]["gan"]["steps"]
        for record in records
        if any(site.get("verdict") == "converged" for site in record.get("sites", {}).values())
    ]
    assert min(steps) == LEAST_STEPS


def test_a_verdict_in_a_sentence() -> None:
    assert told_of("collapsed") == "collapsed"
    assert told_of(TOO_SHORT) == "was trained too briefly to say"
    assert told_of(None) == "was not assessed"
