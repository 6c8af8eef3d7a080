"""Algorithm 1: the game between generator, discriminator and Q, with its state and checkpoints."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import RMSprop

from filtergan.config.fields import GanConfig
from filtergan.errors import LostProcess, UserError
from filtergan.game.ablated import gan_type
from filtergan.game.gan import FilterGAN, load_weights
from filtergan.game.objectives import (
    discriminator_loss,
    generator_loss,
    information_loss,
    r1_penalty,
)
from filtergan.machine import distributed
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.machine.runtime import derive_seed
from filtergan.machine.runtime import generator as random_generator
from filtergan.machine.storage import Rows
from filtergan.sites.site import Site

R1_EVERY = 4  # the penalty is strong and slow: apply it every fourth step, four times as strong

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


class Game:
    """Everything that changes while the game is played, and one step of it.

    Attributes:
        gan: The players as they are trained.
        average: Moving average of the generator's weights: the generator that is kept.
        step: Steps done.
    """

    def __init__(self, gan: FilterGAN, config: GanConfig, seed: int) -> None:
        self.gan, self.config, self.seed, self.step = gan, config, seed, 0
        self.share = distributed.share(config.batch)
        self.weight = (self.share.stop - self.share.start) / config.batch
        self.average = copy.deepcopy(gan.generator)
        self.dtype = next(gan.generator.parameters()).dtype
        judge = gan.discriminator
        trunk, score = list(judge.trunk.parameters()), list(judge.score.parameters())
        self.generator_weights = list(gan.generator.parameters())
        self.judge_weights = trunk + score
        self.q_weights = list(judge.latent.parameters()) + (trunk if config.share_trunk else [])
        # Algorithm 1 keeps a state per update, so the generator has one in each of its two.
        self.optimisers = {
            "discriminator": RMSprop(self.judge_weights, config.discriminator_rate, alpha=0.9),
            "generator": RMSprop(self.generator_weights, config.generator_rate, alpha=0.9),
            "q": RMSprop(self.q_weights, config.information_rate, alpha=0.9),
        }
        if config.updates == "algorithm1":
            self.optimisers["information"] = RMSprop(
                self.generator_weights, config.information_rate, alpha=0.9
            )
        self.rates = {name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()}

    def play(self, inputs: Rows) -> dict[str, Tensor]:
        """One step of Algorithm 1 on a minibatch drawn from site inputs; returns losses.

        Each of several processes draws the whole minibatch and computes its share of it.
        """
        rng = random_generator(self.seed, "step", self.step)
        chosen = torch.randint(len(inputs), (self.config.batch,), generator=rng)[self.share]
        device = self.gan.site.filters.device
        z = torch.randn(self.config.batch, self.gan.latent, generator=rng)[self.share].to(device)
        h = inputs[chosen].to(device)
        self._set_rates()

        with torch.no_grad():
            real = self._shown(h)
        generated = self._shown(h, z)
        losses = self._update_discriminator(real, generated.detach())
        if self.config.updates == "algorithm1":
            losses |= self._update_generator(generated)
            losses |= self._update_information(self._shown(h, z), z)
        else:
            losses |= self._update_summed(generated, z)
        self._update_average()
        self.step += 1
        means = distributed.mean(list(losses.values()), self.weight)
        return dict(zip(losses, means, strict=True))

    def _shown(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        with distributed.autocast():
            return self.gan.shown(h, z)

    def _judge(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and predicted latents, of which losses are taken in full precision."""
        with distributed.autocast():
            scores, predicted = self.gan.discriminator(responses)
        return scores.to(self.dtype), predicted.to(self.dtype)

    def _update_discriminator(self, real: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """D ascends eq. 1."""
        penalised = self.config.r1 > 0 and self.step % R1_EVERY == 0
        real.requires_grad_(penalised)
        scores, _ = self._judge(torch.cat([real, generated]))
        on_real, on_generated = scores.split([len(real), len(generated)])
        loss = total = discriminator_loss(on_real, on_generated, self.config.loss)
        if penalised:
            penalty = r1_penalty(on_real, real, self.gan.discriminator.scale)
            total = loss + self.config.r1 / 2 * R1_EVERY * penalty
        self._move("discriminator", self.judge_weights, total)
        return {
            "discriminator": loss.detach(),
            "score_real": on_real.mean().detach(),
            "score_generated": on_generated.mean().detach(),
        }

    def _update_generator(self, generated: Tensor) -> dict[str, Tensor]:
        """G descends eq. 1."""
        scores, _ = self._judge(generated)
        loss = generator_loss(scores, self.config.loss)
        self._move("generator", self.generator_weights, loss)
        return {"generator": loss.detach()}

    def _update_information(self, generated: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Q and G together descend the information term (eq. 3)."""
        _, predicted = self._judge(generated)
        loss = information_loss(z, predicted)
        weighted = self._information_weight() * loss
        # Both gradients first: G descends the same loss as Q, not what Q's move has made of it.
        both = torch.autograd.grad(weighted, self.q_weights + self.generator_weights)
        self._apply("q", self.q_weights, both[: len(self.q_weights)])
        self._apply("information", self.generator_weights, both[len(self.q_weights) :])
        return {"information": loss.detach()}

    def _update_summed(self, generated: Tensor, z: Tensor) -> dict[str, Tensor]:
        """G descends eq. 4 at once, so that lambda weighs its two gradients; Q its own part."""
        scores, predicted = self._judge(generated)
        adversarial = generator_loss(scores, self.config.loss)
        information = information_loss(z, predicted)
        weighted = self._information_weight() * information
        # Both gradients first: moving Q in between would change what G is judged by.
        for_q = torch.autograd.grad(weighted, self.q_weights, retain_graph=True)
        for_g = torch.autograd.grad(adversarial + weighted, self.generator_weights)
        self._apply("generator", self.generator_weights, for_g)
        self._apply("q", self.q_weights, for_q)
        return {"generator": adversarial.detach(), "information": information.detach()}

    def _move(self, name: str, weights: list[nn.Parameter], loss: Tensor) -> None:
        self._apply(name, weights, torch.autograd.grad(loss, weights))

    def _apply(self, name: str, weights: list[nn.Parameter], gradients: tuple[Tensor, ...]) -> None:
        gradients = distributed.mean(gradients, self.weight)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        self.optimisers[name].step()
        for weight in weights:
            weight.grad = None

    def _set_rates(self) -> None:
        left = 1 - self.step / self.config.steps
        factor = min(1.0, 2 * left) if self.config.decay else 1.0
        for name, optimiser in self.optimisers.items():
            optimiser.param_groups[0]["lr"] = self.rates[name] * factor

    def _information_weight(self) -> float:
        warmup = self.config.information_warmup
        return self.config.information * (min(1.0, (self.step + 1) / warmup) if warmup else 1.0)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average must forget the start faster than its decay would.
        keep = min(self.config.average, (self.step + 1) / (self.step + 11))
        if self.config.average == 0:
            keep = 0.0
        for kept, weight in zip(self.average.parameters(), self.generator_weights, strict=True):
            kept.lerp_(weight, 1 - keep)

    def agree(self) -> None:
        """Let all processes go on from the first one's weights."""
        for module in self._modules().values():
            distributed.agree(module)

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        modules = self._modules().values()
        return all(bool(w.isfinite().all()) for module in modules for w in module.parameters())

    def result(self) -> FilterGAN:
        """The players to keep: the averaged generator and the discriminator."""
        return type(self.gan)(self.gan.site, self.average, self.gan.discriminator, self.config)

    def save(self, path: Path) -> None:
        """Write all state to one file."""
        tensors = {
            f"{part}.{key}": value
            for part, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        for name, optimiser in self.optimisers.items():
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{name}.{index}.{k}": v for k, v in state.items()}
        progress = {"step": self.step, "threads": torch.get_num_threads()}
        progress["processes"] = distributed.size()
        progress["convolution"] = self.gan.site.backend
        save_tensors(path, tensors, {"progress": json.dumps(progress)})

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
        for part, module in self._modules().items():
            prefix = f"{part}."
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            load_weights(module, own, path)
        states: dict[str, dict[int, dict[str, Tensor]]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                name, index, field = key.split(".")[1:]
                states.setdefault(name, {}).setdefault(int(index), {})[field] = value
        groups = {name: o.state_dict()["param_groups"] for name, o in self.optimisers.items()}
        weights = {name: set(group[0]["params"]) for name, group in groups.items()}
        if weights != {name: set(state) for name, state in states.items()}:
            raise UserError(f"{path} is of other updates than this configuration's; remove it.")
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict({"state": states[name], "param_groups": groups[name]})
        self.step = progress["step"]
        self.gan.site.backend = progress.get("convolution", "grouped")
        if progress.get("processes", 1) == distributed.size():
            torch.set_num_threads(progress["threads"])

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.gan.generator,
            "discriminator": self.gan.discriminator,
            "average": self.average,
        }


def train(
    site: Site,
    inputs: Rows,
    config: GanConfig,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    log: Log = lambda step, values: None,
    on_start: Callable[[int], object] = lambda step: None,
    on_step: Callable[[], object] = lambda: None,
) -> FilterGAN:
    """Play the game to its end (Algorithm 1, eqs. 1-4).

    Args:
        site: The site whose filters are to be generated.
        inputs: Site inputs h [n, i, h, w] of the training images: a tensor (`site.input(images)`),
            or anything else that gives tensors of its rows.
        config: Sizes, rates and choices.
        seed: Seed of weights, minibatches and latents; the same seed gives the same generator.
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
    """
    first = inputs[:1000].to(site.filters.device)
    gan = gan_type(config).new(site, first, config, derive_seed(seed, "weights"))
    game = Game(gan, config, seed)
    if checkpoint is not None and distributed.lead(checkpoint.exists):
        game.load(checkpoint)
    game.agree()
    on_start(game.step)

    try:
        _play(game, inputs, checkpoint, log, on_step)
    except LostProcess as error:
        kept = f"; the last checkpoint is {checkpoint}" if _is_kept(checkpoint) else ""
        raise LostProcess(error.reason, f" at step {game.step} of the game{kept}") from error
    return game.result()


def _play(
    game: Game,
    inputs: Rows,
    checkpoint: Path | None,
    log: Log,
    on_step: Callable[[], object],
) -> None:
    config = game.config
    while game.step < config.steps:
        losses = game.play(inputs)

        keep = game.step % config.checkpoint_every == 0 or game.step == config.steps
        finite = torch.stack(list(losses.values())).isfinite().all()
        # Losses are those before the update, so what is kept is looked at itself.
        if not finite or (keep and not game.finite()):
            raise Diverged(game.step, checkpoint if _is_kept(checkpoint) else None)

        if game.step % config.log_every == 0 or game.step == config.steps:
            log(game.step, {name: float(value) for name, value in losses.items()})

        if checkpoint and keep:
            game.save(checkpoint)

        on_step()


def _is_kept(checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.exists()
