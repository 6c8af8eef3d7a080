"""Two networks of one make with different right answers: one leans on colour, one cannot.

In training every class of the one has its own colour; the other sees the same colours, drawn
without regard to the class. What tells them apart, among what this package has?
"""

import math
from pathlib import Path
from typing import Any

import torch
from color_mnist import CODE, ColourCNN, Digits, accuracy, background_of, palette, trained
from fiber_measures import Value, errors_of, jackknifed, mean_of
from fiber_samples import SPACE, codes_of, of_fields, random_fields
from jaxtyping import Float
from torch import Tensor

import filtergan as fg
from filtergan.ceilings.question import Answer
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.families.colour import COLOUR
from filtergan.families.family import Family, Fixed
from filtergan.machine import runtime

EARLY, LATE = "conv1", "conv3"
STARTS = 2  # of searches for each image
KINDS = {"relies on colour": True, "does not": False}
"""Kinds of networks, and whether every class has its own colour in training."""


def turned(x: Float[Tensor, "n 3 h w"], degrees: Float[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
    """Colours turned around the axis of grey levels: by 120 degrees, channels change places."""
    angle = degrees.deg2rad()
    eye, same = torch.eye(3), torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    matrix = cos * eye + (1 - cos) * same + sin * cross
    return (matrix @ x.flatten(2)).view_as(x)


HUE = Family(name="hue", words="hue", grey=False, fixed=(Fixed("hue 120 degrees", turned, 120.0),))
ASKED = ("brightness", "ground", "colour", HUE)


def trained_one(own: bool, train: Digits, seed: int, epochs: int, runs: Path) -> ColourCNN:
    """A network of a kind."""
    rng = runtime.generator(seed, "paint", int(own))
    x = train.painted(palette(10, seed), own, rng)
    return trained(
        False, x, train.labels, seed, epochs, runs / f"pair{seed}_{int(own)}.safetensors"
    )


def judged(
    own: bool, train: Digits, test: Digits, seed: int, options: Any, runs: Path
) -> dict[str, Any]:
    """Everything that is asked of one network.

    Args:
        own: Whether every class has its own colour in training.
        train: Digits.
        test: Held-out ones.
        seed: Of the network and of all else.
        options: Sizes: `epochs`, `steps`, `null_steps`, `images`, `evaluations` and
            `asked`.
        runs: Where networks and generators are kept.
    """
    network = trained_one(own, train, seed, options.epochs, runs)
    known, rng = palette(10, seed), runtime.generator(seed, "tests")
    as_trained = test.painted(known, own, rng)
    free, others = (test.painted(known, False, rng) for _ in range(2))
    before, after = (fg.predict(network, x).argmax(1) for x in (free, others))
    x, kept = free[: options.images], runs / f"pair_{int(own)}"
    mixed = train.painted(known, False, rng)  # what both are asked with, and T is trained on
    return {
        "accuracy_as_trained": accuracy(network, as_trained, test.labels),
        "accuracy_free": accuracy(network, free, test.labels),
        "kept_recoloured": mean_of((before == after).double()[:, None]),
        "asked": asked(network, mixed, free, seed, options.asked),
        "natural": natural(network, mixed, x, seed, options, kept),
        "search": colour_left(network, x, seed, options),
    }


def asked(
    network: ColourCNN, train: Tensor, test: Tensor, seed: int, images: int
) -> dict[str, dict[str, Any]]:
    """What `fg.ask` answers of changes of colour at the first layer."""
    site = fg.Site(network, EARLY, test[:2])
    config = CeilingConfig(train_images=2 * images, test_images=images)
    answers = fg.ask(site, train, test, ASKED, config, seed)
    return {name: told(answer) for name, answer in answers.items()}


def told(answer: Answer) -> dict[str, Any]:
    """An answer as plain values."""
    arrived = {"verdict": answer.verdict, "response_change": answer.ceiling.response_change}
    return arrived | {name: part.model_dump(mode="json") for name, part in answer.measures.items()}


def natural(
    network: ColourCNN, train: Tensor, x: Tensor, seed: int, options: Any, kept: Path
) -> dict[str, Any]:
    """What the transformer of the first layer, read at the code, does to images."""
    gan = learned(network, EARLY, train, seed, options, kept)
    z, z_k = torch.randn(2, len(x), gan.latent, generator=runtime.generator(seed, "latents"))
    found = {}
    for name, one in (("generator", gan), ("null", gan.null)):
        assert one is not None, "`learn` trains a null"
        found[name] = of_transformer(network, one, x, z, z_k)
    return found


def learned(
    network: ColourCNN, layer: str, train: Tensor, seed: int, options: Any, kept: Path
) -> fg.NaturalGAN:
    """The generator and transformer of a layer read at the code, or those that are kept."""
    folder = kept / f"{layer}_{seed}"
    if not folder.exists():
        config = fg.NaturalConfig(
            latent=(6,),
            fields=SPACE.kinds,
            size=0.15,
            channels=16,
            steps=options.steps,
            null_steps=options.null_steps,
        )
        site = fg.Site(network, layer, train[:2], CODE)
        fg.learn(site, train, config, seed).save(folder)
    return fg.NaturalGAN.load(folder, network)


@torch.no_grad()
def of_transformer(
    network: ColourCNN, gan: fg.NaturalGAN, x: Tensor, z: Tensor, z_k: Tensor
) -> dict[str, Value]:
    """What T undoes, how much it changes colours, and whether the network keeps its labels."""
    x_k, site = gan.transform(x, z, z_k), gan.site
    here, there, h = gan.draw(z), gan.draw(z_k), site.input(x)
    wanted = site.respond(h, here)
    before, after = (
        (site.respond(inputs, there) - wanted).flatten(1).square().sum(1)
        for inputs in (h, site.input(x_k))
    )
    assert COLOUR.explained is not None
    assert COLOUR.explained.fit is not None
    change = (x_k - x).flatten(1).square().sum(1)
    rest = COLOUR.explained.fit(x, x_k)
    kept = network(x_k).argmax(1) == network(x).argmax(1)
    return {
        "undone": less(after, before),
        "colour": less(rest, change),
        "change": jackknifed(
            lambda sums: (sums[..., 0] / sums[..., 1]).sqrt(),
            torch.stack([change, x.flatten(1).square().sum(1)], dim=1),
        ),
        "kept": mean_of(kept.double()[:, None]),
    }


def less(rest: Tensor, whole: Tensor) -> Value:
    """One less the ratio of two sums over images."""
    return jackknifed(
        lambda sums: 1 - sums[..., 0] / sums[..., 1], torch.stack([rest, whole], dim=1)
    )


def colour_left(network: ColourCNN, x: Tensor, seed: int, options: Any) -> dict[str, Value]:
    """How much of a random change of colour a search for the same code leaves standing."""
    rng = runtime.generator(seed, "fields")
    many = x.repeat_interleave(STARTS, 0)
    start = random_fields(len(many), rng)
    found = of_fields(network, many, start, options.evaluations)
    wanted = background_of(many)
    begun, left = (
        (background_of(images) - wanted).square().sum(1).unflatten(0, (-1, STARTS)).sum(1)
        for images in (SPACE.apply(many, start), found)
    )
    codes = codes_of(network, found).unflatten(0, (-1, STARTS))
    own = codes_of(network, x)
    unit = float(errors_of(own[:, None], own.roll(1, 0)).mean())
    return {
        "left": jackknifed(
            lambda sums: (sums[..., 0] / sums[..., 1]).sqrt(), torch.stack([left, begun], dim=1)
        ),
        "error": mean_of(errors_of(codes, own) / unit),
    }
