"""Comparing what studies record."""

from typing import Any

import pytest


def alike(one: Any, other: Any) -> bool:
    """Whether two parts of a record agree but for rounding.

    A matrix product may add in another order where its operands lie elsewhere in memory, so what is
    fitted to images ends within a millionth of itself in another process.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(alike(a, b) for a, b in pairs)
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-3, abs=1e-4)
    return bool(one == other)
