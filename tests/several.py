"""What processes compute together, as a script for each of them and as a function for one."""

import sys
from pathlib import Path
from typing import Any

import torch
from games import site
from strokes import draw
from torch import Tensor, nn

from filtergan.classifiers.fitting import predict
from filtergan.config.fields import GanConfig, Shown, TraversalConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.game.ablated import gan_type
from filtergan.game.training import Game
from filtergan.machine import distributed
from filtergan.machine.files import load_tensors, save_tensors
from filtergan.measures.explained import explained_all
from filtergan.natural.joint import JointGame
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.pooling.retraining import draw_accuracy
from filtergan.sites.site import Site
from filtergan.walks.points import points_around
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import walk

STEPS = 20
GAMES: dict[str, dict[str, Any]] = {
    "summed": {},
    "algorithm1": {"updates": "algorithm1", "loss": "minimax"},
    "filters": {"shown": "filters", "spectral_norm": False},
}


def game(
    one: Site, images: Tensor, shown: Shown = "responses", **changes: Any
) -> tuple[Game, Tensor]:
    """A small game whose minibatch of 7 no number of processes divides evenly."""
    small = {"latent": 3, "hidden": 8, "discriminator_channels": 4, "steps": 40, "batch": 7}
    config = GanConfig.model_validate(small | changes)
    inputs = one.input(images)
    return Game(gan_type(shown).new(one, inputs, config, 7), config, 7), inputs


def losses(played: Game, inputs: Tensor, steps: int) -> Tensor:
    """The logged losses of each step."""
    return torch.stack([torch.stack(list(played.play(inputs).values())) for _ in range(steps)])


def found() -> dict[str, Tensor]:
    one, images = site(), torch.rand(30, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    tensors: dict[str, Tensor] = {}
    for name, changes in GAMES.items():
        played, inputs = game(one, images, **changes)
        tensors[f"losses {name}"] = losses(played, inputs, STEPS)
        tensors[f"average {name}"] = nn.utils.parameters_to_vector(
            played.result().generator.parameters()
        )
    natural = NaturalConfig(
        latent=(3,), steps=40, pairs=7, pair_images=2, grid=3, channels=4, game=1.0
    )
    chosen = joint_config(GanConfig(hidden=8, discriminator_channels=4), natural)
    joint = JointGame(NaturalGAN.new(one, one.input(images), chosen, 7), 7)
    tensors["losses joint"] = losses(joint, images, STEPS)
    moved = joint.players["transformer"].average
    assert moved is not None
    tensors["average joint"] = nn.utils.parameters_to_vector(moved.parameters())
    gan = game(one, images)[0].gan
    z = gan.latents(5, 3)
    prior = NaturalImagePrior.measured(images, 0.1, 0.1)
    config = TraversalConfig(evaluations=4, batch=4, smoothing=0.5)
    for name, seed in (("walk", None), ("null", 5)):
        search = PixelSearch(prior, config)
        inverted = walk(gan, search, images[:5], z, points_around(z, 3, 2.0, 1), seed)
        tensors |= {f"{name} {key}": value for key, value in vars(inverted).items()}
    tensors["logits"] = predict(one.network, images, batch=7, prepare=lambda x: x)
    return tensors | classified() | shares()


def shares() -> dict[str, Tensor]:
    """What families explain of a shift that dims, of more images than are worked on at once."""
    x = draw(torch.linspace(1.2, 2.0, 17), curves=2)
    pairs = torch.arange(17).flip(0)
    x_k = 0.8 * x[pairs].roll(1, -1)
    found = explained_all(x, x_k, pairs, over=distributed.spread)
    return {f"explained {name}": values for name, values in found.items()}


def classified() -> dict[str, Tensor]:
    """Images classified with other filters, which is done in single precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    one, rng = site(), torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (30, 1, 6, 6), generator=rng, dtype=torch.uint8)
    filters = torch.randn(5, *one.filters.shape, generator=rng)
    where = torch.device("cpu")
    right = draw_accuracy(one, pixels, torch.arange(30) % 3, filters, (1, 3), device=where, batch=8)
    torch.set_default_dtype(before)
    return {"single": right.single} | {f"pooled {k}": v for k, v in right.pooled.items()}


def first_losses() -> dict[str, Tensor]:
    """Of a game in single precision, or in what `start` was told."""
    one, images = site(), torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    tensors = {}
    for name, changes in GAMES.items():
        played, inputs = game(one, images, batch=64, **changes)
        tensors[name] = losses(played, inputs, STEPS)
        assert all(w.dtype == torch.float32 for w in played.gan.generator.parameters())
    return tensors


def agreed(folder: Path) -> dict[str, Tensor]:
    """What `lead` and `agree` give every process, and their shares of five things."""
    rank = distributed.share(distributed.size()).start
    path = folder / "written by the first"
    distributed.lead(lambda: path.write_text(f"by {rank}"))
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, rank + 1)
    distributed.agree(layer)
    mine = [torch.arange(5)[distributed.share(5)]]
    parts = distributed.spread(lambda i: mine[0], list(range(distributed.size())))
    return {
        "read": torch.tensor(path.read_text() == "by 0"),
        "weight": layer.weight,
        "shares": torch.cat(parts),
        "kept": load_tensors(folder / "double")["single"],
    }


if __name__ == "__main__":
    folder, precision = Path(sys.argv[1]), sys.argv[2]
    distributed.start("cpu", precision)
    if precision == "32-true":
        torch.set_default_dtype(torch.float64)
        save_tensors(folder / "double", found())
        save_tensors(folder / "agreed", agreed(folder))
    else:
        save_tensors(folder / "mixed", first_losses())
