"""L-BFGS over many images at once, each searched on its own (Nocedal and Wright, algorithm 7.4)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HISTORY = 8  # pairs of a step and the change of gradient along it
FIRST = 0.2  # largest change of a pixel in the first step, whose length nothing is known of
LARGEST = 0.5  # in any other
SHORTENED = 0.3  # a step that did not lower the objective
DECREASE = 1e-4  # of the objective, over what the gradient promises, that is enough

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Values [n] and gradients [n, c, h, w] at images [n, c, h, w], none depending on the others."""
Metric = Callable[[Tensor], Tensor]
"""A positive map of gradients to steps, the same for every image: what the search begins with."""


@dataclass(frozen=True)
class Curvature:
    """What steps, and the changes of gradient along them, say of each image's objective.

    Attributes:
        pairs: Of the last steps: step, change of gradient, and one over their product. Zeros where
            a step was not taken, or where the objective was not convex along it.
        scale: Of the metric; None before the first step.
    """

    pairs: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()
    scale: Float[Tensor, " n"] | None = None

    def at(self, index: Tensor) -> "Curvature":
        """That of some images."""
        pairs = tuple((s[index], y[index], r[index]) for s, y, r in self.pairs)
        return Curvature(pairs, None if self.scale is None else self.scale[index])

    def applied(self, gradient: Tensor, metric: Metric) -> Tensor:
        """The estimate of the inverse Hessian times a gradient, by two loops."""
        weights = []
        for step, change, inverse in reversed(self.pairs):
            weights.append(inverse * _dot(step, gradient))
            gradient = gradient - _wide(weights[-1]) * change
        found = metric(gradient)
        found = found if self.scale is None else found * _wide(self.scale)
        for (step, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            found = found + _wide(weight - inverse * _dot(change, found)) * step
        return found

    def learned(
        self, step: Tensor, change: Tensor, taken: Bool[Tensor, " n"], metric: Metric
    ) -> "Curvature":
        """With one more pair, of those images whose step was taken."""
        product, length = _dot(step, change), _dot(change, metric(change))
        good = taken & (product > 1e-8 * length)
        pair = (step * _wide(good), change * _wide(good), torch.where(good, 1 / product, 0))
        before = torch.ones_like(product) if self.scale is None else self.scale
        scale = torch.where(good, product / length, before)
        return Curvature((*self.pairs, pair)[-HISTORY:], scale)


def minimise(
    objective: Objective,
    start: Float[Tensor, "n c h w"],
    evaluations: int,
    metric: Metric,
    curvature: Curvature | None = None,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "evaluations n"], Curvature]:
    """Minimise an objective of every image within [0, 1].

    A pixel at a bound that wants to leave it stays. A step that does not lower the objective
    enough is taken back, and tried again shorter.

    Args:
        objective: What is to be minimised.
        start: Images.
        evaluations: How often the objective and its gradient are computed, the first time at the
            start.
        metric: Gives the first step, and what nothing has been learned of later.
        curvature: Of a search near by, to begin with.

    Returns:
        Images, the objective after every evaluation, and the curvature.
    """
    known = Curvature() if curvature is None else curvature
    x, (value, gradient) = start, objective(start)
    values, refused = [value], torch.zeros_like(value, dtype=torch.bool)
    direction, length = torch.zeros_like(x), torch.zeros_like(value)
    for _ in range(evaluations - 1):
        free = ~(((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0)))
        downhill = -gradient * free
        wish = known.applied(downhill, metric) * free
        uphill = _dot(wish, gradient) >= 0
        wish = torch.where(_wide(uphill), metric(downhill) * free, wish)
        largest = wish.flatten(1).abs().amax(1).clamp(min=1e-12)
        full = FIRST / largest if known.scale is None else (LARGEST / largest).clamp(max=1)
        direction = torch.where(_wide(refused), direction, wish)
        length = torch.where(refused, SHORTENED * length, full)

        tried = (x + _wide(length) * direction).clamp(0, 1)
        new, slope = objective(tried)
        step = tried - x
        taken = new <= value + DECREASE * _dot(gradient, step)
        known = known.learned(step, slope - gradient, taken, metric)
        x = torch.where(_wide(taken), tried, x)
        value = torch.where(taken, new, value)
        gradient = torch.where(_wide(taken), slope, gradient)
        refused = ~taken
        values.append(value)
    return x, torch.stack(values), known


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]
