"""Is a planted symmetry found? Ours and LIG's fields beside the six affine ones, on two networks.

Each finds fields that a network ignores: LIG ten that leave the last features alone, ours one for
each latent of a transformer (mean over images). What is found of an affine field is its largest
inner product with a single one, and the share of it that lies in the span of all, weighted by how
much features depend on a place. Beside them the same of as many random fields of the same kind.

    python studies/symmetries.py PLAIN ROTATED
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
from filtergan.images.domain import to_float
from filtergan.images.image_fields import exponential
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import lig  # noqa: E402

RECORD = ROOT / "results" / "symmetries" / "record.json"
SITE = "conv4@bn5/natural"
IMAGES, STEPS, NULLS = 500, 600, 100
PLANTED = 60.0  # degrees: the largest angle that images were turned by
Fields = Float[Tensor, "k 2 h w"]
Rows = tuple[list[str], list[list[str]]]


def main() -> None:
    """Measure both runs, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN")
    paths = parser.parse_args().runs
    kinds = zip(("plain", "rotated"), paths, strict=True)
    found = {"git": git_state(), "networks": {kind: measured(path) for kind, path in kinds}}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    for line in rows_of(found)[1]:
        print(" | ".join(line))


@torch.no_grad()
def measured(path: Path) -> dict[str, Any]:
    """What each method finds of every affine field on one run's network."""
    run = fg.open_run(path)
    gan, network = run.gan(SITE), run.network
    assert isinstance(gan, fg.NaturalGAN)  # by its recipe
    x = run.dataset.test.pixels(torch.arange(IMAGES))
    places = coordinates(x.shape[2:])
    weights = lig.place_weights(network, x[:64], places)
    begun = time.monotonic()
    images = to_float(run.dataset.train.images[:5000])
    theirs, weights_of_lig = lig.learned(network, images, steps=STEPS, seed=0)
    took = time.monotonic() - begun
    ours = of_latents(gan, x)
    space, latent = gan.transformer.space, gan.latent

    def smooth(rng: torch.Generator) -> Fields:
        return in_half_sides(space.fields(torch.randn(latent, *space.size, generator=rng))["flow"])

    def untrained(rng: torch.Generator) -> Fields:
        torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
        return lig.Fields(len(theirs))(places, weights_of_lig)

    seconds = run.record.stages["natural"].seconds / len(run.record.stages["natural"].sites)
    return {
        "ours": compared(ours, weights, smooth)
        | {"seconds": seconds, "angles": distance(angles_of_ours(gan, x, weights))},
        "lig": compared(theirs, weights, untrained)
        | {"seconds": took, "angles": distance(angles_of_lig(theirs, weights))},
    }


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


def of_latents(gan: Any, x: Tensor) -> Fields:
    """The velocities by which a step of 1 along each latent moves images, mean over images."""
    fields = gan.transformer.fields(x, x.new_zeros(len(x), gan.latent)).mean(0)
    return in_half_sides(gan.transformer.space.fields(fields)["flow"])


def compared(
    found: Fields, weights: Tensor, random: Callable[[torch.Generator], Fields]
) -> dict[str, Any]:
    """Products and shares of every affine field, and the least symmetry bias; with their nulls."""
    rng = torch.Generator().manual_seed(0)
    value = scores(found, weights)
    with torch.random.fork_rng(devices=[]):
        nulls = [scores(random(rng), weights) for _ in range(NULLS)]
    null = {
        part: {name: sum(one[part][name] for one in nulls) / NULLS for name in value[part]}
        for part in value
    }
    return {"found": value, "null": null}


def scores(found: Fields, weights: Tensor) -> dict[str, dict[str, float]]:
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


def distance(found: Float[Tensor, " n"]) -> dict[str, float]:
    """W1 from angles to those planted (uniform), in degrees; that of no rotation; their spread."""
    place = (torch.arange(len(found)) + 0.5) / len(found)
    planted = (2 * place - 1) * PLANTED
    return {
        "w1": float((found.sort().values - planted).abs().mean()),
        "null": float(planted.abs().mean()),
        "sd": float(found.std()),
    }


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each network and method."""
    names = ("rotation", "size", "shear", "stretch", "right", "down")
    lines = []
    for kind, methods in found.get("networks", {}).items():
        for method, one in methods.items():
            value, null = one["found"], one["null"]
            cells = [
                f"{value['product'][name]:.2f} ({null['product'][name]:.2f}); "
                f"{value['share'][name]:.2f} ({null['share'][name]:.2f})"
                for name in names
            ]
            bias = f"{value['bias']['least']:.2f} ({null['bias']['least']:.2f})"
            turned = f"{one['angles']['w1']:.1f} ({one['angles']['null']:.0f})"
            lines.append([kind, method, *cells, bias, turned, f"{one['seconds']:.0f} s"])
    return ["network", "", *names, "symmetry bias", "W1 of angles, degrees", "learning"], lines


if __name__ == "__main__":
    main()
