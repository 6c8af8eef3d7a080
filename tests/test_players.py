"""The list of players: one entry is enough for one more; and what a minibatch holds."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game import training
from filtergan.game.gan import FilterGAN
from filtergan.game.minibatch import Minibatch
from filtergan.game.players import Player, Players, adam, players_of
from filtergan.game.training import Diverged, Game, train
from filtergan.machine import distributed
from filtergan.machine.files import load_tensors
from filtergan.machine.runtime import generator as random_generator
from filtergan.sites.site import Site

CONFIG = GanConfig(
    latent=3, hidden=8, discriminator_channels=4, steps=12, batch=6, checkpoint_every=5
)


@pytest.fixture
def site() -> Site:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    ).requires_grad_(False)
    return Site(network, "2", torch.rand(2, 1, 6, 6))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def with_reader(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Minibatch]:
    """One more player: it reads z from images alone, which cannot be done; returns its minibatches.

    It may draw at random: that moves nobody else.
    """
    seen: list[Minibatch] = []

    def enlarged(gan: FilterGAN, config: GanConfig) -> Players:
        torch.manual_seed(5)
        reader = nn.Linear(36, 3)

        def loss(minibatch: Minibatch) -> Tensor:
            seen.append(minibatch)
            noise = torch.rand(6, 36, generator=minibatch.rng)[minibatch.share]
            read = reader(images[minibatch.index].flatten(1) + 0.01 * noise)
            return (read - minibatch.z).square().mean()

        entry = Player("reader", reader, list(reader.parameters()), 1e-2, "read", loss)
        return Players([*players_of(gan, config), entry])

    monkeypatch.setattr(training, "players_of", enlarged)
    return seen


def test_one_more_player_is_one_entry(
    site: Site, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is saved, resumed and averaged, its loss is logged, and the others play as before."""
    inputs = site.input(images)
    alone = train(site, inputs, CONFIG, 3)
    with_reader(images, monkeypatch)
    logs: list[dict[str, float]] = []
    whole = train(
        site,
        inputs,
        CONFIG,
        3,
        checkpoint=tmp_path / "whole",
        log=lambda _, losses: logs.append(losses),
    )
    for name, weight in alone.generator.state_dict().items():
        assert torch.equal(weight, whole.generator.state_dict()[name])
    assert "reader" in logs[-1]

    class Stop(Exception):
        pass

    def stop() -> None:
        if (tmp_path / "game").exists():
            raise Stop

    with pytest.raises(Stop):
        train(site, inputs, CONFIG, 3, checkpoint=tmp_path / "game", on_step=stop)
    again = train(site, inputs, CONFIG, 3, checkpoint=tmp_path / "game")
    one, other = load_tensors(tmp_path / "whole"), load_tensors(tmp_path / "game")
    assert one.keys() == other.keys()
    assert {"reader.weight", "read.weight", "optimiser.reader.0.square_avg"} <= one.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for gan in (whole, again):
        kept = vars(gan)["reader"].weight
        assert torch.equal(kept, one["read.weight"])
        assert not torch.equal(kept, one["reader.weight"])


def test_its_rate_falls_and_its_weights_are_looked_at(
    site: Site, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_reader(images, monkeypatch)
    inputs = site.input(images)
    game = Game(FilterGAN.new(site, inputs, CONFIG, 7), CONFIG, 7)
    agreed: list[nn.Module] = []
    monkeypatch.setattr(distributed, "agree", agreed.append)
    game.players.agree()
    reader = game.players["reader"]
    assert reader.module in agreed
    assert reader.average in agreed
    assert len(agreed) == len(set(agreed)) == 5  # the discriminator once, though two move it
    for _ in range(12):
        game.play(inputs)
    assert reader.optimiser.param_groups[0]["lr"] == pytest.approx(1e-2 / 6)
    assert game.players.finite()
    with torch.no_grad():
        reader.weights[1].fill_(torch.nan)
    assert not game.players.finite()


def test_a_loss_of_its_own_that_is_no_number(
    site: Site, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = site.input(images)
    with_reader(images.fill_(torch.nan), monkeypatch)
    with pytest.raises(Diverged, match="at step 1"):
        train(site, inputs, CONFIG)


def test_a_checkpoint_of_other_players(
    site: Site, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = site.input(images)
    train(site, inputs, CONFIG, checkpoint=tmp_path / "game")
    with_reader(images, monkeypatch)
    with pytest.raises(UserError, match="game does not fit"):
        train(site, inputs, CONFIG, checkpoint=tmp_path / "game")


def test_a_minibatch_knows_its_images(
    site: Site, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = site.input(images)
    seen = with_reader(images, monkeypatch)
    game = Game(FilterGAN.new(site, inputs, CONFIG, 7), CONFIG, 7)
    for _ in range(2):
        game.play(inputs)
    for step, minibatch in enumerate(seen):
        assert torch.equal(site.input(images[minibatch.index]), minibatch.inputs)
        rng = random_generator(7, "step", step)
        assert torch.equal(minibatch.index, torch.randint(20, (6,), generator=rng))
        assert torch.equal(minibatch.z, torch.randn(6, 3, generator=rng))
        assert minibatch.weight == 1.0


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_shares_of_a_minibatch_make_it_up(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = torch.rand(20, 2)

    def drawn(rank: int, of: int) -> Minibatch:
        share = slice(rank * 7 // of, (rank + 1) * 7 // of)
        monkeypatch.setattr(distributed, "share", lambda n: share)
        rng = torch.Generator().manual_seed(2)
        return Minibatch.drawn(inputs, 7, 3, rng, inputs.device)

    whole, parts = drawn(0, 1), [drawn(rank, processes) for rank in range(processes)]
    for name in ("index", "inputs", "z"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(whole, name))
    assert sum(part.weight for part in parts) == pytest.approx(1)
    after = [torch.rand(3, generator=part.rng) for part in (whole, *parts)]
    assert all(torch.equal(one, after[0]) for one in after)


def test_a_steady_adam_is_adam_until_gradients_jump():
    """Until then step for step; then as Adam with that gradient cut to twice the usual norm."""
    rng = torch.Generator().manual_seed(0)
    gradients = torch.randn(12, 40, generator=rng)
    gradients[10:] *= 50
    weights = [torch.nn.Parameter(torch.zeros(40)) for _ in range(2)]
    steady, plain = adam([weights[0]], 0.1), torch.optim.Adam([weights[1]], 0.1, betas=(0.5, 0.99))
    for step, gradient in enumerate(gradients):
        cut = gradient.clone()
        if step >= 10:
            mean = plain.state[weights[1]]["exp_avg_sq"] / (1 - 0.99**step)
            cut *= 2 * mean.sum().sqrt() / gradient.norm()
        weights[0].grad, weights[1].grad = gradient.clone(), cut
        steady.step()
        plain.step()
        assert torch.allclose(weights[0], weights[1], atol=1e-6)


def test_a_steady_adam_goes_on_from_its_state():
    rng = torch.Generator().manual_seed(0)
    gradients = torch.randn(8, 5, generator=rng) * torch.arange(1, 9)[:, None] ** 2
    whole, halves = (torch.nn.Parameter(torch.zeros(5)) for _ in range(2))
    optimiser = adam([whole], 0.1)
    for gradient in gradients:
        whole.grad = gradient.clone()
        optimiser.step()
    state = None
    for part in gradients.split(4):
        optimiser = adam([halves], 0.1)
        if state is not None:
            optimiser.load_state_dict(state)
        for gradient in part:
            halves.grad = gradient.clone()
            optimiser.step()
        state = optimiser.state_dict()
    assert torch.equal(whole, halves)
