"""How well Q recovers the latents, and how much information that proves."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.measures.definition import Measure
from filtergan.measures.statistics import ends, resample

CEILING = 1 - 1e-6
"""Largest R² that counts as information; above it the bound is a matter of rounding."""

MEASURES = (
    Measure(
        "latent_r2_{z}",
        "R² with which Q recovers z{z} from responses to held-out images.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3; Chen et al. 2016 (InfoGAN)",
    ),
    Measure(
        "latent_r2_min",
        "R² with which Q recovers the worst recovered latent from responses to held-out images.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3; Chen et al. 2016 (InfoGAN)",
    ),
    Measure(
        "latent_r2_mean",
        "R² with which Q recovers a latent from responses to held-out images, mean over latents.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3; Chen et al. 2016 (InfoGAN)",
    ),
    Measure(
        "information_nats",
        "Lower bound on the information that a response holds about z, from Q's R² of each latent.",
        0.0,
        None,
        "higher",
        "guessing the mean",
        "nats",
        "Barber and Agakov 2003, Gaussian codes",
    ),
)


def latent_name(latent: int) -> str:
    """Name of the measure for the R² of one latent, numbered from 0."""
    return f"latent_r2_{latent}"


def latent_r2(
    z: Float[Tensor, "n latents"], predicted: Float[Tensor, "n latents"]
) -> Float[Tensor, " latents"]:
    """R² of each latent, 1 - E(ẑ - z)² / Var z (eq. 3 in units of chance).

    Args:
        z: Latents of held-out responses.
        predicted: What Q makes of those responses.

    Returns:
        1 where recovered exactly, 0 for guessing the mean, negative for worse.
    """
    return 1 - (predicted - z).square().mean(dim=0) / z.var(dim=0, correction=0)


def information_nats(r2: Float[Tensor, "*batch latents"]) -> Float[Tensor, "*batch"]:
    """Lower bound on the information between z and the response, -1/2 sum log(1 - R²), in nats.

    Exact for jointly Gaussian, independent latents. R² is clipped to [0, 1 - 1e-6].
    """
    return -0.5 * torch.log1p(-r2.clamp(0, CEILING)).sum(dim=-1)


def latent_intervals(
    z: Float[Tensor, "n latents"],
    predicted: Float[Tensor, "n latents"],
    *,
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals, over responses, of every measure of the latents.

    Args:
        z: Latents of held-out responses.
        predicted: What Q makes of those responses.
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Returns:
        Intervals by name: each latent's R², their minimum and mean, the information in nats.
    """
    latent = z.detach().cpu().double().numpy()
    error = (predicted - z).detach().cpu().double().square().numpy()
    n, size = latent.shape
    blocks = []
    for counts in resample(n, resamples, seed):
        variance = counts @ latent**2 / n - (counts @ latent / n) ** 2
        blocks.append(1 - counts @ error / n / variance)
    r2 = np.concatenate(blocks)
    found = {latent_name(i): r2[:, i] for i in range(size)}
    found["latent_r2_min"], found["latent_r2_mean"] = r2.min(axis=1), r2.mean(axis=1)
    found["information_nats"] = information_nats(torch.from_numpy(r2)).numpy()
    intervals = {name: ends(torch.from_numpy(one), n) for name, one in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
