"""The time left of a study: proportions of what is expected, at the pace of what is measured."""

import pytest

from filtergan.machine.outlook import Outlook, Part

PARTS = [
    Part("train", "network", 10.0),
    Part("game", "one", 20.0),
    Part("game", "another", 40.0),
    Part("report", "", 5.0),
]


def begun() -> Outlook:
    outlook = Outlook(PARTS)
    outlook.enter("train", "stage 1 of 3")
    outlook.begin("network")
    return outlook


def test_nothing_is_said_before_anything_is_measured() -> None:
    outlook = begun()
    assert outlook.left() is None
    outlook.advance(0.0, 0.01, 3.0)  # too little to tell by
    assert outlook.left() is None


def test_the_first_bar_sets_the_pace_of_all() -> None:
    outlook = begun()
    outlook.advance(0.0, 0.25, 5.0)  # twice as long as expected
    assert outlook.left() == pytest.approx(15 + 2 * (20 + 40 + 5))
    outlook.advance(0.5, 0.75, 5.0)  # half was done by an earlier run
    assert outlook.left() == pytest.approx(5 + 2 * (20 + 40 + 5))


def test_a_stage_goes_at_its_own_pace_and_others_at_that_of_all() -> None:
    outlook = begun()
    outlook.advance(0.0, 1.0, 9.0)
    outlook.end()
    outlook.leave("train", 10.0)  # with what shows no bar
    assert outlook.left() == pytest.approx(20 + 40 + 5)
    outlook.enter("game", "stage 2 of 3")
    outlook.begin("unheard of")
    assert outlook.left() == pytest.approx(65)
    outlook.end()
    outlook.begin("one")
    outlook.advance(0.0, 1.0, 80.0)
    outlook.end()
    assert outlook.left() == pytest.approx(4 * 40 + 5 * 90 / 30)
    assert outlook.spent == pytest.approx(90)
    outlook.begin("another")
    outlook.advance(0.0, 0.01, 10.0)  # at the pace of its stage, less what is spent
    assert outlook.left() == pytest.approx(4 * 40 - 10 + 5 * 90 / 30)


def test_a_stage_without_expectations_sets_no_pace() -> None:
    outlook = Outlook(PARTS)
    outlook.leave("unheard of", 1000.0)
    assert outlook.left() is None
    outlook.leave("train", 5.0)  # done by an earlier run
    assert outlook.left() == pytest.approx(0.5 * (20 + 40 + 5))


def test_no_pace_changes_what_is_fixed() -> None:
    outlook = Outlook(
        [
            Part("train", "network", 10.0),
            Part("measure", "one", 12.0, fixed=10.0),
            Part("measure", "another", 11.0, fixed=10.0),
            Part("report", "", 5.0, fixed=5.0),
        ]
    )
    outlook.leave("train", 40.0)
    assert outlook.left() == pytest.approx((10 + 4 * 2) + (10 + 4 * 1) + 5)
    outlook.enter("measure", "stage 2 of 3")
    outlook.begin("one")
    outlook.advance(0.0, 0.01, 8.0)  # too little to tell by
    assert outlook.left() == pytest.approx((10 + 4 * 2 - 8) + (10 + 4 * 1) + 5)
    outlook.advance(0.0, 1.0, 14.0)  # its own pace is 2
    outlook.end()
    assert outlook.left() == pytest.approx((10 + 2 * 1) + 5)
    assert outlook.spent == pytest.approx(54)
    outlook.leave("measure", 24.0)
    assert outlook.left() == pytest.approx(5)


def test_what_is_fixed_sets_no_pace() -> None:
    outlook = Outlook([Part("report", "", 5.0, fixed=5.0), Part("game", "one", 20.0)])
    outlook.leave("report", 50.0)
    assert outlook.left() is None
