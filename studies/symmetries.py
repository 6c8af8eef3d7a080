"""Is a planted symmetry found? Ours and LIG's fields beside the six affine ones, on two networks.

Each finds fields that a network ignores: LIG ten that leave the last features alone, ours one for
each latent of a transformer (mean over images). What is found of an affine field is its largest
inner product with a single one, and the share of it that lies in the span of all, weighted by how
much features depend on a place. Beside them the same of as many random fields of the same kind.
Ours has intervals over images, LIG's the range of three trainings.

    python studies/symmetries.py PLAIN ROTATED --data path/to/mnist
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import filtergan as fg
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.families.catalogue import FAMILIES
from filtergan.images.domain import to_float
from filtergan.images.image_fields import exponential
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.measures.statistics import ends, resample

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import lig  # noqa: E402

RECORD = ROOT / "results" / "symmetries" / "record.json"
SITE = "conv4@bn5/natural"
IMAGES, STEPS, NULLS = 500, 600, 100
LIG_SEEDS, RESAMPLES = 3, 200
Fields = Float[Tensor, "k 2 h w"]
Scores = dict[str, dict[str, float]]
Range = dict[str, dict[str, list[float]]]
Rows = tuple[list[str], list[list[str]]]


def main() -> None:
    """Measure both runs, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="plain, then rotated")
    parser.add_argument("--data", help="their images, where they have moved")
    arguments = parser.parse_args()
    git = git_state()
    runs = [fg.open_run(path, data=arguments.data) for path in arguments.runs]
    planted = largest_angle(runs[1].config.dataset)
    networks = {
        kind: measured(run, planted) for kind, run in zip(("plain", "rotated"), runs, strict=True)
    }
    found = {"git": git, "machine": machine("cpu"), "degrees": planted, "networks": networks}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    for line in rows_of(found)[1]:
        print(" | ".join(line))


def largest_angle(dataset: DatasetConfig) -> float:
    """By which training images were turned, either way, in degrees.

    Raises:
        ValueError: They were not, or not by as much either way.
    """
    if dataset.planted != "rotation":
        raise ValueError("The second run is to be of a network with a planted rotation.")
    strength = FAMILIES["rotation"].strength
    assert strength is not None
    low, high = dataset.planted_range or (strength.low, strength.high)
    if low != -high:
        raise ValueError(f"Angles from {low} to {high} are not the same either way.")
    return high


@torch.no_grad()
def measured(run: Any, planted: float) -> dict[str, Any]:
    """What each method finds of every affine field on one run's network."""
    gan, network = run.gan(SITE), run.network
    assert isinstance(gan, fg.NaturalGAN)  # by its recipe
    x = run.dataset.test.pixels(torch.arange(IMAGES))
    places = coordinates(x.shape[2:])
    weights = lig.place_weights(network, x[:64], places)
    images = to_float(run.dataset.train.images[:5000])
    begun = time.monotonic()
    theirs = [lig.learned(network, images, steps=STEPS, seed=seed) for seed in range(LIG_SEEDS)]
    took = (time.monotonic() - begun) / LIG_SEEDS
    space, latent, weights_of_lig = gan.transformer.space, gan.latent, theirs[0][1]

    def smooth(rng: torch.Generator) -> Fields:
        return in_half_sides(space.fields(torch.randn(latent, *space.size, generator=rng))["flow"])

    def untrained(rng: torch.Generator) -> Fields:
        torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
        return lig.Fields(lig.FIELDS)(places, weights_of_lig)

    ours, turned = of_latents(gan, x), angles_of_ours(gan, x, weights)
    seconds = run.record.stages["natural"].seconds / len(run.record.stages["natural"].sites)
    return {
        "ours": {
            "found": scores(ours.mean(0), weights),
            "range": over_images(ours, weights),
            "null": of_random(smooth, weights),
            "angles": distance(turned, planted),
            "seconds": seconds,
        },
        "lig": of_seeds([scores(fields, weights) for fields, _ in theirs])
        | {
            "null": of_random(untrained, weights),
            "angles": distance(torch.cat([angles_of_lig(f, weights) for f, _ in theirs]), planted),
            "seconds": took,
        },
    }


def over_images(fields: Float[Tensor, "n k 2 h w"], weights: Tensor) -> Range:
    """Ends of 95 % intervals of the scores of mean fields, over images."""
    counts = next(resample(len(fields), RESAMPLES, seed=0))
    drawn = (torch.from_numpy(row).float() / len(fields) for row in counts)
    every = [scores(torch.einsum("n,nkihw->kihw", row, fields), weights) for row in drawn]

    def both(part: str, name: str) -> list[float]:
        return ends(torch.tensor([one[part][name] for one in every]), len(fields)).tolist()

    return {part: {name: both(part, name) for name in of} for part, of in every[0].items()}


def of_seeds(every: Sequence[Scores]) -> dict[str, Any]:
    """Mean scores of several trainings, and the least and the largest of each."""
    value, spread = {}, {}
    for part, names in every[0].items():
        each = {name: [one[part][name] for one in every] for name in names}
        value[part] = {name: sum(them) / len(them) for name, them in each.items()}
        spread[part] = {name: [min(them), max(them)] for name, them in each.items()}
    return {"found": value, "range": spread}


def of_random(random: Callable[[torch.Generator], Fields], weights: Tensor) -> Scores:
    """Mean scores of random fields of the same kind."""
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        found: Scores = of_seeds([scores(random(rng), weights) for _ in range(NULLS)])["found"]
    return found


def coordinates(size: Sequence[int]) -> Float[Tensor, "h w 2"]:
    """Places of pixels, horizontal first, from -1 to 1."""
    sides = (torch.linspace(-1, 1, length) for length in reversed(size))
    return torch.stack(torch.meshgrid(*sides, indexing="xy"), dim=-1)


def affine(size: Sequence[int]) -> dict[str, Float[Tensor, "2 h w"]]:
    """The six generators of affine maps."""
    x, y = coordinates(size).unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    pairs = {
        "rotation": (-y, x),
        "size": (x, y),
        "shear": (y, x),
        "stretch": (x, -y),
        "right": (one, none),
        "down": (none, one),
    }
    return {name: torch.stack(pair) for name, pair in pairs.items()}


def in_half_sides(flow: Fields) -> Fields:
    """Ways in pixels, in half sides."""
    height, width = flow.shape[2:]
    return flow / flow.new_tensor([(width - 1) / 2, (height - 1) / 2])[:, None, None]


def of_latents(gan: Any, x: Tensor) -> Float[Tensor, "n k 2 h w"]:
    """The velocities by which a step of 1 along each latent moves each image."""
    fields = gan.transformer.fields(x, x.new_zeros(len(x), gan.latent))
    flows = in_half_sides(gan.transformer.space.fields(fields.flatten(0, 1))["flow"])
    return flows.unflatten(0, fields.shape[:2])


def scores(found: Fields, weights: Tensor) -> Scores:
    """Of one set of fields: `product`, `share` and `bias`."""
    found = lig.normalised(found, weights)
    known = affine(found.shape[2:])
    targets = lig.normalised(torch.stack(list(known.values())), weights)
    products = lig.products(found, targets, weights)
    gram = lig.products(found, found, weights)
    spanned = (products * (torch.linalg.pinv(gram, hermitian=True) @ products)).sum(0)
    linear = torch.stack([linear_part(one, weights) for one in found])
    symmetric = (linear + linear.mT) / 2
    bias = symmetric.flatten(1).norm(dim=1) / linear.flatten(1).norm(dim=1)
    return {
        "product": dict(zip(known, products.abs().amax(0).tolist(), strict=True)),
        "share": dict(zip(known, spanned.tolist(), strict=True)),
        "bias": {"least": float(bias.min())},
    }


def linear_part(field: Float[Tensor, "2 h w"], weights: Tensor) -> Float[Tensor, "2 2"]:
    """The matrix A of the weighted least squares v(p) = A p + t."""
    places = coordinates(field.shape[1:]).flatten(0, 1)
    known = torch.cat([places, torch.ones(len(places), 1)], dim=1)
    root = weights.flatten().sqrt()[:, None]
    return torch.linalg.lstsq(known * root, field.flatten(1).mT * root).solution[:2].mT


def angles_of_ours(gan: Any, x: Tensor, weights: Tensor) -> Float[Tensor, " n"]:
    """Angles, in degrees, by which T between two draws turns each image."""
    rng = torch.Generator().manual_seed(0)
    z, z_k = torch.randn(2, len(x), gan.latent, generator=rng)
    space, coefficients = gan.transformer.space, gan.transformer.coefficients(x, z, z_k)
    return angles(in_half_sides(exponential(space.fields(coefficients)["flow"])), weights)


def angles_of_lig(fields: Fields, weights: Tensor) -> Float[Tensor, " n"]:
    """The same of one field at a time, each for as long as it may be followed in training."""
    rng = torch.Generator().manual_seed(0)
    times = (2 * torch.rand(IMAGES // len(fields), generator=rng) - 1) * lig.SIGMA
    return torch.cat([angles(lig.flowed(fields, float(time)), weights) for time in times])


def angles(flow: Fields, weights: Tensor) -> Float[Tensor, " n"]:
    """Of the rotation nearest to the affine map nearest to each flow."""
    a = torch.eye(2) + torch.stack([linear_part(one, weights) for one in flow])
    return torch.atan2(a[:, 1, 0] - a[:, 0, 1], a[:, 0, 0] + a[:, 1, 1]).rad2deg()


def distance(found: Float[Tensor, " n"], planted: float) -> dict[str, float]:
    """W1 from angles to those planted (uniform), in degrees; that of no rotation; their spread."""
    place = (torch.arange(len(found)) + 0.5) / len(found)
    uniform = (2 * place - 1) * planted
    return {
        "w1": float((found.sort().values - uniform).abs().mean()),
        "null": float(uniform.abs().mean()),
        "sd": float(found.std()),
    }


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each method and affine field, with both networks beside each other."""
    networks = found.get("networks", {})
    lines = []
    for method in ("ours", "lig"):
        of = [networks[kind][method] for kind in networks]
        names = [*of[0]["found"]["product"]] if of else []
        for name in names:
            cells = [_cell(one, part, name) for part in ("product", "share") for one in of]
            lines.append([method, name, *cells])
        if of:
            lines.append([method, "symmetry bias", *(_cell(one, "bias", "least") for one in of)])
            turned = [f"{one['angles']['w1']:.1f} ({one['angles']['null']:.1f})" for one in of]
            lines.append([method, "W1 of angles, degrees", *turned])
            lines.append([method, "learning", *(f"{one['seconds']:.0f} s" for one in of)])
    widest = 2 + 2 * len(networks)
    head = [f"{part}: {kind}" for part in ("largest product", "share of span") for kind in networks]
    return ["", "", *head], [line + [""] * (widest - len(line)) for line in lines]


def _cell(one: dict[str, Any], part: str, name: str) -> str:
    low, high = one["range"][part][name]
    null = one["null"][part][name]
    return f"{one['found'][part][name]:.2f} ({low:.2f} to {high:.2f}); null {null:.2f}"


if __name__ == "__main__":
    main()
