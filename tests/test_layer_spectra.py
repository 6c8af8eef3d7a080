"""Spectra along a network, by kind of change: means against those by hand."""

from typing import Any

import numpy as np
import pytest
from layer_spectra import figure, layers_of, rows_of, shares_of


def shares(*values: float) -> dict[str, list[float]]:
    return {"shares": list(values), "nulls": [value / 2 for value in values]}


def asked(*values: float) -> dict[str, Any]:
    return {"light": shares(*values), "texture": shares(0.5, 0.5), "pose": shares(0.2, 0.0)}


FOUND = {
    "seeds": {"0": {"conv2": asked(0.9, 0.7), "conv1": asked(0.4)}, "1": {"conv2": asked(1.0)}}
}


def test_means_are_over_directions_then_seeds() -> None:
    assert shares_of(FOUND, "conv2", "light", "shares") == [[0.9, 0.7], [1.0]]
    assert shares_of(FOUND, "conv1", "light", "nulls") == [[0.2]]  # not with the second seed
    head, [line, other] = rows_of(FOUND)
    assert head[:3] == ["layer", "light: first", "light: mean of 8"]
    assert line[1:3] == ["0.95 (0.90 to 1.00); null 0.47", "0.90 (0.80 to 1.00); null 0.45"]
    assert line[5:] == ["0.20 (0.20 to 0.20); null 0.10", "0.10 (0.10 to 0.10); null 0.05"]
    assert other[1:3] == 2 * ["0.40; null 0.20"]
    assert rows_of({}) == (head, [])


def test_layers_stand_as_the_network_has_them() -> None:
    assert layers_of(FOUND) == ["conv2", "conv1"]
    axes = figure(FOUND).axes[0]
    lines = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert lines[0] == pytest.approx([0.9, 0.4])
    assert lines[1] == pytest.approx([0.45, 0.2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv2", "conv1"]
