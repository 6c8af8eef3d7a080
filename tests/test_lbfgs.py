"""The search among images, beside closed forms and scipy's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from filtergan.walks.lbfgs import HISTORY, Curvature, Objective, minimise

SHAPE = (1, 3, 4)


def plain(gradient: Tensor) -> Tensor:
    return gradient


def quadratic(seed: int, n: int) -> tuple[Objective, Tensor, Tensor]:
    """Values, gradients, matrices [n, 12, 12] and minima of n objectives of 12 pixels each."""
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(n, 12, 12, generator=rng, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(12)
    goal = 0.2 + 0.6 * torch.rand(n, 12, generator=rng, dtype=torch.float64)

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        off = x.flatten(1) - goal
        gradient = (matrix @ off[:, :, None])[:, :, 0]
        return (off * gradient).sum(1) / 2, gradient.unflatten(1, SHAPE)

    return objective, matrix, goal


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_quadratic(seed: int) -> None:
    objective, _, goal = quadratic(seed, 3)
    start = torch.full((3, *SHAPE), 0.5, dtype=torch.float64)
    found, values, _ = minimise(objective, start, 150, plain)
    torch.testing.assert_close(found.flatten(1), goal, rtol=0, atol=1e-2)
    assert values.shape == (150, 3)
    torch.testing.assert_close(values[-1], objective(found)[0])
    assert (values.diff(dim=0) <= 0).all(), "no step is kept that does not help"


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_bounds_as_scipy_keeps_them(seed: int) -> None:
    objective, matrix, goal = quadratic(seed, 1)
    goal += torch.linspace(-1, 1, 12)  # most of the free minimum lies outside
    start = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    found, _, _ = minimise(objective, start, 300, plain)

    def value(x: np.ndarray) -> float:
        off = torch.from_numpy(x) - goal[0]
        return float(off @ matrix[0] @ off / 2)

    want = minimize(value, np.full(12, 0.5), method="L-BFGS-B", bounds=[(0, 1)] * 12)
    got = value(found.flatten().numpy())
    assert found.min() >= 0
    assert found.max() <= 1
    assert got <= 1.05 * want.fun + 1e-6


def test_images_do_not_hang_on_each_other() -> None:
    objective, matrix, goal = quadratic(1, 4)
    rng = torch.Generator().manual_seed(7)
    start = torch.rand(4, *SHAPE, generator=rng, dtype=torch.float64)
    together, values, curvature = minimise(objective, start, 9, plain)

    def of_the_third(x: Tensor) -> tuple[Tensor, Tensor]:
        off = x.flatten(1) - goal[2]
        gradient = off @ matrix[2]
        return (off * gradient).sum(1) / 2, gradient.unflatten(1, SHAPE)

    alone, own, known = minimise(of_the_third, start[2:3], 9, plain)
    torch.testing.assert_close(alone, together[2:3])
    torch.testing.assert_close(own, values[:, 2:3])
    assert known is not None
    assert curvature is not None
    for name in ("steps", "changes", "measured", "scale"):
        third = getattr(curvature.at(torch.tensor([2])), name)
        torch.testing.assert_close(getattr(known, name), third)


def test_the_curvature_of_a_neighbour_helps() -> None:
    objective, _, _ = quadratic(2, 50)
    rng = torch.Generator().manual_seed(6)
    start, other = torch.rand(2, 50, *SHAPE, generator=rng, dtype=torch.float64)
    _, _, known = minimise(objective, start, 12, plain)
    few = HISTORY - 2  # evaluations, so that most of what was given is not yet forgotten
    _, cold, _ = minimise(objective, other, few, plain)
    _, warm, _ = minimise(objective, other, few, plain, known)
    assert (warm[-1] < cold[-1]).double().mean() > 0.8
    assert (warm[-1] / cold[-1]).median() < 2 / 3


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_compact_form_is_the_matrix_of_bfgs(pairs: int) -> None:
    """Nocedal and Wright, eq. 6.17: H' = V'HV + r s s', V = I - r y s'; skipped where not taken."""
    rng = torch.Generator().manual_seed(3)
    objective, _, _ = quadratic(4, 1)
    want, found, known = torch.eye(12, dtype=torch.float64), [], None
    for taken in [True] * pairs + [False, True]:
        a, b = torch.rand(2, 1, *SHAPE, generator=rng, dtype=torch.float64)
        step, change = b - a, objective(b)[1] - objective(a)[1]
        learn = Curvature.of if known is None else known.learned
        known = learn(step, change, torch.tensor([taken]), plain)
        if taken:
            found.append((step.flatten(), change.flatten()))
    assert known is not None
    last = found[-1]
    want = want * (last[0] @ last[1]) / (last[1] @ last[1])
    for s, y in found:
        r = 1 / (s @ y)
        v = torch.eye(12) - r * torch.outer(y, s)
        want = v.T @ want @ v + r * torch.outer(s, s)
    g = torch.randn(1, *SHAPE, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(known.applied(g, plain).flatten(), want @ g.flatten())


def test_a_metric_scales_the_first_step() -> None:
    objective, _, _ = quadratic(5, 2)
    start = torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    steps = [minimise(objective, start, 2, lambda g, c=c: c * g)[0] for c in (1.0, 100.0)]
    torch.testing.assert_close(steps[0], steps[1])
    assert (steps[0] - start).abs().max() <= 0.2 + 1e-12


def test_what_is_no_number_is_never_taken() -> None:
    """One image's objective is none beyond its start; the others are found as before."""
    objective, _, _ = quadratic(8, 3)
    start = torch.full((3, *SHAPE), 0.5, dtype=torch.float64)

    def broken(x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = objective(x)
        away = (x[1] != start[1]).any()
        value[1], gradient[1] = (torch.nan, torch.nan) if away else (value[1], gradient[1])
        return value, gradient

    found, values, _ = minimise(broken, start, 12, plain)
    whole, _, _ = minimise(objective, start, 12, plain)
    assert torch.equal(found[1], start[1])
    assert values.isfinite().all()
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])
