"""The study of other objectives of the joint training."""

import math

import games
import joint_objectives
import pytest
import torch
from test_natural import new
from torch import Tensor


@pytest.fixture
def images() -> Tensor:
    return torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def test_what_is_aimed_at_follows_what_is_undone(images: Tensor) -> None:
    gan = new(games.site(), images)
    game = joint_objectives.Constrained(gan, 5)
    before = game.natural.size
    losses = game.play(images)
    lacks = float(losses["compensation"]) - math.log(0.2)
    assert lacks > 0  # nothing has been learned, so less is aimed at
    assert game.natural.size == pytest.approx(before * math.exp(-0.005 * lacks))
    low = 0.5 * gan.config.natural.size
    game.natural = game.natural.model_copy(update={"size": low})
    game.play(images)
    assert game.natural.size == low


def test_a_critic_learns_and_is_fooled(images: Tensor) -> None:
    game = joint_objectives.Natural(new(games.site(), images), 5)
    plain = joint_objectives.JointGame(new(games.site(), images), 5)
    before = {name: value.clone() for name, value in game.critic.named_parameters()}
    told, known = game.play(images), plain.play(images)
    assert torch.equal(told["compensation"], known["compensation"])
    moved = {n for n, value in game.critic.named_parameters() if not torch.equal(before[n], value)}
    read = {name for name in before if name.startswith("latent.")}
    assert moved == set(before) - read
    mine, theirs = (one.gan.transformer.state_dict() for one in (game, plain))
    assert not games.same(mine, theirs)
    again = joint_objectives.Natural(new(games.site(), images), 5)
    again.play(images)
    assert games.same(mine, again.gan.transformer.state_dict())


def test_it_is_the_transformer_that_fools_the_critic(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing else in the loss, and a critic that stays as it is, its loss falls."""
    monkeypatch.setattr(joint_objectives, "CRITIC_RATE", 0.0)
    monkeypatch.setattr(joint_objectives, "CRITIC", 1e3)
    gan = new(games.site(), images, decay=False, transformer_rate=1e-3, steps=100)
    game = joint_objectives.Natural(gan, 5)
    losses = [float(game.play(images)["naturalness"]) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])


@pytest.mark.parametrize("kind", [joint_objectives.Constrained, joint_objectives.Natural])
def test_the_null_is_trained_as_ever(
    kind: type[joint_objectives.JointGame], images: Tensor
) -> None:
    one, other = (
        make(new(games.site(), images), 5, True) for make in (kind, joint_objectives.JointGame)
    )
    for _ in range(2):
        one.play(images)
        other.play(images)
    assert games.same(one.gan.transformer.state_dict(), other.gan.transformer.state_dict())


def test_the_table() -> None:
    one = {"value": 0.7, "ci95": [0.6, 0.8], "null": 0.1}
    bare = {"value": 0.75, "ci95": [None, None], "null": None}
    found = {"conv4@bn5": {"as it is": {"measures": {"compensation": one, "median": bare}}}}
    head, lines = joint_objectives.rows_of(found)
    assert head == ["", "conv4@bn5: as it is"]
    assert lines[0][1] == "0.700 (0.600 to 0.800); null 0.10"
    assert lines[1] == ["the same: median over points", "0.750"]
    assert lines[2][1] == "-"
    assert joint_objectives.rows_of({})[0] == [""]
