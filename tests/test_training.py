"""The game as a whole: resumed, averaged, repeated by its seed; and that of filters."""

from pathlib import Path
from typing import Any

import games
import pytest
import torch
from games import config, new_game, same
from torch import Tensor

from filtergan.errors import UserError
from filtergan.game.ablated import FiltersShown
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Game, train
from filtergan.machine.files import load_tensors
from filtergan.sites.site import Site


@pytest.fixture
def site() -> Site:
    return games.site()


@pytest.fixture
def inputs(site: Site) -> Tensor:
    return games.inputs(site)


def whole_state(game: Game, path: Path) -> dict[str, Tensor]:
    """Players, average and optimisers, as the checkpoint holds them."""
    game.save(path)
    return load_tensors(path)


@pytest.mark.parametrize("updates", ["algorithm1", "summed"])
def test_resumed_equals_uninterrupted(
    site: Site, inputs: Tensor, tmp_path: Path, updates: str
) -> None:
    chosen = config(updates=updates)
    one, other = (new_game(site, inputs, chosen) for _ in range(2))
    for _ in range(12):
        one.play(inputs)
    for _ in range(5):
        other.play(inputs)
    other.save(tmp_path / "game")
    resumed = new_game(site, inputs[:3], chosen)  # whatever it began with
    resumed.load(tmp_path / "game")
    assert resumed.step == 5
    for _ in range(7):
        resumed.play(inputs)
    states = [whole_state(game, tmp_path / "state") for game in (one, resumed)]
    assert same(*states)
    parts = {key.split(".")[0] for key in states[0]}
    assert parts == {"generator", "discriminator", "average", "optimiser"}


@pytest.mark.parametrize("updates", ["algorithm1", "summed"])
def test_a_stopped_training_goes_on(
    site: Site, inputs: Tensor, tmp_path: Path, updates: str
) -> None:
    """The whole loop, stopped between two checkpoints: same weights, same log."""
    chosen = config(updates=updates)
    logs: list[list[tuple[int, dict[str, float]]]] = [[], []]
    whole = train(site, inputs, chosen, 3, log=lambda *line: logs[0].append(line))

    class Stop(Exception):
        pass

    steps = iter(range(8))

    def stop() -> None:
        if next(steps, None) is None:
            raise Stop

    starts: list[int] = []
    options = {"checkpoint": tmp_path / "game", "on_start": starts.append}
    with pytest.raises(Stop):
        train(site, inputs, chosen, 3, on_step=stop, **options)
    again = train(site, inputs, chosen, 3, log=lambda *line: logs[1].append(line), **options)
    assert starts == [0, 5]
    assert [step for step, _ in logs[0]] == [4, 8, 12]
    assert logs[1] == logs[0][1:]
    for part in ("generator", "discriminator"):
        assert same(getattr(whole, part).state_dict(), getattr(again, part).state_dict())
    finished = train(site, inputs, chosen, 3, **options)  # nothing is left to do
    assert starts == [0, 5, 12]
    assert same(whole.generator.state_dict(), finished.generator.state_dict())


def test_rates_fall_over_the_second_half(site: Site, inputs: Tensor) -> None:
    rates: dict[bool, list[float]] = {}
    for decay in (True, False):
        game = new_game(site, inputs, config(decay=decay, generator_rate=0.1))
        rates[decay] = []
        for _ in range(12):
            game.play(inputs)
            rates[decay].append(game.players["generator"].optimiser.param_groups[0]["lr"])
    assert rates[False] == [0.1] * 12
    assert rates[True] == pytest.approx([0.1] * 7 + [0.1 * k / 6 for k in (5, 4, 3, 2, 1)])


def test_what_is_kept_is_the_average(site: Site, inputs: Tensor) -> None:
    none = new_game(site, inputs, config(average=0.0))
    some = new_game(site, inputs, config(average=0.2))
    mean = [w.detach().clone() for w in some.players["generator"].weights]
    for share in (1 / 11, 2 / 12, 0.2, 0.2):  # early on it forgets the start faster
        none.play(inputs)
        some.play(inputs)
        mean = [
            share * old + (1 - share) * new.detach()
            for old, new in zip(mean, some.players["generator"].weights, strict=True)
        ]
    assert same(none.result().generator.state_dict(), none.gan.generator.state_dict())
    assert same(none.gan.generator.state_dict(), some.gan.generator.state_dict())
    for found, expected in zip(some.result().generator.parameters(), mean, strict=True):
        torch.testing.assert_close(found.detach(), expected)


def test_one_seed_one_generator(site: Site, inputs: Tensor) -> None:
    torch.manual_seed(123)
    state = torch.get_rng_state()
    one, again, other = (train(site, inputs, config(), seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one.generator.state_dict(), again.generator.state_dict())
    assert not same(one.generator.state_dict(), other.generator.state_dict())


def test_inputs_that_come_by_class_all_give_the_scale(site: Site, inputs: Tensor) -> None:
    """The responses' mean and scale are about those of all, whatever comes first."""
    rows = torch.cat([inputs.repeat(200, 1, 1, 1), 10 * inputs.repeat(200, 1, 1, 1)])
    assert len(rows) > 4000
    whole = FilterGAN.new(site, rows, config(steps=1), 0).discriminator
    found = train(site, rows, config(steps=1)).discriminator
    torch.testing.assert_close(found.mean, whole.mean, rtol=0.15, atol=1e-3)
    torch.testing.assert_close(found.scale, whole.scale, rtol=0.15, atol=1e-3)


def test_the_network_is_left_alone(site: Site, inputs: Tensor) -> None:
    before = {name: value.clone() for name, value in site.network.state_dict().items()}
    flags = [
        (m.training, *(p.requires_grad for p in m.parameters())) for m in site.network.modules()
    ]
    train(site, inputs, config(updates="algorithm1"))
    assert same(before, site.network.state_dict())
    assert flags == [
        (m.training, *(p.requires_grad for p in m.parameters())) for m in site.network.modules()
    ]
    assert all(p.grad is None for p in site.network.parameters())


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
@pytest.mark.parametrize("head", ["shared", "dense"])
def test_all_losses_and_heads_play(site: Site, inputs: Tensor, loss: str, head: str) -> None:
    game = new_game(site, inputs, config(loss=loss, head=head))
    before = [w.detach().clone() for w in game.players["generator"].weights]
    losses = game.play(inputs)
    assert all(value.isfinite() for value in losses.values())
    assert all(
        not torch.equal(w, old)
        for w, old in zip(game.players["generator"].weights, before, strict=True)
    )


@pytest.mark.parametrize("updates", ["algorithm1", "summed"])
def test_a_game_of_filters_is_kept_whole(
    site: Site, inputs: Tensor, tmp_path: Path, updates: str
) -> None:
    """Stopped and resumed, saved and loaded; Q reads filters, whatever the images."""
    chosen = config(updates=updates)
    game, options = tmp_path / "game", dict[str, Any](kind=FiltersShown)
    whole = train(site, inputs, chosen, 3, **options)

    def stop() -> None:
        if game.exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(site, inputs, chosen, 3, checkpoint=game, on_step=stop, **options)
    again = train(site, inputs, chosen, 3, checkpoint=game, **options)
    assert same(whole.generator.state_dict(), again.generator.state_dict())
    whole.save(tmp_path)
    loaded = FiltersShown.load(tmp_path, site.network)
    z = whole.latents(6)
    predicted = loaded.predict(inputs[:6], z)
    assert torch.equal(predicted, whole.predict(inputs[6:12], z))
    assert not torch.equal(predicted, whole.predict(inputs[:6], z.flip(0)))
    with pytest.raises(UserError, match="was shown filters, not responses"):
        FilterGAN.load(tmp_path, site.network)


def test_a_discriminator_of_filters_pulls_to_the_real_ones(site: Site, inputs: Tensor) -> None:
    """The only real sample is W: without the information term nothing else is asked for."""
    distances = []
    for kind in (FiltersShown, FilterGAN):
        rates = {"generator_rate": 1e-2, "discriminator_rate": 1e-2}
        chosen = config(steps=60, information=0.0, average=0.0, **rates)
        gan = train(site, inputs, chosen, 1, kind=kind)
        draws = gan.draw(gan.latents(20))
        distances.append(float((draws - site.filters).flatten(1).norm(dim=1).mean()))
    assert distances[0] < 0.5 * distances[1]
