"""Algorithm 1: the game between generator, discriminator and Q, with its state and checkpoints."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from filtergan.config.fields import GanConfig
from filtergan.errors import LostProcess, UserError
from filtergan.game.gan import FilterGAN
from filtergan.game.minibatch import Minibatch
from filtergan.game.objectives import discriminator_loss, generator_loss, information_loss
from filtergan.game.players import Players, players_of
from filtergan.machine import distributed
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.machine.runtime import derive_seed, sample
from filtergan.machine.runtime import generator as random_generator
from filtergan.machine.storage import Rows, RowsLike, rows_of
from filtergan.sites.site import Site

Log = Callable[[int, dict[str, float]], None]


class Diverged(UserError):
    """A loss or a weight of the game is no number any more."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        kept = f"; the last good state is kept in {checkpoint}" if checkpoint else ""
        super().__init__(
            f"The game diverged: a loss or a weight is not finite at step {step}{kept}. Try lower "
            "rates, a lower information weight, or another seed.",
            exit_code=1,
        )
        self.step = step


@runtime_checkable
class Schedule(Protocol):
    """How long is played, and what is told and kept on the way."""

    @property
    def steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def batch(self) -> int:
        """Images in a minibatch."""
        ...

    @property
    def decay(self) -> bool:
        """Whether rates fall to zero over the second half."""
        ...

    @property
    def average(self) -> float:
        """Decay of the moving averages."""
        ...

    @property
    def log_every(self) -> int:
        """Steps between two lines of the log."""
        ...

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints."""
        ...


class Game:
    """Everything that changes while the game is played, and one step of it.

    Attributes:
        gan: What is trained.
        players: Who moves it, and the averages that are kept.
        step: Steps done.
    """

    def __init__(self, gan: FilterGAN, config: GanConfig, seed: int) -> None:
        self.gan, self.config, self.seed, self.step = gan, config, seed, 0
        self.schedule: Schedule = config
        self.players = self._seated()
        self.dtype = next(gan.generator.parameters()).dtype

    def play(self, inputs: Rows) -> dict[str, Tensor]:
        """One step of Algorithm 1 on a minibatch drawn from site inputs; returns losses.

        Each of several processes draws the whole minibatch and computes its share of it.
        """
        minibatch = self._minibatch(inputs)
        self.players.set_rates(self._rates_left())
        with torch.no_grad():
            real = self._shown(minibatch.inputs)
        generated = self._shown(minibatch.inputs, minibatch.z)
        losses = self._update_discriminator(real, generated.detach(), minibatch.weight)
        if self.config.updates == "algorithm1":
            losses |= self._update_generator(minibatch, generated)
            losses |= self._update_information(minibatch)
        else:
            losses |= self._update_summed(minibatch, generated)
        losses |= self._update_others(minibatch)
        return self._done(losses, minibatch.weight)

    def _done(self, losses: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
        """End a step; the losses as all processes have them, given this one's share of all."""
        self.players.update_averages(self._kept())
        self.step += 1
        means = distributed.mean(list(losses.values()), weight)
        return dict(zip(losses, means, strict=True))

    def _seated(self) -> Players:
        return players_of(self.gan, self.config)

    def _minibatch(self, inputs: Rows) -> Minibatch:
        rng = random_generator(self.seed, "step", self.step)
        device = self.gan.site.filters.device
        return Minibatch.drawn(inputs, self.schedule.batch, self.gan.latent, rng, device)

    def _shown(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        with distributed.autocast():
            return self.gan.shown(h, z)

    def _discriminate(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and predicted latents, of which losses are taken in full precision."""
        with distributed.autocast():
            scores, predicted = self.gan.discriminator(responses)
        return scores.to(self.dtype), predicted.to(self.dtype)

    def _update_discriminator(
        self, real: Tensor, generated: Tensor, weight: float
    ) -> dict[str, Tensor]:
        """D ascends eq. 1."""
        scores, _ = self._discriminate(torch.cat([real, generated]))
        on_real, on_generated = scores.split([len(real), len(generated)])
        loss = discriminator_loss(on_real, on_generated)
        self._descend(loss, weight, "discriminator")
        return {
            "discriminator": loss.detach(),
            "score_real": on_real.mean().detach(),
            "score_generated": on_generated.mean().detach(),
        }

    def _update_generator(self, minibatch: Minibatch, generated: Tensor) -> dict[str, Tensor]:
        """G descends eq. 1."""
        scores, _ = self._discriminate(generated)
        loss = generator_loss(scores, self.config.loss)
        self._descend(loss, minibatch.weight, "generator")
        return {"generator": loss.detach()}

    def _update_information(self, minibatch: Minibatch) -> dict[str, Tensor]:
        """Q and G together descend the information term (eq. 3)."""
        _, predicted = self._discriminate(self._shown(minibatch.inputs, minibatch.z))
        loss = information_loss(minibatch.z, predicted)
        self._descend(self.config.information * loss, minibatch.weight, "q", "information")
        return {"information": loss.detach()}

    def _update_summed(self, minibatch: Minibatch, generated: Tensor) -> dict[str, Tensor]:
        """G descends eq. 4 at once, so that lambda weighs its two gradients; Q its own part."""
        q, generator = self.players["q"], self.players["generator"]
        scores, predicted = self._discriminate(generated)
        adversarial = generator_loss(scores, self.config.loss)
        information = information_loss(minibatch.z, predicted)
        weighted = self.config.information * information
        # Both gradients first: moving Q in between would change what G is scored by.
        for_q = torch.autograd.grad(weighted, q.weights, retain_graph=True)
        for_g = torch.autograd.grad(adversarial + weighted, generator.weights)
        generator.move(for_g, minibatch.weight)
        q.move(for_q, minibatch.weight)
        return {"generator": adversarial.detach(), "information": information.detach()}

    def _update_others(self, minibatch: Minibatch) -> dict[str, Tensor]:
        """Players with a loss of their own descend it."""
        losses: dict[str, Tensor] = {}
        for player in self.players:
            if player.loss is not None:
                loss = player.loss(minibatch)
                self._descend(loss, minibatch.weight, player.name)
                losses[player.name] = loss.detach()
        return losses

    def _descend(self, loss: Tensor, weight: float, *names: str) -> None:
        """Let players descend one loss; all gradients first: a move would change the others'."""
        players = [self.players[name] for name in names]
        gradients = iter(torch.autograd.grad(loss, [w for p in players for w in p.weights]))
        for player in players:
            player.move([next(gradients) for _ in player.weights], weight)

    def _rates_left(self) -> float:
        left = 1 - self.step / self.schedule.steps
        return min(1.0, 2 * left) if self.schedule.decay else 1.0

    def _kept(self) -> float:
        """What the averages keep of themselves: early on they forget the start faster."""
        return min(self.schedule.average, (self.step + 1) / (self.step + 11))

    def result(self) -> FilterGAN:
        """What is kept: the players' averages, and those who have none as they are."""
        kept = copy.copy(self.gan)
        for player in self.players:
            if player.average is not None:
                setattr(kept, player.name, player.average)
        return kept

    def save(self, path: Path) -> None:
        """Write all state to one file."""
        progress = {"step": self.step, "threads": torch.get_num_threads()}
        progress["processes"] = distributed.size()
        progress["convolution"] = self.gan.site.backend
        save_tensors(path, self.players.tensors(), {"progress": json.dumps(progress)})

    def load(self, path: Path) -> None:
        """Read what `save` wrote; as many processes as then compute with as many threads.

        Raises:
            UserError: The file is damaged or of another configuration.
        """
        tensors = load_tensors(path)
        try:
            progress = json.loads(load_metadata(path)["progress"])
        except (KeyError, json.JSONDecodeError) as error:
            raise UserError(f"{path} is no checkpoint of this program; remove it.") from error
        self.players.load(tensors, path)
        self.step = progress["step"]
        self.gan.site.backend = progress.get("convolution", "grouped")
        if progress.get("processes", 1) == distributed.size():
            torch.set_num_threads(progress["threads"])


def train(
    site: Site,
    inputs: RowsLike,
    config: GanConfig,
    seed: int = 0,
    *,
    kind: type[FilterGAN] = FilterGAN,
    checkpoint: str | os.PathLike[str] | None = None,
    log: Log = lambda step, values: None,
    on_start: Callable[[int], object] = lambda step: None,
    on_step: Callable[[], object] = lambda: None,
) -> FilterGAN:
    """Play the game to its end (Algorithm 1, eqs. 1-4).

    Args:
        site: The site whose filters are to be generated.
        inputs: Site inputs h [n, i, h, w] of the training images: a tensor (`site.input(images)`),
            or anything else that `rows_of` takes; `SiteInputs` computes them in batches.
        config: Sizes, rates and choices.
        seed: Seed of weights, minibatches and latents; the same seed gives the same generator.
        kind: What is trained: an ablation shows its discriminator something else (`ablated.py`).
        checkpoint: File for the state; where it exists, the game goes on from it.
        log: Called every `log_every` steps with the step and the losses.
        on_start: Called once with the step that the game starts from.
        on_step: Called after every step.

    Returns:
        The averaged generator with the discriminator and Q.

    Raises:
        Diverged: A loss is not finite, or a weight where the state is to be kept.
        LostProcess: Another process of the run has ended.
        UserError: The checkpoint is damaged.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> fg.train(site, fg.SiteInputs(site, images), fg.GanConfig(latent=3, steps=2))
        FilterGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3)
    """
    inputs = rows_of(inputs)
    some = sample(len(inputs), 1000, seed, "first").sort().values  # rows may come by class
    first = inputs[some].to(site.filters.device)
    gan = kind.new(site, first, config, derive_seed(seed, "weights"))
    game = Game(gan, config, seed)
    play_to_the_end(game, inputs, checkpoint, log, on_start, on_step)
    return game.result()


def play_to_the_end(
    game: Game,
    inputs: Rows,
    checkpoint: str | os.PathLike[str] | None = None,
    log: Log = lambda step, values: None,
    on_start: Callable[[int], object] = lambda step: None,
    on_step: Callable[[], object] = lambda: None,
) -> None:
    """Play all steps of a game that are left; arguments and errors are those of `train`."""
    checkpoint = None if checkpoint is None else Path(checkpoint)
    if checkpoint is not None and distributed.lead(checkpoint.exists):
        game.load(checkpoint)
    game.players.agree()
    on_start(game.step)

    try:
        with torch.enable_grad():
            _play(game, inputs, checkpoint, log, on_step)
    except LostProcess as error:
        kept = f"; the last checkpoint is {checkpoint}" if _is_kept(checkpoint) else ""
        raise LostProcess(error.reason, f" at step {game.step} of the game{kept}") from error


def _play(
    game: Game,
    inputs: Rows,
    checkpoint: Path | None,
    log: Log,
    on_step: Callable[[], object],
) -> None:
    config = game.schedule
    while game.step < config.steps:
        losses = game.play(inputs)

        keep = game.step % config.checkpoint_every == 0 or game.step == config.steps
        finite = torch.stack(list(losses.values())).isfinite().all()
        # Losses are those before the update, so what is kept is looked at itself.
        if not finite or (keep and not game.players.finite()):
            raise Diverged(game.step, checkpoint if _is_kept(checkpoint) else None)

        if game.step % config.log_every == 0 or game.step == config.steps:
            log(game.step, {name: float(value) for name, value in losses.items()})

        if checkpoint and keep:
            game.save(checkpoint)

        on_step()


def _is_kept(checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.exists()
