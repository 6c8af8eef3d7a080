"""Walks in latent space, seen as images: activation profiles and their inversion (eqs. 5-8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from filtergan.config.fields import TraversalConfig
from filtergan.game.gan import AT_ONCE, FilterGAN
from filtergan.images.domain import as_pixels
from filtergan.machine import distributed
from filtergan.machine.runtime import Tick
from filtergan.machine.runtime import generator as random_generator
from filtergan.sites.site import Site, untouched
from filtergan.walks.lbfgs import HISTORY, Curvature, minimise
from filtergan.walks.prior import NaturalImagePrior

DETAIL = 0.01  # of the gradient itself in the inversion's metric
REPEATED = 0.7  # of the step that led to a point, with which its outer neighbours begin


@dataclass(frozen=True)
class Inversion:
    """What an inversion found.

    Attributes:
        images: x_k, in [0, 1].
        before: Residual of the profile at x, first term of eq. 6.
        after: The same at x_k.
    """

    images: Float[Tensor, "n c h w"]
    before: Float[Tensor, " n"]
    after: Float[Tensor, " n"]

    def __repr__(self) -> str:
        """How many images, and their mean residuals."""
        shape = "x".join(map(str, self.images.shape[1:]))
        residuals = f"residual {float(self.before.mean()):.3g} -> {float(self.after.mean()):.3g}"
        return f"Inversion({len(self.images)} images of {shape}, {residuals})"


def latent_grid(
    z: Float[Tensor, " latent"], dims: tuple[int, int], offsets: Float[Tensor, " g"]
) -> Float[Tensor, "g g latent"]:
    """z_k = z + a grid of offsets along two latent dimensions, rows the first (eq. 8)."""
    grid = z.repeat(len(offsets), len(offsets), 1)
    grid[..., dims[0]] += offsets[:, None]
    grid[..., dims[1]] += offsets[None, :]
    return grid


def grid_dimensions(images: int, latent: int, seed: int) -> Int[Tensor, "images 2"]:
    """Two different latent dimensions for each image, at random as in the paper."""
    rng = random_generator(seed, "grid dimensions")
    return torch.stack([torch.randperm(latent, generator=rng)[:2] for _ in range(images)])


def points_around(
    z: Float[Tensor, "n latent"], points: int, radius: float, seed: int
) -> Float[Tensor, "n points latent"]:
    """Points at a fixed distance from each z, in directions drawn uniformly."""
    rng = random_generator(seed, "points")
    direction = torch.randn(len(z), points, z.shape[1], generator=rng).to(z.device)
    return z[:, None] + radius * direction / direction.norm(dim=-1, keepdim=True)


def matched_noise(
    base: Float[Tensor, "n o i *k"],
    moved: Float[Tensor, "n o i *k"],
    rngs: Sequence[torch.Generator],
) -> Float[Tensor, "n o i *k"]:
    """The null of a traversal: each filter changed at random, by as much as the walk changed it.

    Args:
        base: Filters G(z), one set per point.
        moved: Filters G(z_k).
        rngs: A source of noise per point, so that a point's noise does not depend on the others.
    """
    shape = base.shape[1:]
    noise = torch.stack([torch.randn(shape, generator=rng) for rng in rngs]).to(base)
    size = (moved - base).flatten(2).norm(dim=2) / noise.flatten(2).norm(dim=2)
    return base + noise * size.reshape(*size.shape, *[1] * (base.ndim - 2))


def invert(
    site: Site,
    prior: NaturalImagePrior,
    images: Float[Tensor, "n c h w"],
    profiles: Float[Tensor, "n ..."],
    filters: Float[Tensor, "n o i *k"],
    config: TraversalConfig,
    starts: Float[Tensor, "n c h w"] | None = None,
    curvature: Curvature | None = None,
    tick: Tick = lambda points: None,
) -> tuple[Inversion, Curvature | None]:
    """Find for every point the image whose profile under new filters is the old one (eq. 6).

    All points are searched together by L-BFGS, each independent of the others, in a metric in which
    smooth changes are short (`config.smoothing`); images stay within [0, 1].

    Args:
        site: The site.
        prior: Psi.
        images: x, one per point, pixels in [0, 1].
        profiles: a(x | z), one per point.
        filters: G(z_k), one set per point.
        config: Evaluations and smoothing.
        starts: Where the searches start; by default at x.
        curvature: Of searches near by, which these begin with.
        tick: Called after every evaluation with the number of points.

    Returns:
        What was found, and the curvature that the searches learned.

    Raises:
        UserError: Images or starts are no pixels in [0, 1].
    """
    images = as_pixels(images)
    start = images if starts is None else as_pixels(starts)
    size = profiles.flatten(1).square().sum(1).clamp(min=1e-12)

    def residual(x: Tensor) -> Tensor:
        profile = site.respond(site.input(x), filters)
        return (profile - profiles).flatten(1).square().sum(1) / size

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        values = residual(x) + prior(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        tick(len(x))
        return values.detach(), gradient

    def metric(gradient: Tensor) -> Tensor:
        return smoothed(gradient, config.smoothing)

    with untouched(site.network):  # once, and not again in every pass
        found, _, known = minimise(objective, start, config.evaluations, metric, curvature)
        with torch.no_grad():
            return Inversion(found, residual(images), residual(found)), known


def smoothed(gradient: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """The inversion's metric: a gradient blurred twice, with a little of itself.

    Without that the finest detail would stand still for hundreds of steps; with much more of it
    the images found are rough.
    """
    if sigma == 0:
        return gradient
    return gaussian_blur(gradient, sigma, times=2) + DETAIL * gradient


def gaussian_blur(
    images: Float[Tensor, "n c h w"], sigma: float, times: int = 1
) -> Float[Tensor, "n c h w"]:
    """Convolve each channel with a Gaussian of that standard deviation in pixels; 0: unchanged."""
    if sigma == 0:
        return images
    rows, columns = (_blurring(n, sigma, times).to(images) for n in images.shape[2:])
    return rows @ (images @ columns)  # a tenth of what a convolution of one channel takes


@cache
def _blurring(n: int, sigma: float, times: int) -> Float[Tensor, "n n"]:
    """The matrix that convolves a line of n pixels with a Gaussian, zeros beyond its ends."""
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma**2))
    place = torch.arange(n)
    distance = (place[:, None] - place).abs()
    known = F.pad((weights / weights.sum())[reach:], (0, max(0, n - reach - 1)))
    return torch.linalg.matrix_power(known[distance], times)


def walk(
    gan: FilterGAN,
    prior: NaturalImagePrior,
    images: Float[Tensor, "n c h w"],
    z: Float[Tensor, "n latent"],
    targets: Float[Tensor, "n points latent"],
    config: TraversalConfig,
    null_seed: int | None = None,
    starts: Float[Tensor, "n points c h w"] | None = None,
    tick: Tick = lambda points: None,
) -> Inversion:
    """Invert every image at every one of its points, some at a time.

    Several processes share these batches.

    Args:
        gan: Site and generator.
        prior: Psi.
        images: x, pixels in [0, 1].
        z: The latent of each image's profile.
        targets: z_k.
        config: Settings of the inversion.
        null_seed: If given, norm-matched random changes of the filters take the place of the
            generator's: the null against which compensation is read.
        starts: Where each search starts; by default at x, as in the paper.
        tick: Called after every evaluation with the number of points.

    Returns:
        An inversion whose rows are the points of the first image, then of the second, and so on.

    Raises:
        UserError: The images are no pixels in [0, 1].
    """
    images = as_pixels(images)
    points, tick = targets.shape[1], distributed.pace(tick)

    def find(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        owner, which = chosen // points, chosen % points
        x, base, moved = images[owner], gan.draw(z[owner]), gan.draw(targets[owner, which])
        if null_seed is not None:
            places = zip(owner.tolist(), which.tolist(), strict=True)
            rngs = [random_generator(null_seed, "null", *place) for place in places]
            moved = matched_noise(base, moved, rngs)
        start = None if starts is None else starts[owner, which]
        profiles = _profiles(gan, x, base)
        found, _ = invert(gan.site, prior, x, profiles, moved, config, start, tick=tick)
        return found.images, found.before, found.after

    every = torch.arange(len(images) * points, device=images.device)
    return _joined(distributed.spread(find, every.split(_at_once(gan, images, config))), images)


def walk_grid(
    gan: FilterGAN,
    prior: NaturalImagePrior,
    images: Float[Tensor, "n c h w"],
    z: Float[Tensor, "n latent"],
    grids: Float[Tensor, "n g g latent"],
    config: TraversalConfig,
    tick: Tick = lambda points: None,
) -> Inversion:
    """Invert every image at the points of a grid around its z, from the centre outwards.

    The points around the centre are searched from x. Further out a search starts from the image of
    the inner neighbour, changed once more by most of what led there from the neighbour's own, and
    with its curvature. So it ends nearer to its minimum than from x, and what is side by side in a
    grid looks alike.

    Several processes share the images.

    Args:
        gan: Site and generator.
        prior: Psi.
        images: x, pixels in [0, 1].
        z: The latent of each image's profile.
        grids: z_k; g is odd.
        config: Settings of the inversion.
        tick: Called after every evaluation with the number of points.

    Returns:
        An inversion whose rows are the points of the first grid, row by row, then of the second.

    Raises:
        UserError: The images are no pixels in [0, 1].
    """
    images = as_pixels(images)
    tick, rings = distributed.pace(tick), _rings(grids.shape[1])

    def find(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, points = len(chosen), grids.shape[1] ** 2
        first = torch.arange(n, device=images.device)[:, None] * points
        x = images[chosen].repeat_interleave(points, 0)
        profiles = _profiles(gan, images[chosen], gan.draw(z[chosen]))
        targets = grids[chosen].flatten(0, 2)
        found, step = x.clone(), torch.zeros_like(x)
        before, after = torch.zeros_like(x[:, 0, 0, 0]), torch.zeros_like(x[:, 0, 0, 0])
        known: Curvature | None = None
        for ring in rings:
            at, inner = ((first + places.to(first)).flatten() for places in (ring.at, ring.inner))
            start = (found[inner] + REPEATED * step[inner]).clamp(0, 1)
            if known is not None:
                place = torch.arange(n)[:, None] * ring.inner_size + ring.inner_place
                known = known.at(place.flatten().to(first.device))
            profile = profiles.repeat_interleave(len(ring.at), 0)
            filters = gan.draw(targets[at])
            now, known = invert(
                gan.site, prior, x[at], profile, filters, config, start, known, tick
            )
            step[at], found[at] = now.images - found[inner], now.images
            before[at], after[at] = now.before, now.after
        return found, before, after

    several = max(1, _at_once(gan, images, config) // len(rings[-1].at))
    every = torch.arange(len(images), device=images.device)
    return _joined(distributed.spread(find, every.split(several)), images)


@dataclass(frozen=True)
class _Ring:
    """Points of a grid, row by row, that are equally many rows or columns from its centre.

    The first ring has the centre as well, which is everybody's neighbour in it.

    Attributes:
        at: Their places in the grid.
        inner: The place of each one's neighbour in the ring within.
        inner_place: The place of that neighbour in its ring.
        inner_size: Points of that ring.
    """

    at: Int[Tensor, " points"]
    inner: Int[Tensor, " points"]
    inner_place: Int[Tensor, " points"]
    inner_size: int


def _rings(side: int) -> list[_Ring]:
    """The rings of a grid, from the inside out."""
    middle = side // 2
    row, column = (
        v.flatten() - middle for v in torch.meshgrid([torch.arange(side)] * 2, indexing="ij")
    )
    radius = torch.maximum(row.abs(), column.abs())
    towards = [v - v.sign() * (v.abs() == radius) for v in (row, column)]
    inner = (towards[0] + middle) * side + towards[1] + middle
    radius = radius.clamp(min=1)
    places = [(radius == r).nonzero()[:, 0] for r in range(1, middle + 1)]
    rings = []
    for at, within in zip(places, [places[0], *places[:-1]], strict=True):
        rings.append(_Ring(at, inner[at], torch.searchsorted(within, inner[at]), len(within)))
    return rings


def _at_once(gan: FilterGAN, images: Float[Tensor, "n c h w"], config: TraversalConfig) -> int:
    """Points to invert at once: `config.batch`, or fewer where filters or images are large."""
    history = 3 * HISTORY * images[0].numel()
    return min(config.batch, gan.at_once, max(1, AT_ONCE // history))


def _profiles(
    gan: FilterGAN, x: Float[Tensor, "n c h w"], filters: Float[Tensor, "n o i *k"]
) -> Float[Tensor, "n ..."]:
    with torch.no_grad():
        return gan.site.respond(gan.site.input(x), filters)


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> Inversion:
    return Inversion(*(torch.cat(part).to(like.device) for part in zip(*parts, strict=True)))
