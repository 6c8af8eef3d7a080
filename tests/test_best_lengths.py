"""The study of ceilings at two lengths: what its table says."""

import best_lengths

from filtergan.runs.record import CeilingRecord, MeasureRecord


def told(fitted: float, best: float | None) -> dict[str, object]:
    one = CeilingRecord(
        family="shift",
        image_change=0.5,
        response_change=0.4,
        compensation=MeasureRecord(value=fitted, null=-0.5),
        share=MeasureRecord(value=0.5),
        at_best=None if best is None else MeasureRecord(value=best, null=-0.7),
    )
    return one.model_dump(mode="json")


def test_a_cell_has_the_range_over_runs() -> None:
    found = {
        "a/seed0": {"sites": {"conv2@conv": {"shift": told(0.25, 0.5)}}},
        "a/seed1": {"sites": {"conv2@conv": {"shift": told(-0.25, 0.75)}}},
    }
    head, lines = best_lengths.rows_of(found)
    assert head[1] == "conv2@conv: as fitted; share; at the best length"
    assert lines == [["shift", "-0.25 to 0.25; 0.50; **0.50 to 0.75**; null -0.70"]]


def test_records_that_know_no_other_length_have_the_fitted_one() -> None:
    found = {"a/seed0": {"sites": {"conv2@conv": {"shift": told(0.25, None)}}}}
    assert best_lengths.rows_of(found)[1] == [["shift", "0.25; 0.50; **0.25**; null -0.50"]]
    assert best_lengths.rows_of({})[1] == []
