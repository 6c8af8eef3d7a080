"""The players of the game: the weights that each moves, at what rate, and what is kept of them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer, RMSprop

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.game.minibatch import Minibatch
from filtergan.machine import distributed
from filtergan.machine.files import load_weights

Make = Callable[[list[nn.Parameter], float], Optimizer]
SURPRISE = 2.0  # norm of the largest gradient that `SteadyAdam` takes, over what it is used to


def rmsprop(weights: list[nn.Parameter], rate: float) -> Optimizer:
    """What the paper's players move by."""
    return RMSprop(weights, rate, alpha=0.9)


def adam(weights: list[nn.Parameter], rate: float) -> Optimizer:
    """With hardly a memory of directions: the others move as well."""
    return SteadyAdam(weights, rate, betas=(0.5, 0.99))


class SteadyAdam(Adam):
    """Adam that cuts gradients down to twice the norm it is used to, by its mean of squares.

    So short a memory of directions lets a gradient that grows from step to step move weights by
    five times the rate, and so grow further: in a few steps images were black, and with them all
    gradients zero.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make a step; the first takes gradients as they come."""
        weights = [w for group in self.param_groups for w in group["params"] if w.grad is not None]
        states = [self.state[w] for w in weights if self.state[w]]
        if weights and len(states) == len(weights):
            _, memory = self.param_groups[0]["betas"]
            mean = torch.stack([state["exp_avg_sq"].sum() for state in states]).sum()
            usual = mean / (1 - memory ** float(states[0]["step"]))
            now = torch.stack([w.grad.square().sum() for w in weights]).sum()
            share = (SURPRISE * (usual / now).sqrt()).clamp(max=1).nan_to_num(1.0)
            for w in weights:
                w.grad *= share
        return super().step(closure)


@dataclass(eq=False)
class Player:
    """Moves some weights, with a rate and the state of an optimiser of its own.

    Several may share a module and weights of it: Algorithm 1 keeps a state per update.

    Attributes:
        name: Of the player, of its optimiser's state in a checkpoint, and of the part of the
            `FilterGAN` that its average takes the place of.
        module: What its weights are part of, kept under the name of the first player that has it.
        weights: Those that it moves.
        rate: Of its optimiser, while rates have not begun to fall.
        keeps: The name in a checkpoint of a moving average of its module, which is then what is
            kept of it; None: no average.
        loss: What it descends after the updates of Algorithm 1; None for those that play in these.
        make: Its optimiser of weights and rate.
        average: That average.
        optimiser: With its state.
    """

    name: str
    module: nn.Module
    weights: list[nn.Parameter]
    rate: float
    keeps: str | None = None
    loss: Callable[[Minibatch], Tensor] | None = None
    make: Make = rmsprop
    average: nn.Module | None = field(init=False)
    optimiser: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        """Begin with a fresh state, and the average with the weights as they are."""
        self.average = None if self.keeps is None else copy.deepcopy(self.module)
        self.optimiser = self.make(self.weights, self.rate)

    def move(self, gradients: Sequence[Tensor], weight: float) -> None:
        """Make one step along the mean of all processes' gradients.

        Args:
            gradients: This process's, one for each of `weights`.
            weight: Its share of all samples.
        """
        means = distributed.mean(gradients, weight)
        for own, gradient in zip(self.weights, means, strict=True):
            own.grad = gradient
        self.optimiser.step()
        for own in self.weights:
            own.grad = None


def players_of(gan: FilterGAN, config: GanConfig) -> "Players":
    """All who play: a new player is one entry here."""
    generator, discriminator = gan.generator, gan.discriminator
    mine = list(generator.parameters())
    trunk, score = list(discriminator.trunk.parameters()), list(discriminator.score.parameters())
    q = list(discriminator.latent.parameters()) + trunk
    players = [
        Player("discriminator", discriminator, trunk + score, config.discriminator_rate),
        Player("generator", generator, mine, config.generator_rate, keeps="average"),
        Player("q", discriminator, q, config.information_rate),
    ]
    if config.updates == "algorithm1":
        players.append(Player("information", generator, mine, config.information_rate))
    return Players(players)


class Players:
    """The list of players, and what is done with all of them alike.

    Args:
        players: In the order in which those with a loss of their own descend it.
    """

    def __init__(self, players: Sequence[Player]) -> None:
        self._players = {player.name: player for player in players}

    def __iter__(self) -> Iterator[Player]:
        """Each player in turn."""
        return iter(self._players.values())

    def __getitem__(self, name: str) -> Player:
        """The player of that name."""
        return self._players[name]

    def modules(self) -> dict[str, nn.Module]:
        """All modules by their names in a checkpoint, each once, and the averages."""
        found: dict[str, nn.Module] = {}
        for player in self:
            if all(player.module is not module for module in found.values()):
                found[player.name] = player.module
            if player.keeps is not None and player.average is not None:
                found[player.keeps] = player.average
        return found

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        modules = self.modules().values()
        return all(bool(w.isfinite().all()) for module in modules for w in module.parameters())

    def agree(self) -> None:
        """Let all processes go on from the first one's weights."""
        for module in self.modules().values():
            distributed.agree(module)

    def set_rates(self, factor: float) -> None:
        """Let all have that factor of their rates."""
        for player in self:
            player.optimiser.param_groups[0]["lr"] = player.rate * factor

    @torch.no_grad()
    def update_averages(self, keep: float) -> None:
        """Let the moving averages keep so much of themselves; the rest comes from the weights."""
        for player in self:
            if player.average is not None:
                pairs = zip(player.average.parameters(), player.module.parameters(), strict=True)
                for kept, weight in pairs:
                    kept.lerp_(weight, 1 - keep)

    def tensors(self) -> dict[str, Tensor]:
        """All state: of the modules, the averages and the optimisers."""
        found = {
            f"{name}.{key}": value
            for name, module in self.modules().items()
            for key, value in module.state_dict().items()
        }
        for player in self:
            for index, state in player.optimiser.state_dict()["state"].items():
                prefix = f"optimiser.{player.name}.{index}"
                found |= {f"{prefix}.{key}": value for key, value in state.items()}
        return found

    def load(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Take over what `tensors` gave.

        Args:
            tensors: The state.
            path: Where it comes from, for the error.

        Raises:
            UserError: It is of another configuration.
        """
        for name, module in self.modules().items():
            load_weights(module, _under(f"{name}.", tensors), path)
        states: dict[str, dict[int, dict[str, Tensor]]] = {}
        for key, value in _under("optimiser.", tensors).items():
            name, index, part = key.split(".")
            states.setdefault(name, {}).setdefault(int(index), {})[part] = value
        groups = {player.name: player.optimiser.state_dict()["param_groups"] for player in self}
        weights = {name: set(group[0]["params"]) for name, group in groups.items()}
        if weights != {name: set(state) for name, state in states.items()}:
            raise UserError(f"{path} is of other updates than this configuration's; remove it.")
        for player in self:
            name = player.name
            player.optimiser.load_state_dict({"state": states[name], "param_groups": groups[name]})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by what follows."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
