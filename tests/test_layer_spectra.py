"""Spectra along a network, by kind of change: sums against those by hand."""

import pytest
import torch
from layer_spectra import (
    DIRECTIONS,
    KINDS,
    by_chance,
    figure,
    parts_of,
    rows_of,
    sums_of,
    undone_of,
)

from filtergan.images.image_fields import APART, FieldSpace

LIGHT, TEXTURE, POSE = KINDS


def direction(undone: float, null: float, **kinds: float) -> dict:
    return {
        "kinds": dict.fromkeys(APART, 0.0) | kinds,
        "ceiling": {"value": undone, "ci95": [undone - 0.1, undone + 0.1], "null": null},
    }


ONE = [
    direction(0.8, 0.2, gain=0.5, offset=0.25, blur=0.25),
    direction(0.4, -0.3, flow=1.0),
    direction(-0.6, -2.0, blur=1.0),
]
CHANCE = dict.fromkeys(APART, 1 / len(APART))
FOUND = {
    "chance": CHANCE,
    "layers": {"conv1": {"directions": ONE + 5 * [direction(-1.0, -1.0, flow=1.0)]}},
}


def test_every_kind_of_field_is_told_as_one_kind_of_change() -> None:
    assert sorted(one for kinds in KINDS.values() for one in kinds) == sorted(APART)
    assert parts_of(ONE[0]["kinds"]) == {LIGHT: 0.75, TEXTURE: 0.25, POSE: 0.0}


def test_what_is_made_worse_counts_as_nothing() -> None:
    wanted = {LIGHT: 0.8 * 0.75, TEXTURE: 0.8 * 0.25, POSE: 0.4}
    assert undone_of(ONE) == pytest.approx(wanted)
    head, [line, chance] = sums_of(FOUND)
    assert head == ["layer", *KINDS, f"in all, of {DIRECTIONS}"]
    assert chance == ["a mixture at random", "50% of it", "25% of it", "25% of it", "-"]
    assert sums_of({})[1] == []
    assert line == ["conv1", "0.60", "0.20", "0.40", "1.20 (1.00 to 1.40); null 0.20"]


def test_a_direction_is_named_by_what_it_is_most() -> None:
    head, lines = rows_of(FOUND)
    assert head == ["direction", "conv1"]
    assert lines[0] == ["1", f"{LIGHT} 75%: 0.80 (null 0.20)"]
    assert lines[1] == ["2", f"{POSE} 100%: 0.40 (null -0.30)"]
    assert rows_of({}) == (["direction"], [])


def test_the_bars_of_the_figure_reach_the_sums() -> None:
    axes = figure(FOUND).axes[0]
    tops = [bars[0].get_y() + bars[0].get_height() for bars in axes.containers]
    assert tops == pytest.approx([0.6, 0.8, 1.2])


def test_a_mixture_at_random_is_of_the_kinds_that_many_of_them_are_of() -> None:
    """Beside 2,000 drawn mixtures of fields, each changed a little."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(3, 3, 8, 8, generator=rng)
    space = FieldSpace((3, 8, 8), APART, 4)
    tangents = space.tangents(x).flatten(1)
    parts, start = {}, 0
    for kind, channels in space.channels.items():
        own = slice(start, start + 16 * channels)
        drawn = torch.randn(2000, 16 * channels, generator=rng)
        parts[kind], start = float((drawn @ tangents[own]).square().sum()), own.stop
    wanted = {kind: part / sum(parts.values()) for kind, part in parts.items()}
    assert by_chance(x) == pytest.approx(wanted, rel=0.05)
