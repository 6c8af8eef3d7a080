"""Images along latents: looked up where they were searched, made anew where a transformer can."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from filtergan.classifiers.fitting import predict
from filtergan.config.site_names import NATURAL
from filtergan.errors import UserError
from filtergan.measures.traversals import image_change, labels_kept
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import Transformation
from filtergan.study.opened import OpenedRun
from filtergan.study.plotting import Grids
from filtergan.traversals.traversal import numbers
from filtergan.walks.points import latent_grids
from filtergan.walks.walk import walk_grid


@dataclass(frozen=True)
class Walked:
    """One image along some latents.

    Attributes:
        image: Number of the test image.
        source: The image x, in [0, 1].
        images: By latent, what was recovered at each offset.
        kept: By latent, whether the network keeps its label.
        offsets: In standard deviations of z.
    """

    image: int
    source: Float[Tensor, "c h w"]
    images: dict[int, Float[Tensor, "k c h w"]]
    kept: dict[int, Bool[Tensor, " k"]]
    offsets: list[float]


def over_plane(
    run: OpenedRun, grids: Grids, image: int | None, latents: Sequence[int] | None
) -> tuple[Grids, int, Float[Tensor, "c h w"]]:
    """Grids among which is that of an image over two latents, its place there, and the image.

    Args:
        run: The run.
        grids: Of the site, as the run has them.
        image: Number of a test image; by default the first shown.
        latents: Down and across; by default those of the image's grid.

    Raises:
        UserError: There is no such image or latent, or nothing was searched there.
    """
    image = _image(run, grids, image)
    shown = grids.index.index(image) if image in grids.index else None
    source = run.images_to_show.test.pixels(torch.tensor([image]))
    if latents is not None and (len(latents) != 2 or latents[0] == latents[1]):
        raise UserError("A plane takes two different latents, as in 0 and 1.")
    if shown is not None and (latents is None or tuple(latents) == grids.dims[shown]):
        return grids, shown, source[0]
    if grids.name.recipe != NATURAL:
        assert shown is not None
        raise _searched_elsewhere(grids, shown)
    dims = _latents(run, grids, latents or grids.dims[0])
    gan, offsets = run.gan(grids.name), grids.tensors["grid_offsets"]
    z = torch.zeros(1, gan.latent, device=run.device)
    grid = latent_grids(z, torch.tensor([dims]), offsets)
    found = walk_grid(gan, Transformation(), source.to(run.device), z, grid)
    tensors = {"grid_index": torch.tensor([image]), "grid_dims": torch.tensor([dims])}
    seen = numbers(run.network, source.to(run.device), found)
    tensors |= {f"grid_{key}": values for key, values in seen.items()}
    return replace(grids, tensors={**grids.tensors, **tensors}), 0, source[0]


def along(
    run: OpenedRun,
    grids: Grids,
    image: int | None,
    latents: Sequence[int] | None,
    points: int | None = None,
) -> Walked:
    """An image along single latents, through the middle of its grid.

    Args:
        run: The run.
        grids: Of the site, as the run has them.
        image: Number of a test image; by default the first shown.
        latents: Which ones; by default all that there are.
        points: How many on each, where a transformer makes them; by default as in a grid.

    Raises:
        UserError: There is no such image or latent, or nothing was searched there.
    """
    image = _image(run, grids, image)
    source = run.images_to_show.test.pixels(torch.tensor([image]))
    if grids.name.recipe == NATURAL:
        ends = float(grids.offsets[0]), float(grids.offsets[-1])
        offsets = torch.linspace(*ends, points or grids.side)
        images = _transformed(run, grids, source, latents, offsets)
    else:
        offsets = grids.tensors["grid_offsets"]
        images = _searched(grids, image, latents)
    logits = predict(run.network, source, device=run.device)
    kept = {
        latent: labels_kept(logits, predict(run.network, found, device=run.device))
        for latent, found in images.items()
    }
    return Walked(image, source[0], images, kept, offsets.tolist())


def largest(run: OpenedRun, grids: Grids, images: Sequence[int]) -> int:
    """The latent that changes some images most, by the median over those walked along it."""
    walks = [along(run, grids, image, None) for image in images]
    latents = {latent for one in walks for latent in one.images}

    def size(latent: int) -> float:
        moved = [
            image_change(one.source[None], one.images[latent]).max()
            for one in walks
            if latent in one.images
        ]
        return float(torch.stack(moved).median())

    return max(sorted(latents), key=size)


def _transformed(
    run: OpenedRun,
    grids: Grids,
    source: Float[Tensor, "1 c h w"],
    latents: Sequence[int] | None,
    offsets: Float[Tensor, " k"],
) -> dict[int, Float[Tensor, "k c h w"]]:
    """What the transformer makes of an image along latents, from the middle of all draws."""
    gan = run.gan(grids.name)
    assert isinstance(gan, NaturalGAN)
    x = source.to(run.device).expand(len(offsets), -1, -1, -1)
    z, found = x.new_zeros(len(offsets), gan.latent), {}
    for latent in _latents(run, grids, latents or range(gan.latent)):
        z_k = z.clone()
        z_k[:, latent] = offsets.to(z)
        found[latent] = gan.transform(x, z, z_k).cpu()
    return found


def _searched(
    grids: Grids, image: int, latents: Sequence[int] | None
) -> dict[int, Float[Tensor, "k c h w"]]:
    """What was searched for an image along the two latents of its grid."""
    shown, middle = grids.index.index(image), grids.side // 2
    grid = grids.tensors["grid_images"][shown].unflatten(0, (grids.side, grids.side))
    down, across = grids.dims[shown]
    there = {down: grid[:, middle], across: grid[middle]}
    if not set(latents or ()) <= set(there):
        raise _searched_elsewhere(grids, shown)
    return {latent: there[latent] for latent in latents or there}


def _image(run: OpenedRun, grids: Grids, image: int | None) -> int:
    """The image asked for.

    Raises:
        UserError: There is none, or its points were not searched.
    """
    if image is None:
        return grids.index[0]
    if image in grids.index:
        return image
    if grids.name.recipe != NATURAL:
        raise UserError(
            f"At {grids.name} images were searched one by one, for the test images "
            f"{', '.join(map(str, grids.index))} alone; name one of these."
        )
    count = len(run.images_to_show.test)
    if not 0 <= image < count:
        raise UserError(f"There is no test image {image}; their numbers are 0 to {count - 1}.")
    return image


def _latents(run: OpenedRun, grids: Grids, latents: Sequence[int]) -> list[int]:
    """The latents asked for.

    Raises:
        UserError: One is none of the site's.
    """
    count = run.gan(grids.name).latent
    for latent in latents:
        if not 0 <= latent < count:
            raise UserError(
                f"There is no latent {latent} at {grids.name}; their numbers are 0 to {count - 1}."
            )
    return list(latents)


def _searched_elsewhere(grids: Grids, shown: int) -> UserError:
    down, across = grids.dims[shown]
    return UserError(
        f"At {grids.name} test image {grids.index[shown]} was searched over latents {down} and "
        f"{across} alone; name these."
    )
