"""The game's updates, by hand and in order."""

from collections.abc import Callable
from typing import Any

import games
import pytest
import torch
import torch.nn.functional as F
from games import LAMBDA, config, new_game
from torch import Tensor, nn

from filtergan.game.ablated import FiltersShown
from filtergan.game.players import Player
from filtergan.game.training import Game
from filtergan.sites.site import Site


@pytest.fixture
def site() -> Site:
    return games.site()


@pytest.fixture
def inputs(site: Site) -> Tensor:
    return games.inputs(site)


def spy(game: Game, monkeypatch: pytest.MonkeyPatch, move: bool = True) -> list[Any]:
    """Note the name and the gradients of every update; without `move` nothing is changed."""
    seen: list[Any] = []
    for player in game.players:

        def step(
            player: Player = player, step: Callable[[], object] = player.optimiser.step
        ) -> None:
            weights = player.optimiser.param_groups[0]["params"]
            seen.append((player.name, [w.grad.clone() for w in weights]))
            if move:
                step()

        monkeypatch.setattr(player.optimiser, "step", step)
    return seen


def note_latents(game: Game, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Note the inputs and latents of every generated response."""
    seen: list[tuple[Tensor, Tensor]] = []
    respond = game.gan.respond

    def noted(h: Tensor, z: Tensor) -> Tensor:
        seen.append((h, z))
        return respond(h, z)

    monkeypatch.setattr(game.gan, "respond", noted)
    return seen


def test_algorithm1_makes_three_updates_in_order(
    site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = new_game(site, inputs, config(updates="algorithm1"))
    updates, latents = spy(game, monkeypatch), note_latents(game, monkeypatch)
    losses = game.play(inputs)
    # D; then G; then Q together with G.
    assert [name for name, _ in updates] == ["discriminator", "generator", "q", "information"]
    assert losses.keys() >= {"discriminator", "generator", "information"}
    # The third update sees what the second has made of the generator, for the same images and z.
    (h, z), (h_again, z_again) = latents
    assert torch.equal(h, h_again)
    assert torch.equal(z, z_again)


def test_each_update_of_algorithm1_has_its_own_state(site: Site, inputs: Tensor) -> None:
    game = new_game(site, inputs, config(updates="algorithm1"))
    game.play(inputs)
    for one, other in (("generator", "information"), ("discriminator", "q")):
        states = [game.players[name].optimiser.state for name in (one, other)]
        shared = [weight for weight in states[0] if weight in states[1]]
        assert shared  # the generator's weights; the trunk's
        for weight in shared:
            a, b = (state[weight]["square_avg"] for state in states)
            assert a.data_ptr() != b.data_ptr()
            assert not torch.equal(a, b)


def test_the_third_update_descends_the_information_term_only(
    site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = new_game(site, inputs, config(updates="algorithm1", spectral_norm=False))
    latents, seen = note_latents(game, monkeypatch), spy(game, monkeypatch, move=False)
    game.play(inputs)
    found = dict(seen)
    scores, predicted, z = by_hand(game, *latents[0])
    adversarial = F.softplus(-scores).mean()
    information = LAMBDA * (z - predicted).square().mean()
    equal(found["generator"], adversarial, game.players["generator"].weights)
    equal(found["information"], information, game.players["information"].weights)
    equal(found["q"], information, game.players["q"].weights)


def by_hand(game: Game, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores and predictions, one sample after the other, from the definition."""
    filters, bias = game.gan.generator(z), game.gan.site.conv.bias
    responses = [
        F.relu(F.conv2d(one[None], own, bias, padding=1))
        for one, own in zip(h, filters, strict=True)
    ]
    return *game.gan.discriminator(torch.cat(responses)), z


def equal(found: list[Tensor], loss: Tensor, weights: list[nn.Parameter]) -> None:
    for one, other in zip(
        found, torch.autograd.grad(loss, weights, retain_graph=True), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_summed_gradients_by_hand(
    site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = new_game(site, inputs, config(updates="summed", spectral_norm=False))
    latents, seen = note_latents(game, monkeypatch), spy(game, monkeypatch, move=False)
    losses = game.play(inputs)
    assert [name for name, _ in seen] == ["discriminator", "generator", "q"]
    found, (h, z) = dict(seen), latents[0]
    scores, predicted, _ = by_hand(game, h, z)
    on_real, _ = game.gan.discriminator(F.relu(site.conv(h)))
    told = F.softplus(-on_real).mean() + F.softplus(scores).mean()
    adversarial, information = F.softplus(-scores).mean(), (z - predicted).square().mean()
    equal(found["discriminator"], told, game.players["discriminator"].weights)
    equal(found["generator"], adversarial + LAMBDA * information, game.players["generator"].weights)
    equal(found["q"], LAMBDA * information, game.players["q"].weights)
    named = {"discriminator": told, "generator": adversarial, "information": information}
    for name, value in named.items():
        assert float(losses[name]) == pytest.approx(float(value.detach()), rel=1e-5)
    assert all(
        weight.grad is None
        for weight in game.players["generator"].weights + game.players["discriminator"].weights
    )


@pytest.mark.parametrize("updates", ["algorithm1", "summed"])
def test_every_sample_has_its_own_latent(
    site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch, updates: str
) -> None:
    game = new_game(site, inputs, config(updates=updates))
    latents = note_latents(game, monkeypatch)
    for _ in range(2):
        game.play(inputs)
    drawn = torch.cat([latents[0][1], latents[-1][1]])
    assert len(drawn.unique(dim=0)) == 2 * 6  # others in the next step
    h, z = latents[0]
    z = z.clone().requires_grad_()
    response = game.gan.respond(h, z)
    for sample in (0, 3):
        (gradient,) = torch.autograd.grad(response[sample].sum(), z, retain_graph=True)
        assert gradient[sample].abs().max() > 0
        assert gradient.abs().sum() == gradient[sample].abs().sum()


@pytest.mark.parametrize("updates", ["algorithm1", "summed"])
def test_the_q_update_moves_the_trunk_as_well(
    site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch, updates: str
) -> None:
    game = new_game(site, inputs, config(updates=updates))
    discriminator = game.gan.discriminator
    moved: list[dict[str, bool]] = []
    step = game.players["q"].optimiser.step

    def watched() -> None:
        before = {name: w.detach().clone() for name, w in discriminator.named_parameters()}
        step()
        moved.append(
            {n: not torch.equal(w, before[n]) for n, w in discriminator.named_parameters()}
        )

    monkeypatch.setattr(game.players["q"].optimiser, "step", watched)
    game.play(inputs)
    (once,) = moved
    assert all(value for name, value in once.items() if name.startswith("latent"))
    assert all(value for name, value in once.items() if name.startswith("trunk"))
    assert not any(value for name, value in once.items() if name.startswith("score"))


def test_filters_shown_by_hand(site: Site, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator meets the one real set and the filters of every z; images play no part.

    A set of real filters for every image would give the same means.
    """
    game = new_game(site, inputs, config(spectral_norm=False), FiltersShown)
    discriminator, z = game.gan.discriminator, game.gan.latents(6, 4)
    monkeypatch.setattr(torch, "randn", lambda *size, generator: z)
    given: list[Tensor] = []
    discriminator.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    seen = spy(game, monkeypatch, move=False)
    losses = game.play(inputs)
    found, (both, generated) = dict(seen), given
    assert torch.equal(both[0].unflatten(2, (3, 3)), site.filters)
    assert torch.equal(generated.unflatten(3, (3, 3)), game.gan.draw(z))
    assert torch.equal(both[1:], generated)
    on_real, _ = discriminator(site.filters.expand(6, 5, 4, 3, 3).reshape(6, 5, 4, 9))
    scores, predicted = discriminator(game.gan.generator(z).reshape(6, 5, 4, 9))
    told = F.softplus(-on_real).mean() + F.softplus(scores).mean()
    adversarial, information = F.softplus(-scores).mean(), (z - predicted).square().mean()
    assert float(losses["discriminator"]) == pytest.approx(float(told.detach()), rel=1e-5)
    equal(found["generator"], adversarial + LAMBDA * information, game.players["generator"].weights)
    equal(found["q"], LAMBDA * information, game.players["q"].weights)
