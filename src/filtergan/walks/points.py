"""Where walks lead: points of latent space, and the null of what happens there (eq. 8)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from filtergan.machine.runtime import generator as random_generator


def latent_grid(
    z: Float[Tensor, " latent"], dims: tuple[int, int], offsets: Float[Tensor, " g"]
) -> Float[Tensor, "g g latent"]:
    """z_k = z + a grid of offsets along two latent dimensions, rows the first (eq. 8).

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> fg.latent_grid(torch.zeros(3), (0, 2), torch.tensor([-1.0, 0.0, 1.0]))[0, 1]
        tensor([-1.,  0.,  0.])
    """
    grid = z.repeat(len(offsets), len(offsets), 1)
    grid[..., dims[0]] += offsets[:, None]
    grid[..., dims[1]] += offsets[None, :]
    return grid


def latent_grids(
    z: Float[Tensor, "n latent"], dims: Int[Tensor, "n 2"], offsets: Float[Tensor, " g"]
) -> Float[Tensor, "n g g latent"]:
    """A grid around each z, along two dimensions of its own."""
    pairs = zip(z, dims.tolist(), strict=True)
    return torch.stack([latent_grid(one, (i, j), offsets.to(z)) for one, (i, j) in pairs])


def grid_dimensions(
    images: int, latent: int, seed: int, dims: tuple[int, ...] | None = None
) -> Int[Tensor, "images 2"]:
    """The two latent dimensions of each image's grid: `dims`, or two at random as in the paper."""
    if dims is not None:
        return torch.tensor([dims] * images)
    rng = random_generator(seed, "grid dimensions")
    return torch.stack([torch.randperm(latent, generator=rng)[:2] for _ in range(images)])


def points_around(
    z: Float[Tensor, "n latent"], points: int, radius: float, seed: int
) -> Float[Tensor, "n points latent"]:
    """Points at a fixed distance from each z, in directions drawn uniformly.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> points = fg.points_around(torch.zeros(2, 3), points=4, radius=2.0, seed=0)
        >>> points.norm(dim=-1).mean()
        tensor(2.)
    """
    rng = random_generator(seed, "points")
    direction = torch.randn(len(z), points, z.shape[1], generator=rng).to(z.device)
    return z[:, None] + radius * direction / direction.norm(dim=-1, keepdim=True)


def points_towards_draws(
    z: Float[Tensor, "n latent"], points: int, radius: float, seed: int
) -> Float[Tensor, "n points latent"]:
    """Points at a fixed distance from each z, towards draws from the standard normal.

    Between two draws, that is, and so where a generator was trained: uniform directions lead out of
    where draws lie.
    """
    rng = random_generator(seed, "points")
    draws = torch.randn(len(z), points, z.shape[1], generator=rng).to(z.device)
    step = draws - z[:, None]
    return z[:, None] + radius * step / step.norm(dim=-1, keepdim=True)


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
