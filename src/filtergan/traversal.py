"""Walks in latent space, seen as images: activation profiles and their inversion (eqs. 5-8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from filtergan import distributed
from filtergan.config import TraversalConfig
from filtergan.gan import FilterGAN
from filtergan.priors import NaturalImagePrior
from filtergan.runtime import Tick
from filtergan.runtime import generator as random_generator
from filtergan.site import Site


@dataclass(frozen=True)
class Inversion:
    """What an inversion found.

    Attributes:
        images: x_k, in [0, 1].
        before: Residual of the profile at the starting image, first term of eq. 6.
        after: The same at x_k.
    """

    images: Float[Tensor, "n c h w"]
    before: Float[Tensor, " n"]
    after: Float[Tensor, " n"]


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
    tick: Tick = lambda points: None,
) -> Inversion:
    """Find for every point the image whose profile under new filters is the old one (eq. 6).

    All points are optimised together by Adam, each independent of the others; the change of image
    is searched through a Gaussian (`config.smoothing`) and the image kept within [0, 1].

    Args:
        site: The site.
        prior: Psi.
        images: x, where the search starts, one per point.
        profiles: a(x | z), one per point.
        filters: G(z_k), one set per point.
        config: Steps, rate and smoothing.
        tick: Called after every step with the number of points.
    """
    size = profiles.flatten(1).square().sum(1).clamp(min=1e-12)

    def residual(x: Tensor) -> Tensor:
        profile = site.respond(site.input(x), filters)
        return (profile - profiles).flatten(1).square().sum(1) / size

    change = torch.zeros_like(images, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=config.rate)
    with torch.no_grad():
        before = residual(images)
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.rate * (1 - step / config.steps)
        x = _moved(images, change, config.smoothing)
        (change.grad,) = torch.autograd.grad((residual(x) + prior(x)).sum(), change)
        optimiser.step()
        tick(len(images))
    with torch.no_grad():
        found = _moved(images, change, config.smoothing)
        return Inversion(found, before, residual(found))


def _moved(images: Tensor, change: Tensor, smoothing: float) -> Tensor:
    """The images with a smoothed change, within the range of pixels."""
    return _Clamp.apply(images + gaussian_blur(change, smoothing))


class _Clamp(torch.autograd.Function):
    """Clamps to [0, 1], yet lets a pixel back in: plain clamp has no gradient beyond the bounds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        outwards = ((x < 0) & (gradient > 0)) | ((x > 1) & (gradient < 0))
        return gradient.masked_fill(outwards, 0)


def gaussian_blur(images: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Convolve each channel with a Gaussian of that standard deviation in pixels; 0: unchanged."""
    if sigma == 0:
        return images
    rows, columns = (_blurring(n, sigma).to(images) for n in images.shape[2:])
    return rows @ images @ columns  # a tenth of what a convolution of one channel takes


@cache
def _blurring(n: int, sigma: float) -> Float[Tensor, "n n"]:
    """The matrix that convolves a line of n pixels with a Gaussian, zeros beyond its ends."""
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma**2))
    place = torch.arange(n)
    distance = (place[:, None] - place).abs()
    known = F.pad((weights / weights.sum())[reach:], (0, max(0, n - reach - 1)))
    return known[distance]


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
    """Invert every image at every one of its points, at most `config.batch` at a time.

    Fewer are taken where the filters are so large that those of a whole batch would not fit.

    Several processes share these batches.

    Args:
        gan: Site and generator.
        prior: Psi.
        images: x.
        z: The latent of each image's profile.
        targets: z_k.
        config: Settings of the inversion.
        null_seed: If given, norm-matched random changes of the filters take the place of the
            generator's: the null against which compensation is read.
        starts: Where each search starts; by default at x, as in the paper.
        tick: Called after every step with the number of points.

    Returns:
        An inversion whose rows are the points of the first image, then of the second, and so on.
    """
    site, points = gan.site, targets.shape[1]
    tick = distributed.pace(tick)

    def find(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        owner, which = chosen // points, chosen % points
        base, moved = gan.draw(z[owner]), gan.draw(targets[owner, which])
        if null_seed is not None:
            places = zip(owner.tolist(), which.tolist(), strict=True)
            rngs = [random_generator(null_seed, "null", *place) for place in places]
            moved = matched_noise(base, moved, rngs)
        x = images[owner]
        with torch.no_grad():
            profiles = site.respond(site.input(x), base)
        start = x if starts is None else starts[owner, which]
        found = invert(site, prior, start, profiles, moved, config, tick)
        return found.images, found.before, found.after

    batches = torch.arange(len(images) * points, device=images.device).split(
        min(config.batch, gan.at_once)
    )
    parts = distributed.spread(find, batches)
    return Inversion(*(torch.cat(part).to(images.device) for part in zip(*parts, strict=True)))
