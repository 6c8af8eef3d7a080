"""The inversion beside its floor, beside plenoptic, and how many gradients it takes."""

import time
from dataclasses import dataclass
from typing import Any

import quasi_newton
import torch
from subject import Subject
from timing import Machine, Spread, Times
from torch import Tensor, nn

from filtergan.config import TraversalConfig
from filtergan.traversal import gaussian_blur, grid_dimensions, invert, latent_grid, walk

GRID, EXTENT = 7, 3.0
IMAGES = 3  # of which grids are inverted where evaluations are counted
LONG = 400  # steps after which an inversion is taken to have reached its plateau
NEAR = 1.05  # times the plateau
RATES = (0.03, 0.1, 0.3)  # of Adam at a constant rate
PLACES = (3, 10, 16, 22, 30, 45)  # points of a grid that plenoptic inverts, one by one
METAMER_RATES = (0.01, 0.03, 0.1)  # the first is its own
PATIENCE = 1500  # its steps at most


class _Grids:
    """The points of some images' grids, and what is minimised at each."""

    def __init__(self, subject: Subject, images: int, seed: int = 0) -> None:
        gan, self.site, self.prior = subject.gan, subject.site, subject.prior
        self.config, points = TraversalConfig(), GRID**2
        self.z = gan.latents(images, seed, "bench")
        offsets = torch.linspace(-EXTENT, EXTENT, GRID).to(self.z)
        dims = grid_dimensions(images, gan.latent, seed)
        grids = [
            latent_grid(z, (int(i), int(j)), offsets).flatten(0, 1)
            for z, (i, j) in zip(self.z, dims, strict=True)
        ]
        self.x, self.targets = subject.test[:images], torch.stack(grids)
        self.images = self.x.repeat_interleave(points, 0)
        self.filters = gan.draw(self.targets.flatten(0, 1))
        base = gan.draw(self.z).repeat_interleave(points, 0)
        with torch.no_grad():
            self.profiles = self.site.respond(self.site.input(self.images), base)

    def objective(self, chosen: Tensor) -> quasi_newton.Objective:
        """Residual of eq. 6 with the prior, and its gradient, at some points."""
        filters, profiles = self.filters[chosen], self.profiles[chosen]
        size = profiles.flatten(1).square().sum(1)

        def found(x: Tensor) -> tuple[Tensor, Tensor]:
            x = x.detach().requires_grad_()
            off = (self.site.respond(self.site.input(x), filters) - profiles).flatten(1)
            value = off.square().sum(1) / size + self.prior(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
            return value.detach(), gradient

        return found

    def metric(self, change: Tensor) -> Tensor:
        """The one in which the inversion descends: smooth changes are short."""
        return gaussian_blur(gaussian_blur(change, self.config.smoothing), self.config.smoothing)


def traversal(subject: Subject, machine: Machine) -> dict[str, Any]:
    """One 7x7 traversal: time, and what it is over its gradients' floor."""
    grids, config = _Grids(subject, 1), TraversalConfig()

    def work(steps: int = config.steps) -> object:
        settings = config.model_copy(update={"steps": steps})
        return walk(subject.gan, subject.prior, grids.x, grids.z, grids.targets, settings)

    objective = grids.objective(torch.arange(GRID**2))
    floor = machine.floor(lambda: objective(grids.images))
    times = Times({"walk": work}, rounds=5)
    return {
        "points": GRID**2,
        "evaluations": config.steps,
        "seconds": times.of("walk").as_record(),
        "over_floor": times.of("walk").median / (config.steps * floor),
    }


# ------------------------------------------------------------------- how many gradients it takes


def evaluations(subject: Subject) -> dict[str, Any]:
    """Gradients until the objective is within 5 % of its plateau, by method; medians of points."""
    grids = _Grids(subject, IMAGES)
    every = torch.arange(len(grids.images))
    long = grids.config.model_copy(update={"steps": LONG})
    ends = invert(grids.site, grids.prior, grids.images, grids.profiles, grids.filters, long).images
    plateau, _ = grids.objective(every)(ends)
    moved = (grids.targets != grids.z[:, None]).any(2).flatten()  # all but each grid's centre

    def until(values: Tensor) -> float | None:
        """The median, over points, of the number of gradients; None: most never come near."""
        near = (values <= NEAR * plateau)[:, moved]
        first = torch.where(near.any(0), near.float().argmax(0) + 1, torch.inf)
        median = float(first.median())
        return median if median < torch.inf else None

    adam = {rate: until(_adam(grids, rate)) for rate in RATES}
    _, cold, _ = quasi_newton.minimise(grids.objective(every), grids.images, 100, grids.metric)
    outwards = {n: _outwards(grids, n) for n in (8, 12, 16, 20, 24)}
    over = {n: float((values / plateau)[moved].median()) for n, values in outwards.items()}
    schedules = {
        n: float((_scheduled(grids, n) / plateau)[moved].median()) for n in (20, 30, 50, 80)
    }
    best = min((n for n in adam.values() if n is not None), default=None)
    return {
        "images": IMAGES,
        "adam_constant_rate": {str(rate): n for rate, n in adam.items()},
        "adam_best": best,
        "used_over_plateau": schedules,
        "lbfgs_from_x": until(cold),
        "lbfgs_along_grid_over_plateau": over,
        "lbfgs_along_grid": next((n for n, ratio in over.items() if ratio <= NEAR), None),
    }


def _adam(grids: _Grids, rate: float) -> Tensor:
    """Objective after each gradient, of Adam at a constant rate, in the inversion's metric."""
    objective = grids.objective(torch.arange(len(grids.images)))
    change, values = torch.zeros_like(grids.images, requires_grad=True), []
    optimiser = torch.optim.Adam([change], lr=rate)
    for _ in range(150):
        x = grids.images + gaussian_blur(change, grids.config.smoothing)
        value, gradient = objective(x.clamp(0, 1))
        outwards = ((x < 0) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        inwards = gradient.masked_fill(outwards, 0)
        change.grad = gaussian_blur(inwards, grids.config.smoothing).detach()
        optimiser.step()
        values.append(value)
    return torch.stack(values).cummin(0).values


def _scheduled(grids: _Grids, steps: int) -> Tensor:
    """Objective at the end of the inversion as it is used, whose rate falls to zero."""
    config = grids.config.model_copy(update={"steps": steps})
    found = invert(grids.site, grids.prior, grids.images, grids.profiles, grids.filters, config)
    return grids.objective(torch.arange(len(grids.images)))(found.images)[0]


def _outwards(grids: _Grids, each: int) -> Tensor:
    """Objective of L-BFGS from ring to ring of the grids, each point from its inner neighbour.

    It takes over the neighbour's image, changed once more as from there to its own inner neighbour,
    and its curvature.
    """
    i, j = (
        v.flatten() - GRID // 2 for v in torch.meshgrid([torch.arange(GRID)] * 2, indexing="ij")
    )
    ring = torch.maximum(i.abs(), j.abs())
    inner = [(v.sign() * (v.abs() - (v.abs() == ring).int()).clamp(min=0)) for v in (i, j)]
    parent = (inner[0] + GRID // 2) * GRID + inner[1] + GRID // 2
    first = torch.arange(len(grids.z))[:, None] * GRID**2
    images, values = grids.images.clone(), grids.images.new_zeros(len(grids.images))
    known, place = None, torch.zeros(len(images), dtype=torch.long)
    for r in range(1, GRID // 2 + 1):
        on = (ring == r).nonzero()[:, 0]
        points, before = (first + on).flatten(), (first + parent[on]).flatten()
        start = images[before]
        if known is not None:
            known = known.at(place[before])
            start = start + 0.7 * (start - images[(first + parent[parent[on]]).flatten()])
        images[points], found, known = quasi_newton.minimise(
            grids.objective(points), start.clamp(0, 1), each, grids.metric, known
        )
        values[points] = found[-1]
        place[points] = torch.arange(len(points))
    return values


# ---------------------------------------------------------------------------------- plenoptic


def metamer(subject: Subject) -> dict[str, Any]:
    """Seconds for one image, beside plenoptic's Metamer at the same objective and residual.

    Metamer inverts one point after the other, as it is used, by each of several rates of which the
    best counts; the inversion all points of a grid at once, measured before and after.
    """
    import plenoptic

    grids = _Grids(subject, 1)
    times = [Times({"ours": lambda: _inverted(grids)}, rounds=3)]
    reached, _ = grids.objective(torch.arange(GRID**2))(_inverted(grids))
    by_rate = {}
    for rate in METAMER_RATES:
        seconds, steps, missed = [], [], 0
        for place in PLACES:
            search = plenoptic.Metamer(
                grids.images[place : place + 1],
                _Responses(subject, grids.filters[place : place + 1]).eval(),
                loss_function=_Residual(grids.profiles[place : place + 1]),
                penalty_function=_Penalty(grids),
                penalty_lambda=1.0,
            )
            start = grids.images[place : place + 1].clone()
            search.setup(start, optimizer_kwargs={"lr": rate, "amsgrad": True})
            begun, taken, near = time.perf_counter(), 0, False
            while taken < PATIENCE and not near:
                search.synthesize(max_iter=10, stop_criterion=0)
                taken += 10
                near = float(search.losses[-1]) <= float(reached[place])
            seconds.append(time.perf_counter() - begun)
            steps.append(taken)
            missed += not near
        by_rate[str(rate)] = {"seconds": seconds, "steps": steps, "missed": missed}
    times.append(Times({"ours": lambda: _inverted(grids)}, rounds=3))
    ours = sum(one.of("ours").median for one in times) / 2 / GRID**2
    best = min(by_rate, key=lambda r: (by_rate[r]["missed"], sum(by_rate[r]["seconds"])))
    each = Spread.of(by_rate[best]["seconds"])
    return {
        "seconds_per_image": ours,
        "plenoptic": by_rate,
        "plenoptic_rate": float(best),
        "plenoptic_missed": by_rate[best]["missed"],
        "plenoptic_seconds_per_image": each.as_record(),
        "times_faster": each.median / ours,
    }


@dataclass(frozen=True)
class _Residual:
    """Profile residual of eq. 6, whatever the model makes of the image itself."""

    profile: Tensor

    def __call__(self, got: Tensor, _: Tensor, **kwargs: Any) -> Tensor:
        """Of a response."""
        return (got - self.profile).square().sum() / self.profile.square().sum()


@dataclass(frozen=True)
class _Penalty:
    """The prior, and plenoptic's own penalty on what leaves the range."""

    grids: _Grids

    def __call__(self, x: Tensor, **kwargs: Any) -> Tensor:
        """Of one image."""
        import plenoptic

        return self.grids.prior(x).sum() + plenoptic.regularize.penalize_range(x)


def _inverted(grids: _Grids) -> Tensor:
    return invert(
        grids.site, grids.prior, grids.images, grids.profiles, grids.filters, grids.config
    ).images


class _Responses(nn.Module):
    """The response of one site under one set of filters, as a model of images."""

    def __init__(self, subject: Subject, filters: Tensor) -> None:
        super().__init__()
        self.site, self.filters = subject.site, filters

    def forward(self, images: Tensor) -> Tensor:
        return self.site.respond(self.site.input(images), self.filters)
