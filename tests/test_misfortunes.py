"""The game's misfortunes: it diverges, its checkpoint is damaged or another's."""

from pathlib import Path
from typing import Any

import games
import pytest
import safetensors.torch
import torch
from games import config, same
from torch import Tensor

from filtergan.errors import UserError
from filtergan.game.training import Diverged, Game, train
from filtergan.machine.files import load_tensors, save_tensors
from filtergan.sites.site import Site


@pytest.fixture
def site() -> Site:
    return games.site()


@pytest.fixture
def inputs(site: Site) -> Tensor:
    return games.inputs(site)


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
