"""L-BFGS over many images at once, each searched on its own, in its compact representation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HISTORY = 5  # steps, with the changes of gradient along them
FIRST = 0.2  # largest change of a pixel in the first step, whose length nothing is known of
LARGEST = 0.5  # in any other
SHORTENED = 0.3  # a step that did not lower the objective
DECREASE = 1e-4  # of the objective, over what the gradient promises, that is enough

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Values [n] and gradients [n, c, h, w] at points [n, c, h, w], none depending on the others."""
Metric = Callable[[Tensor], Tensor]
"""A positive map of gradients to steps, the same for every image: what the search begins with."""


@dataclass(frozen=True)
class Curvature:
    """What the last steps, and the changes of gradient along them, say of each image's objective.

    Where a step was not taken, or the objective was not convex along it, step and change are zero.

    Attributes:
        steps: s.
        changes: y, of the gradient.
        measured: The changes in the metric, M y.
        scale: Of the metric.
    """

    steps: Float[Tensor, "n h p"]
    changes: Float[Tensor, "n h p"]
    measured: Float[Tensor, "n h p"]
    scale: Float[Tensor, " n"]

    @classmethod
    def of(cls, step: Tensor, change: Tensor, taken: Tensor, metric: Metric) -> "Curvature":
        """What the first step says."""
        none = step.flatten(1)[:, None][:, :0]
        known = cls(none, none, none, step.new_ones(len(step)))
        return known.learned(step, change, taken, metric)

    def at(self, index: Tensor) -> "Curvature":
        """That of some images."""
        steps, changes, measured, scale = (part[index] for part in self._parts())
        return Curvature(steps, changes, measured, scale)

    def applied(self, gradient: Tensor, metric: Metric) -> Tensor:
        """The estimate of the inverse Hessian times a gradient (Byrd et al. 1994, theorem 2.2)."""
        # Rows times matrices: columns take ten times as long.
        g, m = gradient.flatten(1)[:, None], metric(gradient).flatten(1)[:, None]
        scale = self.scale[:, None, None]
        products = self.steps @ self.changes.mT
        own = products.diagonal(dim1=1, dim2=2)
        upper = products.triu() + torch.diag_embed((own == 0).to(own))
        middle = torch.diag_embed(own) + scale * (self.changes @ self.measured.mT)
        first = torch.linalg.solve_triangular(upper, (g @ self.steps.mT).mT, upper=True)
        wanted = middle @ first - scale * (g @ self.measured.mT).mT
        second = torch.linalg.solve_triangular(upper.mT, wanted, upper=False)
        found = scale * (m - first.mT @ self.measured) + second.mT @ self.steps
        return found.view_as(gradient)

    def learned(
        self, step: Tensor, change: Tensor, taken: Bool[Tensor, " n"], metric: Metric
    ) -> "Curvature":
        """With one more step, of those images that took it."""
        measured = metric(change)
        product, length = _dot(step, change), _dot(change, measured)
        good = taken & (product > 1e-8 * length)
        new = [v.where(_wide(good), 0).flatten(1)[:, None] for v in (step, change, measured)]
        steps, changes, measured = (
            torch.cat([old[:, -HISTORY + 1 :], one], dim=1)
            for old, one in zip(self._parts(), new, strict=False)
        )
        scale = torch.where(good, product / length, self.scale)
        return Curvature(steps, changes, measured, scale)

    def _parts(self) -> tuple[Tensor, ...]:
        return self.steps, self.changes, self.measured, self.scale


def minimise(
    objective: Objective,
    start: Float[Tensor, "n c h w"],
    evaluations: int,
    metric: Metric,
    curvature: Curvature | None = None,
    bounds: tuple[float, float] = (0, 1),
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "evaluations n"], Curvature | None]:
    """Minimise an objective of every image, or of other numbers, within bounds.

    A number at a bound that wants to leave it stays. A step that does not lower the objective
    enough is taken back, and tried again shorter.

    Args:
        objective: What is to be minimised.
        start: Images.
        evaluations: How often the objective and its gradient are computed, the first time at the
            start.
        metric: Gives the first step, and what nothing has been learned of later.
        curvature: Of a search near by, to begin with.
        bounds: Of every number; by default those of pixels.

    Returns:
        Images, the objective after every evaluation, and the curvature; None: no step was made.
    """
    known, (low, high) = curvature, bounds
    x, (value, gradient) = start, objective(start)
    values, refused = [value], torch.zeros_like(value, dtype=torch.bool)
    direction, length = torch.zeros_like(x), torch.zeros_like(value)
    for _ in range(evaluations - 1):
        free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
        downhill = -gradient * free
        wish = (metric(downhill) if known is None else known.applied(downhill, metric)) * free
        downwards = _dot(wish, gradient) < 0  # False also where it is no number
        wish = torch.where(_wide(downwards), wish, metric(downhill) * free)
        largest = wish.flatten(1).abs().amax(1).clamp(min=1e-12)
        full = FIRST / largest if known is None else (LARGEST / largest).clamp(max=1)
        direction = torch.where(_wide(refused), direction, wish)
        length = torch.where(refused, SHORTENED * length, full)

        tried = (x + _wide(length) * direction).clamp(low, high)
        new, slope = objective(tried)
        step, change = tried - x, slope - gradient
        taken = new <= value + DECREASE * _dot(gradient, step)
        learn = Curvature.of if known is None else known.learned
        known = learn(step, change, taken, metric)
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
