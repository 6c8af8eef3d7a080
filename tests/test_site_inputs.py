"""Site inputs: the same wherever they are kept, of all images that the game can draw."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import micro
from networks import images as pictures
from networks import make
from torch import Tensor

from filtergan import study
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.machine.files import sha256
from filtergan.machine.storage import DiskTensor, Subset
from filtergan.sites.site import Site
from filtergan.study import site_inputs
from filtergan.study.site_inputs import SiteInputs
from filtergan.study.stages import train_gan

WHERE = ("memory", "disk", "recomputed")


def small_budget(patch: pytest.MonkeyPatch, where: str) -> None:
    """Make the default budgets, of memory and of disk, lead to this."""
    patch.setattr(site_inputs, "MIB", 2**20 if where == "memory" else 1)
    patch.setattr(site_inputs, "room_on_disk", lambda: 2**30 if where == "disk" else 0)


def weights(run: Path) -> str:
    return sha256(run / "conv2@activation" / "generator.safetensors")


def entry(run: Path) -> dict[str, Any]:
    return json.loads((run / "record.json").read_text())["sites"]["conv2@activation"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose site inputs are kept in memory."""
    path = tmp_path_factory.mktemp("runs") / "memory"
    study.run(micro(), path, until="train-gan")
    assert entry(path)["inputs"] == "memory"
    return path


@pytest.mark.parametrize("where", WHERE[1:])
def test_the_same_generator_wherever_they_are_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    small_budget(monkeypatch, where)
    study.run(micro(), tmp_path / "run", until="train-gan")
    assert entry(tmp_path / "run")["inputs"] == where
    assert weights(tmp_path / "run") == weights(trained)


@pytest.mark.parametrize("where", WHERE)
def test_a_stopped_game_goes_on_from_where_they_were(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Also where the budgets would now have it otherwise."""

    class Stop(Exception):
        pass

    def stop(*_: Any, log: Any, **options: Any) -> Any:
        def stopping(step: int, values: dict[str, float]) -> None:
            log(step, values)
            if step == 6:
                raise Stop

        return play(*_, log=stopping, **options)

    play = train_gan.train
    with monkeypatch.context() as patch:
        small_budget(patch, where)
        patch.setattr(train_gan, "train", stop)
        with pytest.raises(Stop):
            study.run(micro(gan={"log_every": 2}), tmp_path / "run", until="train-gan")
    assert (tmp_path / "run" / "conv2@activation" / "checkpoint" / "game.safetensors").exists()
    study.run(micro(gan={"log_every": 2}), tmp_path / "run", until="train-gan", resume=True)
    assert entry(tmp_path / "run")["inputs"] == where
    assert weights(tmp_path / "run") == weights(trained)


def test_no_more_images_than_the_game_can_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    play = train_gan.train

    def counted(site: Site, inputs: Any, *rest: Any, **options: Any) -> Any:
        seen.append(len(inputs))
        return play(site, inputs, *rest, **options)

    monkeypatch.setattr(train_gan, "train", counted)
    for steps in (3, 13):
        config = micro(gan={"steps": steps})
        study.run(config, tmp_path / f"{steps}", until="train-gan")
    assert seen == [3 * 8, 100]


@pytest.fixture(params=["plain", "residual"])
def site(request: pytest.FixtureRequest) -> Site:
    layer = {"plain": "conv2", "residual": "last"}[request.param]
    return Site(make(request.param), layer, pictures(2))


@pytest.mark.parametrize("n", [3, 16, 21])
def test_rows_do_not_depend_on_their_company(site: Site, n: int) -> None:
    """Fewer images than a batch, whole batches, and a rest; asked for in any order."""
    images = (255 * pictures(n)).byte()
    rows = SiteInputs(site, Subset(images, torch.arange(n)), batch=8)
    whole = rows[:]
    assert isinstance(rows.kept("disk"), DiskTensor)
    with torch.no_grad():
        one_by_one = torch.cat([site.input(to_float(x[None])) for x in images])
    assert torch.allclose(whole, one_by_one, atol=1e-6)
    kept = [rows.kept(where) for where in WHERE]
    assert (len(rows), rows.shape, rows.dtype) == (n, whole.shape, whole.dtype)
    for index in (torch.randint(n, (8,)), torch.randperm(n), torch.tensor([n - 1]), slice(1, 4)):
        for one in kept:
            assert torch.equal(one[index], whole[index])


def test_where_they_are_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SiteInputs(site, pictures(100), batch=8)
    needed = rows[:].nbytes
    monkeypatch.setattr(site_inputs, "MIB", 1)
    for budget, room, where in (
        (needed, 0, "memory"),
        (needed - 1, 2 * needed, "disk"),
        (needed - 1, 2 * needed - 2, "recomputed"),
    ):
        monkeypatch.setattr(site_inputs, "room_on_disk", lambda room=room: room)
        assert rows.where(budget) == where


def test_a_full_disk_stops_the_stage_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_budget(monkeypatch, "disk")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("filtergan.machine.storage.os.pwrite", full)
    with pytest.raises(UserError, match=r"The inputs of conv2 .* No space left") as caught:
        study.run(micro(), tmp_path / "run", until="train-gan")
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    study.run(micro(), tmp_path / "run", until="train-gan", resume=True)
    assert isinstance(entry(tmp_path / "run")["files"]["generator"], str)


def test_a_users_tensor_will_do(site: Site) -> None:
    """As before: `train(site, tensor, config)`."""
    from filtergan.game.training import train

    inputs: Tensor = site.input(pictures(20)).detach()
    config = micro(gan={"steps": 2}).gan
    one, other = (train(site, h, config, 1) for h in (inputs, Subset(inputs, torch.arange(20))))
    for name, weight in one.generator.state_dict().items():
        assert torch.equal(weight, other.generator.state_dict()[name])
