"""The game: its updates by hand and in order, its state whole, its failures told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.ablated import FiltersShown
from filtergan.game.gan import FilterGAN
from filtergan.game.players import Player
from filtergan.game.training import Diverged, Game, train
from filtergan.machine.files import load_tensors, save_tensors
from filtergan.sites.site import Site

LAMBDA = 3.0


def config(**changes: Any) -> GanConfig:
    small = GanConfig(
        latent=3,
        hidden=8,
        discriminator_channels=4,
        steps=12,
        batch=6,
        information=LAMBDA,
        checkpoint_every=5,
        log_every=4,
    )
    return GanConfig.model_validate(small.model_dump() | changes)


@pytest.fixture
def site() -> Site:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 6 * 6, 3),
    ).requires_grad_(False)
    return Site(network, "2", torch.rand(2, 1, 6, 6))


@pytest.fixture
def inputs(site: Site) -> Tensor:
    return site.input(torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1)))


def new_game(
    site: Site, inputs: Tensor, chosen: GanConfig, kind: type[FilterGAN] = FilterGAN
) -> Game:
    return Game(kind.new(site, inputs, chosen, 7), chosen, 7)


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


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


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


# ------------------------------------------------------------------------------------ misfortunes


def test_a_loss_that_is_no_number(site: Site, inputs: Tensor, tmp_path: Path) -> None:
    """The step is named, the last good checkpoint kept, and the game can go on from it."""
    checkpoint = tmp_path / "game.safetensors"
    poisoned = inputs.clone()
    steps = iter(range(1, 100))

    def poison() -> None:
        if next(steps) == 7:
            poisoned.fill_(torch.inf)

    with pytest.raises(Diverged, match="not finite at step 8; the last good state is kept in") as e:
        train(site, poisoned, config(), checkpoint=checkpoint, on_step=poison)
    assert e.value.exit_code == 1
    assert e.value.step == 8
    assert str(checkpoint) in str(e.value)
    kept = load_tensors(checkpoint)
    assert all(value.isfinite().all() for value in kept.values())
    assert {float(v) for k, v in kept.items() if k.endswith(".step")} == {5.0}
    whole, resumed = (
        train(site, inputs, config()),
        train(site, inputs, config(), checkpoint=checkpoint),
    )
    assert same(whole.generator.state_dict(), resumed.generator.state_dict())


def test_diverged_before_anything_was_kept(site: Site, inputs: Tensor, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"not finite at step 1\. Try") as e:
        train(site, inputs.fill_(torch.inf), config(), checkpoint=tmp_path / "game")
    assert e.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_rate_far_too_high(site: Site, inputs: Tensor, tmp_path: Path) -> None:
    chosen = config(generator_rate=1e30, discriminator_rate=1e30, spectral_norm=False)
    with pytest.raises(Diverged, match=r"at step [1-4]\."):
        train(site, inputs, chosen, checkpoint=tmp_path / "game")
    assert not (tmp_path / "game").exists()


@pytest.mark.parametrize("last", [5, 12])
def test_weights_that_are_no_numbers_are_not_kept(
    site: Site, inputs: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """The losses of a step are those before its update: the update itself may have spoilt all."""
    play = Game.play

    def spoilt(game: Game, inputs: Tensor) -> dict[str, Tensor]:
        losses = play(game, inputs)
        if game.step == last:
            with torch.no_grad():
                game.players["generator"].weights[0].fill_(torch.nan)
        return losses

    monkeypatch.setattr(Game, "play", spoilt)
    with pytest.raises(Diverged, match=f"at step {last}"):
        train(site, inputs, config(), checkpoint=tmp_path / "game")
    with pytest.raises(Diverged, match=f"at step {last}"):
        train(site, inputs, config(checkpoint_every=last))
    assert (tmp_path / "game").exists() == (last == 12)  # that of step 10


@pytest.mark.parametrize("harm", ["truncated", "garbage", "empty", "not_ours", "other_shapes"])
def test_a_damaged_checkpoint(site: Site, inputs: Tensor, tmp_path: Path, harm: str) -> None:
    path = tmp_path / "game.safetensors"
    train(site, inputs, config(steps=5), checkpoint=path)
    content, tensors = path.read_bytes(), load_tensors(path)
    if harm == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "garbage":
        path.write_bytes(b"\x80\x04" + content[2:])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "not_ours":
        path.write_bytes(safetensors.torch.save(tensors))
    else:
        progress = {"progress": '{"step": 5, "threads": 1}'}
        save_tensors(path, {k: torch.zeros(2) for k in tensors}, progress)
    with pytest.raises(UserError, match=r"game\.safetensors") as e:
        train(site, inputs, config(), checkpoint=path)
    assert e.value.exit_code == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"updates": "algorithm1"},
        {"latent": 4},
        {"head": "dense"},
        {"spectral_norm": False},
    ],
)
def test_a_checkpoint_of_another_configuration(
    site: Site, inputs: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = tmp_path / "game.safetensors"
    for one, other in (({}, changes), (changes, {})):
        path.unlink(missing_ok=True)
        train(site, inputs, config(steps=2, **one), checkpoint=path)
        with pytest.raises(UserError, match=r"game\.safetensors") as e:
            train(site, inputs, config(steps=4, **other), checkpoint=path)
        assert e.value.exit_code == 2
