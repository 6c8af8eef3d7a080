"""Walks in latent space, seen as images: what is recovered at their points (eqs. 5 to 8)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from filtergan.game.gan import FilterGAN
from filtergan.images.domain import as_pixels
from filtergan.machine import distributed
from filtergan.machine.runtime import generator as random_generator
from filtergan.machine.telling import Tick
from filtergan.walks.inverter import Inversion, Inverter, Learned, Points
from filtergan.walks.points import matched_noise

REPEATED = 0.7  # of the step that led to a point, with which its outer neighbours begin


def walk(
    gan: FilterGAN,
    inverter: Inverter,
    images: Float[Tensor, "n c h w"],
    z: Float[Tensor, "n latent"],
    targets: Float[Tensor, "n points latent"],
    null_seed: int | None = None,
    starts: Float[Tensor, "n points c h w"] | None = None,
    tick: Tick = lambda points: None,
) -> Inversion:
    """Invert every image at every one of its points, some at a time.

    Several processes share these batches.

    Args:
        gan: Site and generator.
        inverter: What recovers images, as `PixelSearch`.
        images: x, pixels in [0, 1].
        z: The latent of each image's profile.
        targets: z_k.
        null_seed: If given, norm-matched random changes of the filters take the place of the
            generator's: the null against which compensation is read. Images that share z share
            them, as they share the generator's.
        starts: Where each search starts; by default at x, as in the paper.
        tick: Called after every evaluation with the number of points.

    Returns:
        An inversion whose rows are the points of the first image, then of the second, and so on.

    Raises:
        UserError: The images are no pixels in [0, 1].

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> z = gan.latents(2)
        >>> targets = fg.points_around(z, points=3, radius=2.0, seed=1)
        >>> fg.walk(gan, fg.Transformation(), images[:2], z, targets).images.shape
        torch.Size([6, 1, 8, 8])
    """
    images = as_pixels(images)
    points, tick, alike = targets.shape[1], distributed.pace(tick), _first_alike(z)

    def find(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        owner, which = chosen // points, chosen % points
        x, near, far = images[owner], z[owner], targets[owner, which]
        base, moved = gan.draw(near), gan.draw(far)
        if null_seed is not None:
            places = zip(alike[owner].tolist(), which.tolist(), strict=True)
            rngs = [random_generator(null_seed, "null", *place) for place in places]
            moved = matched_noise(base, moved, rngs)
        start = None if starts is None else starts[owner, which]
        place = torch.stack([owner, which], dim=1)
        there = Points(gan, x, near, far, _profiles(gan, x, base), moved, start, place)
        found, _ = inverter(there, tick)
        return found.images, found.before, found.after

    every = torch.arange(len(images) * points, device=images.device)
    several = inverter.at_once(gan, images)
    return _joined(distributed.spread(find, every.split(several)), images)


def _first_alike(z: Float[Tensor, "n latent"]) -> Int64[Tensor, " n"]:
    """For each z the number of the first that is the same."""
    _, kind = z.unique(dim=0, return_inverse=True)
    numbers = torch.arange(len(z), device=z.device)
    return numbers.new_full((len(z),), len(z)).scatter_reduce(0, kind, numbers, "amin")[kind]


def walk_grid(
    gan: FilterGAN,
    inverter: Inverter,
    images: Float[Tensor, "n c h w"],
    z: Float[Tensor, "n latent"],
    grids: Float[Tensor, "n g g latent"],
    tick: Tick = lambda points: None,
) -> Inversion:
    """Invert every image at the points of a grid around its z, from the centre outwards.

    The points around the centre are searched from x. Further out a search starts from the image of
    the inner neighbour, changed once more by most of what led there from the neighbour's own, and
    with what was learned there (its curvature). So it ends nearer to its minimum than from x, and
    what is side by side in a grid looks alike.

    Several processes share the images.

    Args:
        gan: Site and generator.
        inverter: What recovers images, as `PixelSearch`.
        images: x, pixels in [0, 1].
        z: The latent of each image's profile.
        grids: z_k; g is odd.
        tick: Called after every evaluation with the number of points.

    Returns:
        An inversion whose rows are the points of the first grid, row by row, then of the second.

    Raises:
        UserError: The images are no pixels in [0, 1].

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> z, offsets = torch.zeros(1, 3), torch.linspace(-3, 3, 5)
        >>> grids = fg.latent_grid(z[0], (0, 1), offsets)[None]
        >>> fg.walk_grid(gan, fg.Transformation(), images[:1], z, grids).images.shape
        torch.Size([25, 1, 8, 8])
    """
    images = as_pixels(images)
    tick, rings = distributed.pace(tick), rings_of(grids.shape[1])

    def find(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, points = len(chosen), grids.shape[1] ** 2
        first = torch.arange(n, device=images.device)[:, None] * points
        x, near = (part[chosen].repeat_interleave(points, 0) for part in (images, z))
        profiles = _profiles(gan, images[chosen], gan.draw(z[chosen]))
        targets = grids[chosen].flatten(0, 2)
        found, step = x.clone(), torch.zeros_like(x)
        before, after = torch.zeros_like(x[:, 0, 0, 0]), torch.zeros_like(x[:, 0, 0, 0])
        known: Learned | None = None
        for ring in rings:
            at, inner = ((first + places.to(first)).flatten() for places in (ring.at, ring.inner))
            start = (found[inner] + REPEATED * step[inner]).clamp(0, 1)
            if known is not None:
                place = torch.arange(n)[:, None] * ring.inner_size + ring.inner_place
                known = known.at(place.flatten().to(first.device))
            profile = profiles.repeat_interleave(len(ring.at), 0)
            filters = gan.draw(targets[at])
            owner = chosen.repeat_interleave(len(ring.at))
            place = torch.stack([owner, at % points], dim=1)
            there = Points(gan, x[at], near[at], targets[at], profile, filters, start, place, known)
            now, known = inverter(there, tick)
            step[at], found[at] = now.images - found[inner], now.images
            before[at], after[at] = now.before, now.after
        return found, before, after

    several = max(1, inverter.at_once(gan, images) // len(rings[-1].at))
    every = torch.arange(len(images), device=images.device)
    return _joined(distributed.spread(find, every.split(several)), images)


@dataclass(frozen=True)
class Ring:
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


def rings_of(side: int) -> list[Ring]:
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
        rings.append(Ring(at, inner[at], torch.searchsorted(within, inner[at]), len(within)))
    return rings


def _profiles(
    gan: FilterGAN, x: Float[Tensor, "n c h w"], filters: Float[Tensor, "n o i *k"]
) -> Float[Tensor, "n ..."]:
    with torch.no_grad():
        return gan.site.respond(gan.site.input(x), filters)


def _joined(parts: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> Inversion:
    return Inversion(*(torch.cat(part).to(like.device) for part in zip(*parts, strict=True)))
