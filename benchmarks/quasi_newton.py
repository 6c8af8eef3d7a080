"""A candidate for the inversion: L-BFGS over many images at once, each on its own."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

HISTORY = 8
FIRST = 0.2  # largest change of a pixel in the first step, whose length nothing is known of
LARGEST = 0.5  # in any other

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Values [n] and their gradients, at images [n, c, h, w]."""
Metric = Callable[[Tensor], Tensor]


@dataclass
class Curvature:
    """What steps and the changes of gradient along them say of each image's objective."""

    pairs: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    scale: Tensor | None = None

    def at(self, index: Tensor) -> "Curvature":
        """That of some images."""
        assert self.scale is not None
        pairs = [(s[index], y[index], r[index]) for s, y, r in self.pairs]
        return Curvature(pairs, self.scale[index])

    def applied(self, gradient: Tensor, metric: Metric) -> Tensor:
        """The inverse Hessian's estimate times the gradient (two loops)."""
        weights = []
        for step, change, inverse in reversed(self.pairs):
            weights.append(inverse * _dot(step, gradient))
            gradient = gradient - _wide(weights[-1]) * change
        found = metric(gradient)
        found = found if self.scale is None else found * _wide(self.scale)
        for (step, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            found = found + _wide(weight - inverse * _dot(change, found)) * step
        return found

    def learn(self, step: Tensor, change: Tensor, accepted: Tensor, metric: Metric) -> None:
        """Add a pair for each image whose step was accepted and where the objective is convex."""
        product, length = _dot(step, change), _dot(change, metric(change))
        good = accepted & (product > 1e-8 * length)
        inverse = torch.where(good, 1 / product, 0)
        self.pairs.append((step * _wide(good), change * _wide(good), inverse))
        self.pairs = self.pairs[-HISTORY:]
        before = torch.ones_like(product) if self.scale is None else self.scale
        self.scale = torch.where(good, product / length, before)


def minimise(
    objective: Objective,
    start: Tensor,
    evaluations: int,
    metric: Metric,
    curvature: Curvature | None = None,
) -> tuple[Tensor, Tensor, Curvature]:
    """Minimise each image's objective within [0, 1].

    A step that does not lower the objective is taken back and shortened.

    Args:
        objective: What is to be minimised.
        start: Images.
        evaluations: Of the objective with its gradient.
        metric: In which the first step descends steepest.
        curvature: Of a neighbour's search, to begin with.

    Returns:
        Images, the objective after each evaluation [evaluations, n], and the curvature.
    """
    known = curvature or Curvature()
    x, (value, gradient) = start, objective(start)
    values, rejected = [value], torch.zeros_like(value, dtype=torch.bool)
    direction, length = torch.zeros_like(x), torch.zeros_like(value)
    for _ in range(evaluations - 1):
        free = ~(((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0)))
        downhill = -gradient * free
        wish = known.applied(downhill, metric) * free
        uphill = _dot(wish, gradient) >= 0
        wish = torch.where(_wide(uphill), metric(downhill) * free, wish)
        largest = wish.flatten(1).abs().amax(1).clamp(min=1e-12)
        full = FIRST / largest if known.scale is None else (LARGEST / largest).clamp(max=1)
        direction = torch.where(_wide(rejected), direction, wish)
        length = torch.where(rejected, 0.3 * length, full)

        tried = (x + _wide(length) * direction).clamp(0, 1)
        new, slope = objective(tried)
        accepted = new <= value + 1e-4 * _dot(gradient, tried - x)
        known.learn(tried - x, slope - gradient, accepted, metric)
        x = torch.where(_wide(accepted), tried, x)
        value = torch.where(accepted, new, value)
        gradient = torch.where(_wide(accepted), slope, gradient)
        rejected = ~accepted
        values.append(value)
    return x, torch.stack(values), known


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]
