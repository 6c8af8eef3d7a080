"""What the transformer of a site of the natural recipe is worth, beside its null and searches."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.images.image_fields import folded
from filtergan.machine import runtime
from filtergan.measures.latents import latent_intervals, latent_r2
from filtergan.measures.registry import centre, result
from filtergan.measures.transformers import (
    agreement,
    alike_directions,
    error_over_way,
    independent_directions,
    nearest_compensation,
)
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.runs.record import Found
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_images import ImageMeasures, PerPoint

CANDIDATES = 1000  # training images among which the nearest in response is sought
POINTS = 2  # of each image, at which the transformer is asked once more
HELD_OUT = 2000  # test images, each with a z and a z' of its own, behind R²
BATCH = 256  # images in a pass


def measure_transformer(
    materials: Materials,
    gan: NaturalGAN,
    null: NaturalGAN,
    tensors: dict[str, Tensor],
    images: ImageMeasures,
    seed: int,
) -> Found:
    """Measure a transformer.

    Args:
        materials: Images and network.
        gan: The trained generator with its transformer.
        null: Random directions of the filters, with a transformer trained alike.
        tensors: What the traverse stage found.
        images: The measured images.
        seed: Of the measures.
    """
    x, device = images.x, materials.device
    ours, theirs = (
        _searched(tensors, x, prefix) | _folds(one, tensors, x, device)
        for one, prefix in ((gan, ""), (null, "null_"))
    )
    more, nulls = _walked(gan, tensors, x, device)
    nearest, random = _nearest(materials, gan, tensors, x, seed)
    ours |= more | {"nearest_image_compensation": nearest}
    theirs |= nulls | {"nearest_image_compensation": random}
    found = {
        name: images.summary(name, values, centre(name, theirs[name]))
        for name, values in ours.items()
    }
    return found | _read(materials, gan, images.run.config.measure.resamples, seed)


def _searched(tensors: dict[str, Tensor], x: Tensor, prefix: str) -> PerPoint:
    """What searches reach, how like them T is, and in how many ways the latents change images."""
    search, axes = tensors[f"{prefix}search_images"], tensors[f"{prefix}axes_images"]
    (n, p), axes_n = search.shape[:2], len(axes)
    own = tensors["null_images" if prefix else "points_images"][:n, :p]
    latents = tensors["points_z"].shape[1]
    along = (axes[:, :latents] - x[:axes_n, None]).flatten(2)
    return {
        "search_compensation": tensors[f"{prefix}search_compensation"],
        "pixel_compensation": tensors[f"{prefix}pixel_compensation"],
        "transformer_search_agreement": agreement(own - x[:n, None], search - x[:n, None]),
        "independent_directions": independent_directions(along)[:, None],
        "alike_directions": alike_directions(along)[:, None],
    }


@torch.no_grad()
def _folds(
    gan: NaturalGAN, tensors: dict[str, Tensor], x: Tensor, device: torch.device
) -> PerPoint:
    """How much of each image's flow folds; nothing where images are not moved."""
    found = []
    for z_k in tensors["points_targets"][:, :POINTS].unbind(1):
        parts = (t.to(device).split(BATCH) for t in (x, tensors["points_z"], z_k))
        for part in zip(*parts, strict=True):
            fields = gan.transformer.drawn(*part)
            if "flow" not in fields:
                return {}
            found.append(folded(fields["flow"]).cpu())
    return {"folded_share": torch.cat(found).unflatten(0, (-1, len(x))).T}


def _walked(
    gan: NaturalGAN, tensors: dict[str, Tensor], x: Tensor, device: torch.device
) -> tuple[PerPoint, PerPoint]:
    """Errors on the way there and back, and on the way in two steps; then those of doing less."""
    start, z = x.to(device), tensors["points_z"].to(device)
    ours, theirs = [], []
    for z_k in tensors["points_targets"][:, :POINTS].to(device).unbind(1):
        end, half = gan.transform(start, z, z_k), gan.transform(start, z, (z + z_k) / 2)
        back, again = gan.transform(end, z_k, z), gan.transform(half, (z + z_k) / 2, z_k)
        way = end - start
        ours.append([error_over_way(back, start, way), error_over_way(again, end, way)])
        theirs.append([error_over_way(end, start, way), error_over_way(half, end, way)])
    names = ("return_error", "composition_error")
    first, second = (
        {name: torch.stack(values, dim=1).cpu() for name, *values in zip(names, *each, strict=True)}
        for each in (ours, theirs)
    )
    return first, second


@torch.no_grad()
def _read(materials: Materials, gan: NaturalGAN, resamples: int, seed: int) -> Found:
    """How well z' - z is read from held-out images, each with latents of its own."""
    test = materials.dataset.test
    chosen = runtime.sample(len(test), HELD_OUT, seed, "read images")
    z, z_k = (gan.latents(len(chosen), seed, "read", end) for end in ("from", "to"))
    parts = zip(chosen.split(BATCH), z.split(BATCH), z_k.split(BATCH), strict=True)
    read = []
    for index, *latents in parts:
        x = test.pixels(index).to(materials.device)
        read.append(gan.reader(x, gan.transform(x, *latents)))
    step, found = (z_k - z).cpu(), torch.cat(read).cpu()
    ends = latent_intervals(step, found, resamples=resamples, seed=seed)
    r2 = latent_r2(step, found)
    return {
        f"step_r2_{end}": result(
            f"step_r2_{end}", float(value), ends[f"latent_r2_{end}"], len(chosen), 0.0
        )
        for end, value in (("min", r2.min()), ("mean", r2.mean()))
    }


@torch.no_grad()
def _nearest(
    materials: Materials, gan: NaturalGAN, tensors: dict[str, Tensor], x: Tensor, seed: int
) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]:
    """Compensation by the training image nearest in response, and by the median one.

    Images of a group share z and its points, and so the filters.
    """
    train, site, device = materials.dataset.train, gan.site, materials.device
    chosen = runtime.sample(len(train), CANDIDATES, seed, "candidates")
    z, targets, groups = (tensors[f"points_{key}"] for key in ("z", "targets", "groups"))
    others, own = materials.inputs(site, train, chosen), site.input(x.to(device))
    found = torch.full((2, len(x), min(POINTS, targets.shape[1])), torch.nan)
    for group in groups.unique():
        rows = (groups == group).nonzero()[:, 0]
        h, one = own[rows.to(device)], rows[0]
        wanted = site.respond(h, gan.draw(z[one, None].to(device))[0]).flatten(1)
        for place in range(found.shape[2]):
            filters = gan.draw(targets[one, place, None].to(device))[0]
            moved = site.respond(h, filters).flatten(1)
            candidates = torch.cat(
                [site.respond(part, filters).flatten(1) for part in others.split(BATCH)]
            )
            before = (moved - wanted).square().sum(dim=1)
            pair = nearest_compensation(candidates, wanted, before)
            found[:, rows, place] = torch.stack(pair).cpu()
    return found[0], found[1]
