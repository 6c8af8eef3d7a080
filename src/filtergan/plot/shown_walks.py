"""Figures of walks through latent space: over planes, along latents, and animated."""

from collections.abc import Sequence

import numpy as np
import torch

from filtergan.config.site_names import NATURAL
from filtergan.errors import UserError
from filtergan.figures import Figure, fields_figure, walk_figure, walk_frames
from filtergan.measures.doubts import latent_shape
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.plot.asked import Run, asked_width, chosen, grids_of, opened, transformed
from filtergan.plot.walked import along, largest, over_plane
from filtergan.report.text import listed
from filtergan.study.opened import OpenedRun

FRAMES = 25  # of an animation, where a transformer makes them: a quarter of a deviation each


def traversals(run: Run, site: str | None = None, *, width: str | None = None) -> Figure:
    """All images that the run shows, each over a plane of two latents (the paper's figs. 3, 4).

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run or site, it is not traversed yet, or the width makes no
            sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.traversals("runs/digits", width="85mm")
    """
    run, name = chosen(run, site)
    with asked_width(width):
        return grids_of(run, name).page()


def traversal(
    run: Run,
    site: str | None = None,
    *,
    image: int | None = None,
    latents: Sequence[int] | None = None,
    width: str | None = None,
) -> Figure:
    """One image over a plane of two latents, what has changed in each, and their numbers.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        image: Number of a test image. By the natural recipe any; by the paper's one of those that
            the run shows, whose points were searched. By default the first of these.
        latents: Down and across. By default, and by the paper's recipe always, those that the run
            chose for the image.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: There is no such run, site, image or latent, it is not traversed yet, the images
            of the run are not found, or the width makes no sense.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.traversal("runs/digits", image=7, latents=(0, 1), width="85mm")
    """
    run, name = chosen(run, site)
    grids, n, source = over_plane(run, grids_of(run, name), image, latents)
    with asked_width(width):
        return grids.one(n, source)


def walk(
    run: Run,
    site: str | None = None,
    *,
    image: int | None = None,
    latents: Sequence[int] | None = None,
    width: str | None = None,
) -> Figure:
    """One image along single latents, above what has changed in it.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        image: Number of a test image, as for `traversal`.
        latents: Which ones. By default all, by the paper's recipe the two that the run chose.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: As for `traversal`.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.walk("runs/digits", image=7, latents=(0, 2))
    """
    run, name = chosen(run, site)
    grids = grids_of(run, name)
    walked = along(run, grids, image, latents)
    with asked_width(width):
        return walk_figure(
            walked.source,
            {f"z{latent}": images for latent, images in walked.images.items()},
            {f"z{latent}": kept for latent, kept in walked.kept.items()},
            walked.offsets,
            f"{grids.reached}, test image {walked.image}",
            told={} if grids.failures else _told(run, name),
            failures=grids.failures,
        )


def fields(
    run: Run,
    site: str | None = None,
    *,
    image: int | None = None,
    latents: Sequence[int] | None = None,
    width: str | None = None,
) -> Figure:
    """What one image becomes along each latent, beside the fields by which T makes it so.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5/natural`; by default the run's first of the natural recipe.
        image: Number of a test image; by default the first shown.
        latents: Which ones; by default all.
        width: Such as `85mm`; by default that of a page.

    Raises:
        UserError: As for `traversal`; or the site's images were searched, not made by fields.

    Examples:
        >>> import filtergan as fg
        >>> figure = fg.plot.fields("runs/digits", image=7, width="85mm")
    """
    run = opened(run)
    made = transformed(run)
    run, name = chosen(run, site or (made[0] if made else None))
    if name not in made:
        raise UserError(
            f"Images at {name} are searched pixel by pixel, not made by fields; name a site of the "
            "natural recipe."
        )
    grids = grids_of(run, name)
    walked = along(run, grids, image, latents, points=3)
    shown, offset = list(walked.images), walked.offsets[-1]
    x = walked.source.to(run.device).expand(len(shown), *walked.source.shape)
    gan = run.gan(name)
    assert isinstance(gan, NaturalGAN)
    z_k = offset * torch.eye(gan.latent, device=run.device)[shown]
    with torch.no_grad():
        found = gan.transformer.drawn(x, torch.zeros_like(z_k), z_k)
    with asked_width(width):
        return fields_figure(
            walked.source,
            torch.stack([walked.images[latent][-1] for latent in shown]),
            {kind: field.cpu() for kind, field in found.items()},
            shown,
            offset,
            f"{grids.reached}, test image {walked.image}",
            grids.failures,
        )


def frames(
    run: Run,
    site: str | None = None,
    *,
    image: int | None = None,
    latents: Sequence[int] | None = None,
    width: str | None = None,
) -> list[np.ndarray]:
    """Images along one latent, a frame for each point, in the order of the offsets.

    Args:
        run: The run, or its path.
        site: Such as `conv4@bn5`; by default the run's first.
        image: Number of a test image, as for `traversal`; by default all that the run shows.
        latents: The one; by default that which changes these images most.
        width: Such as `180mm`; by default that of a page.

    Returns:
        Frames [y, x, 3] of bytes.

    Raises:
        UserError: As for `traversal`; or several latents are named.
    """
    run, name = chosen(run, site)
    if latents is not None and len(latents) != 1:
        raise UserError("An animation walks along one latent; name one.")
    grids = grids_of(run, name)
    if latents is None:
        latents = [largest(run, grids, [image] if image is not None else grids.index)]
    shown = grids.index if image is None else [image]
    if image is None and name.recipe != NATURAL:
        shown = [one for one, dims in zip(shown, grids.dims, strict=True) if latents[0] in dims]
        if not shown:
            raise UserError(
                f"No grid of {name} goes along z{latents[0]}; they go along "
                f"{listed([f'z{j}' for j in sorted({j for dims in grids.dims for j in dims})])}."
            )
    walks = [along(run, grids, one, latents, FRAMES) for one in shown]
    with asked_width(width):
        found = walk_frames(
            torch.stack([one.source for one in walks]),
            torch.stack([one.images[latents[0]] for one in walks], dim=1),
            walks[0].offsets,
            f"z{latents[0]}",
            grids.reached,
            grids.failures,
        )
        return list(found)


def _told(run: OpenedRun, name: str) -> dict[str, str]:
    """What the measures say that each latent does; nothing of shares and of labels."""
    site = run.record.sites[name]
    return {one.name: latent_shape(one, site) for one in site.latents}
