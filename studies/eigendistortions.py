"""Directions in which an image may change: plenoptic's eigendistortions, and our latents."""

import time
import warnings
from pathlib import Path
from typing import Any

import plenoptic
import torch
from jaxtyping import Float
from metamer_measures import Naturalness, measured, told
from metamer_sets import CHANGE, Images, Responses, Route, Task, at_change, residual
from torch import Tensor

import filtergan as fg
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.natural.natural_gan import null_of

STEP = 0.01  # in latent space, of a tangent


def eigendistortions(task: Task, folder: Path) -> tuple[Tensor, Tensor, Tensor, float]:
    """Eigendistortions of every image as plenoptic finds them, by its exact method.

    Args:
        task: Images and site.
        folder: Keeps those of each image.

    Returns:
        The k least and the k most noticed ones [n, 2, k, c, h, w], as many as there are latents,
        each of norm 1; all eigenvalues [n, d], largest first; Jacobians [n, r, d]; seconds
        of the processor for an image.
    """
    k, found, seconds = task.gan.latent, [], []
    for i, x in enumerate(task.x):
        path = folder / f"eigen_{i}.safetensors"
        if not path.exists():
            begun = time.process_time()
            search = of(task, x)
            search.synthesize(method="exact")
            took = time.process_time() - begun
            vectors = search.eigendistortions
            tensors = {
                "ends": torch.stack([vectors[-k:].flip(0), vectors[:k]]),
                "values": search.eigenvalues,
                "jacobian": search.jacobian,
            }
            folder.mkdir(parents=True, exist_ok=True)
            save_tensors(path, tensors, {"seconds": str(took)})
        found.append(load_tensors(path))
        seconds.append(float(load_metadata(path)["seconds"]))
    ends, values, jacobians = (
        torch.stack([one[name] for one in found]) for name in ("ends", "values", "jacobian")
    )
    return ends, values, jacobians, sum(seconds) / len(seconds)


def of(task: Task, x: Float[Tensor, "c h w"]) -> plenoptic.Eigendistortion:
    """The object of plenoptic for one image."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "input_tensor range", UserWarning)
        return plenoptic.Eigendistortion(x[None].clone(), Responses(task.site).eval())


def by_power(task: Task, values: Float[Tensor, " d"]) -> dict[str, float]:
    """Its default method, the power method, on the first image, beside exact eigenvalues."""
    search = of(task, task.x[0])
    begun = time.process_time()
    search.synthesize()
    most, least = search.eigenvalues.tolist()
    return {
        "seconds": time.process_time() - begun,
        "most_over_exact": most / float(values[0]),
        "least_over_mean": least / float(values.mean()),
    }


# ---------------------------------------------------------------------------------- directions


def noticed(
    jacobian: Float[Tensor, "n r d"], directions: Float[Tensor, "n k c h w"]
) -> Float[Tensor, "n k"]:
    """‖J u‖² of directions u of norm 1, over its mean for random ones (the mean eigenvalue)."""
    flat = directions.flatten(2)
    unit = flat / flat.norm(dim=2, keepdim=True)
    mean = jacobian.square().sum((1, 2)) / jacobian.shape[2]
    return (unit @ jacobian.mT).square().sum(2) / mean[:, None]


def straight(x: Images, directions: Images, held: bool = True) -> Route:
    """Straight on along directions, in norms of x; held within the range of pixels, or not."""
    norm = x.flatten(1).norm(dim=1) / directions.flatten(1).norm(dim=1)
    unit = directions * norm[:, None, None, None]
    ends = (0, 1) if held else (-torch.inf, torch.inf)
    return lambda way: (x + way[:, None, None, None] * unit).clamp(*ends)


def along_latents(gan: fg.NaturalGAN, x: Images, latents: Float[Tensor, "m latent"]) -> Route:
    """T from the centre of latent space, each image along a latent direction of its own."""
    return lambda way: gan.transform(x, torch.zeros_like(latents), way[:, None] * latents)


def tangents(gan: fg.NaturalGAN, x: Images) -> Float[Tensor, "n latent c h w"]:
    """How T begins to change images along each latent, at the centre of latent space."""
    eye = torch.eye(gan.latent)
    each, steps = x.repeat_interleave(gan.latent, 0), eye.repeat(len(x), 1)
    there, back = (along_latents(gan, each, sign * steps) for sign in (1, -1))
    step = torch.full((len(each),), STEP)
    return ((there(step) - back(step)) / (2 * STEP)).unflatten(0, (len(x), -1))


def compared(
    task: Task, labels: Tensor, natural: Naturalness, others: Tensor, folder: Path
) -> dict[str, Any]:
    """Each kind of directions: how much is noticed at first, and images at the same change."""
    ends, values, jacobians, seconds = eigendistortions(task, folder)
    n, k = len(task.x), task.gan.latent
    null, space = null_of(task.gan), task.gan.transformer.space
    each = task.x.repeat_interleave(2 * k, 0)
    signs = torch.tensor([1.0, -1.0]).repeat(n * k)
    rng = task.rng("directions")

    def both(directions: Tensor) -> Images:
        """Of every direction both signs, one after the other."""
        flat = directions.flatten(0, 1).repeat_interleave(2, 0)
        return flat * signs.reshape(-1, *[1] * (flat.ndim - 1))

    latents = both(torch.eye(k).expand(n, k, k))
    coefficients = torch.randn(n, k, *space.size, generator=rng)
    white = torch.randn(n, k, *task.x.shape[1:], generator=rng)
    spread = both(coefficients / coefficients.flatten(2).norm(dim=2)[..., None, None, None])
    some = STEP * coefficients.flatten(0, 1)
    begun = task.x.repeat_interleave(k, 0)
    smooth = (space.apply(begun, some) - space.apply(begun, -some)).unflatten(0, (n, k))
    kinds: dict[str, tuple[Tensor, Route]] = {
        "least": (ends[:, 0], straight(each, both(ends[:, 0]))),
        "most": (ends[:, 1], straight(each, both(ends[:, 1]))),
        "ours": (tangents(task.gan, task.x), along_latents(task.gan, each, latents)),
        "null": (tangents(null, task.x), along_latents(null, each, latents)),
        "fields": (
            smooth,
            lambda way: space.apply(each, way[:, None, None, None] * spread),
        ),
        "noise": (white, straight(each, both(white))),
    }
    found: dict[str, Any] = {}
    for kind, (first, route) in kinds.items():
        images, _ = at_change(route, each, CHANGE)
        sets = images.unflatten(0, (n, 2 * k))
        made = measured(task, labels, sets, natural, others)
        made["noticed"] = noticed(jacobians, first)
        if kind in ("least", "most", "noise"):  # as plenoptic adds them, whatever the range
            free, _ = at_change(straight(each, both(first), held=False), each, CHANGE)
            left = residual(task.site, task.wanted, free.unflatten(0, (n, 2 * k)))
            made["residual_unclamped"] = left / others.nanmean()
        found[kind] = told(made, task.seed)
        found[kind]["images"] = sets
    rank = (values > 1e-6 * values[:, :1]).sum(1).float().mean()
    return {
        "kinds": found,
        "images": n,
        "directions": k,
        "seconds": seconds,
        "rank": float(rank),
        "power": by_power(task, values[0]),
    }
