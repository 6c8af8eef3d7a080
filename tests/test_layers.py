"""The table of a network's sites: what it says of each, and the parts of its estimates."""

import json
import math
from pathlib import Path
from typing import Any, Literal, no_type_check

import pytest
import torch
from networks import images, in_disorder, make, traces
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from filtergan import cli
from filtergan.config.fields import GanConfig, StudyConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.game import cost
from filtergan.game.cost import Cost, Rate, convolution_flop, estimate, flop, saved
from filtergan.game.gan import FilterGAN
from filtergan.game.players import Player, Players, players_of
from filtergan.game.training import Game
from filtergan.machine.storage import MIB
from filtergan.natural.joint import JointGame
from filtergan.natural.joint_cost import joint_estimate
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.site import Site
from filtergan.study.layers import layers

SMALL = GanConfig(latent=3, hidden=8, discriminator_channels=4, batch=5, cache_mib=1)


class Counter(TorchDispatchMode):
    """Counts the operations of every call, on the way forward and back."""

    total = 0

    @no_type_check
    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket is torch.ops.aten.convolution_backward:
            # torch's own count of it does not know of groups.
            gradient, _, weight, *_, wanted = args
            self.total += 2 * gradient.numel() * weight[0].numel() * sum(wanted[:2])
        elif (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def test_rows() -> None:
    network = in_disorder(make("residual"))
    before = traces(network)
    rows = layers(network, images(2), StudyConfig())
    assert traces(network) == before
    assert [row.name.layer for row in rows] == [
        "stem",
        "block.conv1",
        "block.conv2",
        "block.skip",
        "last",
    ]
    assert [row.filters for row in rows] == [
        tuple(network.get_parameter(f"{row.name.layer}.weight").shape) for row in rows
    ]
    assert [row.weights for row in rows] == [math.prod(row.filters) for row in rows]
    assert [row.straight for row in rows] == [True, False, False, False, True]
    assert rows[0].response == (4, 6, 6)
    assert all(row.refusal is None and row.seconds and row.seconds > 0 for row in rows)
    assert all(row.joint_seconds and row.joint_seconds > 0 for row in rows)


class Odd(nn.Module):
    """One of each kind that cannot be studied, and some that can."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(1, 4, 3)
        self.depthwise = nn.Conv2d(4, 8, 3, groups=4)
        self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.never = nn.Conv2d(8, 8, 3)
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.line, self.head = nn.Conv1d(4, 2, 5), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.depthwise(self.grouped(x))))
        return self.head(self.line(self.up(x).flatten(2)).flatten(1))


def odd() -> nn.Module:
    network = Odd()
    network(images(2))
    return network


def test_what_cannot_be_studied_is_named_with_the_reason() -> None:
    rows = {row.name.layer: row for row in layers(odd(), images(2), StudyConfig())}
    assert {name: row.refusal for name, row in rows.items()} == {
        "grouped": None,
        "depthwise": None,
        "twice": "runs 2 times in one forward pass",
        "never": "runs 0 times in one forward pass",
        "up": "a transposed convolution",
        "line": None,
    }
    assert {name: row.kind for name, row in rows.items()} == {
        "grouped": "conv2d",
        "depthwise": "conv2d depthwise",
        "twice": "conv2d in 2 groups",
        "never": "conv2d",
        "up": "transposed conv2d",
        "line": "conv1d",
    }
    assert rows["twice"].response is None
    assert rows["twice"].seconds is None
    assert rows["line"].response == (2, 21)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding="same", dilation=2, groups=4),
        nn.Conv3d(2, 3, (1, 2, 3)),
    ],
)
def test_operations_of_a_convolution(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
    x = torch.rand(1, conv.in_channels, *[7] * (conv.weight.ndim - 2))
    with torch.no_grad():
        places = conv(x)[0, 0].numel()
    got = convolution_flop(tuple(conv.weight.shape), places)
    assert got == flop(lambda: conv(x.requires_grad_(False)))
    assert got == 2 * conv.out_channels * places * conv.weight[0].numel()


def test_bytes_kept_by_a_forward_pass() -> None:
    first, second = nn.Linear(5, 7), nn.Linear(7, 2)
    x = torch.rand(11, 5)
    # Each layer keeps its input; what tanh keeps, its output, is the second layer's input.
    assert saved(nn.Sequential(first, nn.Tanh(), second), x) == 4 * (11 * 5 + 11 * 7)


@pytest.mark.parametrize("updates", ["summed", "algorithm1"])
@pytest.mark.parametrize(("name", "layer"), [("plain", "conv2"), ("residual", "block.conv1")])
@pytest.mark.parametrize("head", ["shared", "dense"])
def test_operations_of_a_step_are_those_counted(
    updates: str, name: str, layer: str, head: str
) -> None:
    config = SMALL.model_copy(update={"updates": updates, "head": head, "spectral_norm": False})
    x = images(10)
    site = Site(make(name).requires_grad_(False), layer, x[:2])
    inputs = site.input(x)
    game = Game(FilterGAN.new(site, inputs, config, 0), config, 0)
    with Counter() as counter:
        game.play(inputs)
    found = estimate(site, inputs[:2], site.respond(inputs[:2]), config)
    assert found.flop == pytest.approx(counter.total, rel=0.02)


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv2"), ("residual", "block.conv1")])
@pytest.mark.parametrize("start", ["real", "paper"])
@pytest.mark.parametrize("asked", [(), ("labels",), ("draws",), ("logits", "draws")])
@pytest.mark.parametrize("fixed", [False, True])
def test_operations_of_a_joint_step_are_those_counted(
    name: str, layer: str, start: Literal["real", "paper"], asked: tuple[str, ...], fixed: bool
) -> None:
    """With and without the game, that is of the recipe and of its null."""
    x = images(10)
    site = Site(make(name).requires_grad_(False), layer, x[:2])
    sizes = {"start": start, "pairs": 3, "pair_images": 4, "channels": 8, "grid": 3}
    natural = NaturalConfig.model_validate(sizes | dict.fromkeys(asked, 1.0))
    config = joint_config(SMALL.model_copy(update={"spectral_norm": False}), natural)
    game = JointGame(NaturalGAN.new(site, site.input(x), config, 0), 0, fixed)
    with Counter() as counter:
        game.play(x)
    assert joint_estimate(site, x[:2], config, fixed).flop == pytest.approx(counter.total, rel=0.04)


def test_labels_that_are_asked_for_take_memory_and_leave_the_network_alone() -> None:
    """As much, whether or not the network's own weights want gradients; in training mode, too."""
    x, taken = images(10), []
    for frozen in (True, False):
        network = make("residual").train(not frozen).requires_grad_(not frozen)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        site = Site(network, "block.conv1", x[:2])
        without, asked = (
            joint_estimate(
                site,
                x[:2],
                joint_config(SMALL, NaturalConfig(pairs=3, channels=8, grid=3, labels=labels)),
            ).memory
            for labels in (0.0, 1.0)
        )
        taken.append(asked - without)
        assert network.training != frozen
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert taken[0] == pytest.approx(taken[1])
    assert taken[0] > 0


def test_memory_is_that_of_its_parts() -> None:
    x = images(10)
    site = Site(make("plain").requires_grad_(False), "conv2", x[:2])
    inputs = site.input(x)
    response = site.respond(inputs)

    def memory(images: int | None = None, **changes: Any) -> float:
        config = SMALL.model_copy(update=changes)
        return estimate(site, inputs, response, config, images).memory

    one = inputs[0].numel() * 4
    assert memory(30) - memory(10) == pytest.approx(20 * one / MIB)
    assert memory() - memory(0) == pytest.approx((MIB // one) * one / MIB)
    assert memory(10**9) == memory()
    # A dense head's weights, their gradient, average and RMSProp state are most of what it takes.
    size = site.filters.numel()
    more = memory(0, head="dense", hidden=4000) - memory(0, head="dense", hidden=3000)
    weights = 1000 * (size + 3 + 1 + 7000 + 1)
    assert more == pytest.approx(4 * 4 * weights / MIB, rel=0.02)


def test_one_more_player_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights, their gradient, average and RMSProp state."""
    x = images(10)
    site = Site(make("plain").requires_grad_(False), "conv2", x[:2])
    inputs = site.input(x)
    before = estimate(site, inputs, site.respond(inputs), SMALL)

    def enlarged(gan: FilterGAN, config: GanConfig) -> Players:
        module = nn.Linear(1000, 1000, bias=False)
        more = Player("more", module, list(module.parameters()), 1e-3, "average of more")
        return Players([*players_of(gan, config), more])

    monkeypatch.setattr(cost, "players_of", enlarged)
    after = estimate(site, inputs, site.respond(inputs), SMALL)
    assert after.memory - before.memory == pytest.approx(4 * 4 * 10**6 / MIB)
    assert after.bytes - before.bytes == 10 * 4 * 10**6


@pytest.mark.parametrize("updates", ["summed", "algorithm1"])
def test_memory_of_the_players_is_what_they_hold(updates: str) -> None:
    x = images(10)
    site = Site(make("plain").requires_grad_(False), "conv2", x[:2])
    inputs = site.input(x)
    response, held, estimated = site.respond(inputs), [], []
    for hidden in (400, 800):
        config = SMALL.model_copy(update={"updates": updates, "hidden": hidden, "batch": 1})
        game = Game(FilterGAN.new(site, inputs, config, 0), config, 0)
        game.play(inputs)
        gradients = sum(w.numel() for w in game.gan.generator.parameters())
        held.append(gradients + sum(t.numel() for t in game.players.tensors().values()))
        estimated.append(estimate(site, inputs, response, config, 0).memory)
    # The rest, which hangs on the batch, is the same but for a few hidden values.
    more = (estimated[1] - estimated[0]) * MIB
    assert more == pytest.approx(4 * (held[1] - held[0]), rel=0.02)


def test_seconds_from_rates() -> None:
    assert (
        Rate(step=0.5, flop=10.0, bytes=4.0).seconds(Cost(flop=20, bytes=2, memory=1.0), 6) == 18.0
    )


# ------------------------------------------------------------------------------- the command


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["layers", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_on_a_preset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = printed(capsys, "tiny", "--threads", "1")
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        assert name in text
    assert "8x8x3x3" in text
    assert "8x4x4" in text
    assert "estimate" in text
    file = tmp_path / "layers.json"
    found = json.loads(printed(capsys, "tiny", "--threads", "1", "--json", "-o", str(file)))
    assert json.loads(file.read_text()) == found
    assert [site["layer"] for site in found["sites"]] == [f"conv{i}" for i in range(1, 6)]
    assert found["sites"][3]["filters"] == [8, 8, 3, 3]
    assert found["sites"][3]["natural_seconds"] > 0


def test_the_command_on_one_s_own_network(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layersnet.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    conv = nn.Conv2d(1, 1, 3, padding=1)\n"
        "    last = nn.Conv2d(1, 4, 3)\n"
        "    return nn.Sequential(conv, conv, last, nn.Flatten(), nn.Linear(144, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # so that no reason is wrapped
    text = printed(capsys, "--model", "layersnet:make", "--threads", "1")
    assert "runs 2 times" in text
    assert "4x6x6" in text


def test_the_command_needs_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["layers"]) == 2
    assert "Name a preset" in capsys.readouterr().err
    assert cli.main(["layers", "--help"]) == 0
    assert "estimate" in capsys.readouterr().out
