"""The inversion beside its floor, beside plenoptic, and how many gradients it takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from subject import Subject
from timing import Machine, Spread, Times
from torch import Tensor, nn

from filtergan.config.fields import TraversalConfig
from filtergan.walks.lbfgs import Objective, minimise
from filtergan.walks.points import grid_dimensions, latent_grid
from filtergan.walks.search import PixelSearch, gaussian_blur, smoothed
from filtergan.walks.walk import walk_grid

GRID, EXTENT = 7, 3.0
PAGE = 8  # grids that a study shows of a site
BATCHES = (9, 16, 24, 49, 128)  # points: each ring of one grid, all of it, part of a study's
IMAGES = 3  # of which grids are inverted where evaluations are counted
LONG = 400  # steps after which an inversion is taken to have reached its plateau
NEAR = 1.05  # times the plateau
FALLING = 0.1  # Adam's rate at the start of that
RATES = (0.03, 0.06, 0.1)  # of Adam at a constant rate
SMOOTHINGS = (1.0, 0.0)
MOST = 100  # gradients of a method
ALONG = (8, 12, 16, 20)
PLACES = (3, 10, 16, 22, 30, 45)  # points of a grid that plenoptic inverts, one by one
METAMER_RATES = (0.01, 0.03, 0.1)  # the first is its own
PATIENCE = 1500  # its steps at most


class Grids:
    """The points of some images' grids, and what is minimised at each."""

    def __init__(self, subject: Subject, images: int, seed: int = 0) -> None:
        self.gan = gan = subject.gan
        self.site, self.prior = subject.site, subject.search.prior
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

    def objective(self, chosen: Tensor) -> Objective:
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

    def walked(self, config: TraversalConfig) -> Tensor:
        """Images as the programme finds them."""
        grids = self.targets.unflatten(1, (GRID, GRID))
        search = PixelSearch(self.prior, config)
        return walk_grid(self.gan, search, self.x, self.z, grids).images


def traversal(subject: Subject, machine: Machine) -> dict[str, Any]:
    """One 7x7 traversal, and a page of them: time, and what it is over its gradients' floor.

    Also those gradients alone, by how many points they are computed for at once.
    """
    return {
        "one": _traversals(subject, 1, machine),
        "page": _traversals(subject, PAGE, machine),
        "gradients": {n: _gradients(subject, n, machine) for n in BATCHES},
    }


def _traversals(subject: Subject, images: int, machine: Machine) -> dict[str, Any]:
    grids, config = Grids(subject, images), TraversalConfig()
    objective = grids.objective(torch.arange(len(grids.images)))
    floor = machine.floor(lambda: objective(grids.images))
    times = Times({"walk": lambda: grids.walked(config)}, rounds=7)
    return {
        "points": len(grids.images),
        "evaluations": config.evaluations,
        "seconds": times.of("walk").as_record(),
        "over_floor": times.of("walk").median / (config.evaluations * floor),
    }


def _gradients(subject: Subject, points: int, machine: Machine) -> float:
    grids = Grids(subject, -(-points // GRID**2))
    objective, images = grids.objective(torch.arange(points)), grids.images[:points]
    floor = machine.floor(lambda: objective(images))
    return Times({"gradients": lambda: objective(images)}).of("gradients").median / floor


# ------------------------------------------------------------------- how many gradients it takes


def evaluations(subject: Subject) -> dict[str, Any]:
    """Gradients until the objective is within 5 % of its plateau, by method; medians of points.

    The plateau is that of a long search by Adam in the inversion's smoothing. Less smoothing comes
    down sooner, to rougher images, so that each method's roughness is told as well.
    """
    grids = Grids(subject, IMAGES)
    config, every = grids.config, torch.arange(len(grids.images))
    plateau, ends = _adam(grids, FALLING, LONG, config.smoothing, falls=True)
    plateau = plateau[-1]
    moved = (grids.targets != grids.z[:, None]).any(2).flatten()  # all but each grid's centre

    def until(values: Tensor) -> float | None:
        """The median, over points, of the number of gradients; None: most never come near."""
        near = (values <= NEAR * plateau)[:, moved]
        first = torch.where(near.any(0), near.float().argmax(0) + 1, torch.inf)
        median = float(first.median())
        return median if median < torch.inf else None

    def found(values: Tensor, images: Tensor) -> dict[str, float]:
        over, change = (values / plateau)[moved], (images - grids.images)[moved]
        detail = (change - gaussian_blur(change, 1.0)).flatten(1).square().sum(1)
        rough = detail / change.flatten(1).square().sum(1)
        return {"over_plateau": float(over.median()), "roughness": float(rough.nanmedian())}

    adam = []
    for smoothing, rate in product(SMOOTHINGS, RATES):
        needed = until(_adam(grids, rate, MOST, smoothing)[0])
        images = _adam(grids, rate, int(needed or MOST), smoothing)[1]
        adam.append({"smoothing": smoothing, "rate": rate, "evaluations": needed})
        adam[-1] |= found(grids.objective(every)(images)[0], images)
    _, cold, _ = minimise(
        grids.objective(every),
        grids.images,
        MOST,
        lambda gradient: smoothed(gradient, config.smoothing),
    )
    along = []
    for n in ALONG:
        images = grids.walked(config.model_copy(update={"evaluations": n}))
        along.append({"evaluations": n} | found(grids.objective(every)(images)[0], images))
    return {
        "images": IMAGES,
        "plateau": found(plateau, ends),
        "adam": adam,
        "from_x": until(cold),
        "along_grid": along,
        "used": config.evaluations,
    }


def _adam(
    grids: Grids, rate: float, steps: int, smoothing: float, falls: bool = False
) -> tuple[Tensor, Tensor]:
    """What the inversion was before: the best objective so far after each gradient, and images."""
    objective, best = grids.objective(torch.arange(len(grids.images))), grids.images
    change, values = torch.zeros_like(grids.images, requires_grad=True), []
    optimiser = torch.optim.Adam([change], lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps if falls else 1)
        x = grids.images + gaussian_blur(change.detach(), smoothing)
        value, gradient = objective(x.clamp(0, 1))
        better = value < values[-1] if values else torch.ones_like(value, dtype=torch.bool)
        best = torch.where(better[:, None, None, None], x.clamp(0, 1), best)
        values.append(torch.where(better, value, values[-1]) if values else value)
        outwards = ((x < 0) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        change.grad = gaussian_blur(gradient.masked_fill(outwards, 0), smoothing)
        optimiser.step()
    return torch.stack(values), best


# ---------------------------------------------------------------------------------- plenoptic


def metamer(subject: Subject) -> dict[str, Any]:
    """Seconds for one image, beside plenoptic's Metamer at the same objective and residual.

    Metamer inverts one point after the other, as it is used, by each of several rates of which the
    best counts; the inversion all points of a grid at once, measured before and after.
    """
    grids = Grids(subject, 1)
    return beside_metamer(subject, grids, lambda: grids.walked(grids.config))


def beside_metamer(subject: Subject, grids: Grids, ours: Callable[[], Tensor]) -> dict[str, Any]:
    """Seconds for one image of a way to recover those of a grid, beside plenoptic's Metamer.

    Args:
        subject: Whose site it is.
        grids: One grid.
        ours: Recovers the images of all its points; Metamer goes on until it is as good.
    """
    times = [Times({"ours": ours}, rounds=5)]
    reached, _ = grids.objective(torch.arange(GRID**2))(ours())
    by_rate = {}
    for rate in METAMER_RATES:
        tried = [_metamer(subject, grids, place, rate, float(reached[place])) for place in PLACES]
        seconds, steps, near = (list(part) for part in zip(*tried, strict=True))
        by_rate[str(rate)] = {"seconds": seconds, "steps": steps, "missed": near.count(False)}
    times.append(Times({"ours": ours}, rounds=5))
    each_of_ours = sum(one.of("ours").median for one in times) / 2 / GRID**2
    best = min(by_rate, key=lambda r: (by_rate[r]["missed"], sum(by_rate[r]["seconds"])))
    each = Spread.of(by_rate[best]["seconds"])
    return {
        "seconds_per_image": each_of_ours,
        "plenoptic": by_rate,
        "plenoptic_rate": float(best),
        "plenoptic_missed": by_rate[best]["missed"],
        "plenoptic_seconds_per_image": each.as_record(),
        "times_faster": each.median / each_of_ours,
    }


def _metamer(
    subject: Subject, grids: Grids, place: int, rate: float, wanted: float
) -> tuple[float, int, bool]:
    """Seconds and steps of Metamer at one point, and whether it came as near as wanted."""
    import plenoptic

    one = slice(place, place + 1)
    search = plenoptic.Metamer(
        grids.images[one],
        _Responses(subject, grids.filters[one]).eval(),
        loss_function=_Residual(grids.profiles[one]),
        penalty_function=_Penalty(grids),
        penalty_lambda=1.0,
    )
    search.setup(grids.images[one].clone(), optimizer_kwargs={"lr": rate, "amsgrad": True})
    begun, taken, near = time.perf_counter(), 0, False
    while taken < PATIENCE and not near:
        search.synthesize(max_iter=10, stop_criterion=0)
        taken += 10
        near = float(search.losses[-1]) <= wanted
    return time.perf_counter() - begun, taken, near


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

    grids: Grids

    def __call__(self, x: Tensor, **kwargs: Any) -> Tensor:
        """Of one image."""
        import plenoptic

        return self.grids.prior(x).sum() + plenoptic.regularize.penalize_range(x)


class _Responses(nn.Module):
    """The response of one site under one set of filters, as a model of images."""

    def __init__(self, subject: Subject, filters: Tensor) -> None:
        super().__init__()
        self.site, self.filters = subject.site, filters

    def forward(self, images: Tensor) -> Tensor:
        return self.site.respond(self.site.input(images), self.filters)
