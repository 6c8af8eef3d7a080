"""The joint training: generator and transformer move together, and the game goes on."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from filtergan.game.objectives import generator_loss, information_loss
from filtergan.game.players import Player, Players, adam
from filtergan.game.training import Game, Log, play_to_the_end
from filtergan.machine import distributed
from filtergan.machine.runtime import derive_seed
from filtergan.machine.runtime import generator as random_generator
from filtergan.machine.storage import Rows, RowsLike, rows_of
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.pairs import Pairs
from filtergan.natural.terms import (
    TINY,
    compensation_loss,
    labels_loss,
    logits_loss,
    mean_changes,
    reading_loss,
    size_loss,
    squared_norm,
)
from filtergan.sites.wrappers import centred, require_logits, untouched

WEIGHTS = {
    "compensation": "compensation",
    "reading": "information",
    "size": "size_weight",
    "labels": "labels",
    "logits": "logits",
    "draws": "draws",
}
"""Losses, and what of `NaturalConfig` is the weight of each."""


@dataclass(frozen=True)
class Seen:
    """What one step has made of its images.

    Attributes:
        h: Site inputs of x.
        filters: Those of z', a set for each pair.
        moved: The responses to x by them.
        x_k: The images x' = T(x, z, z').
        h_k: Their site inputs.
    """

    h: Tensor
    filters: Tensor
    moved: Tensor
    x_k: Tensor
    h_k: Tensor


class JointGame(Game):
    """The game, whose generator must also let a transformer undo its changes in images.

    Args:
        gan: What is trained.
        seed: Of minibatches and latents.
        fixed: Whether the generator stays as it is, so that only its transformer is trained.
    """

    gan: NaturalGAN

    def __init__(self, gan: NaturalGAN, seed: int, fixed: bool = False) -> None:
        self.natural, self.fixed = gan.config.natural, fixed
        super().__init__(gan, gan.config, seed)
        self.schedule = self.natural
        if fixed:
            self.schedule = self.natural.model_copy(update={"steps": self.natural.null_steps})

    def _seated(self) -> Players:
        """Transformer and reader, and unless the generator is fixed those of the game."""
        gan, natural = self.gan, self.natural

        def whole(module: nn.Module, name: str, rate: float, keeps: str | None = None) -> Player:
            return Player(name, module, list(module.parameters()), rate, keeps, make=adam)

        players = [
            whole(gan.transformer, "transformer", natural.transformer_rate, "transformer_average"),
            whole(gan.reader, "reader", natural.transformer_rate, "reader_average"),
        ]
        if not self.fixed:
            theirs = {player.name: player for player in super()._seated()}
            moved = whole(gan.generator, "generator", natural.generator_rate, "average")
            players += [theirs["discriminator"], theirs["q"], moved]
        return Players(players)

    def play(self, inputs: Rows) -> dict[str, Tensor]:
        """One step on a minibatch drawn from images; returns losses."""
        natural, gan = self.natural, self.gan
        pairs = Pairs.drawn(
            inputs,
            natural.pairs,
            natural.pair_images,
            gan.latent,
            random_generator(self.seed, "step", self.step),
            gan.site.filters.device,
        )
        self.players.set_rates(self._rates_left())
        with untouched(gan.site.network):  # once, and not again in every pass
            losses, seen = self._undo(pairs)
            losses |= self._asked(pairs, seen)
            total = self._total(losses)
            if self.fixed:
                self._descend(total, pairs.weight, "transformer", "reader")
            else:
                losses |= self._play_on(pairs, total, seen)
        return self._done({name: v.detach() for name, v in losses.items()}, pairs.weight)

    def _undo(self, pairs: Pairs) -> tuple[dict[str, Tensor], Seen]:
        """How well T undoes what the generator does."""
        site, x = self.gan.site, pairs.x
        z, z_k = pairs.spread(pairs.z), pairs.spread(pairs.z_k)
        with torch.no_grad():
            h = site.input(x)
        with torch.set_grad_enabled(not self.fixed):
            filters, filters_k = self.gan.generator(torch.cat([pairs.z, pairs.z_k])).chunk(2)
            profile, moved = site.respond(h, filters), site.respond(h, filters_k)
        x_k = self.gan.transformer(x, z, z_k)
        h_k = site.input(x_k)
        undone = site.respond(h_k, filters_k)
        means = [squared_norm(profile.detach()).mean(), squared_norm(x).mean()]
        unit, usual = distributed.mean(means, pairs.weight)
        before, after = (squared_norm(r - profile) / unit for r in (moved, undone))
        distance = (pairs.z_k - pairs.z).norm(dim=1)
        by_pair = (len(distance), -1)
        change = mean_changes(x.unflatten(0, by_pair), x_k.unflatten(0, by_pair), usual)
        losses = {
            "compensation": compensation_loss(before, after),
            "before": before.mean(),
            "after": after.mean(),
            "reading": reading_loss(z_k - z, self.gan.reader(x, x_k)),
            "change": change.mean(),
            "size": size_loss(change, distance, self.natural.size),
        }
        return losses, Seen(h, filters_k, moved, x_k, h_k)

    def _asked(self, pairs: Pairs, seen: Seen) -> dict[str, Tensor]:
        """How far the network's own answers move from those to x, where they are to stay."""
        site, natural, found = self.gan.site, self.natural, dict[str, Tensor]()
        of_images = natural.labels > 0 or natural.logits > 0
        of_draws = natural.draws > 0 and not self.fixed
        if not (of_images or of_draws):
            return found
        with torch.no_grad():
            known = require_logits(site.output(pairs.x, response=site.respond(seen.h)))
        (unit,) = distributed.mean([squared_norm(centred(known)).mean()], pairs.weight)
        if of_images:
            after = site.output(seen.x_k, response=site.respond(seen.h_k))
            if natural.labels:
                found["labels"] = labels_loss(known, after)
            if natural.logits:
                found["logits"] = logits_loss(known, after) / (unit + TINY)
        if of_draws:
            drawn = site.output(pairs.x, filters=seen.filters, response=seen.moved)
            found["draws"] = logits_loss(known, drawn) / (unit + TINY)
        return found

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        """Eq. 13 but for the game: the losses by their weights."""
        terms = [
            getattr(self.natural, by) * losses[of] for of, by in WEIGHTS.items() if of in losses
        ]
        return torch.stack(terms).sum()

    def _play_on(self, pairs: Pairs, total: Tensor, seen: Seen) -> dict[str, Tensor]:
        """The game's own step: D learns, then all who undo, and G fools D as well; Q looks on."""
        with torch.no_grad():
            real = self.gan.site.respond(seen.h)
        losses = self._update_discriminator(real, seen.moved.detach(), pairs.weight)
        scores, predicted = self._discriminate(seen.moved)
        adversarial = generator_loss(scores, self.config.loss)
        information = information_loss(pairs.spread(pairs.z_k), predicted)
        q = self.players["q"]
        for_q = torch.autograd.grad(information, q.weights, retain_graph=True)
        whole = total + self.natural.game * adversarial
        self._descend(whole, pairs.weight, "transformer", "reader", "generator")
        q.move(for_q, pairs.weight)
        return losses | {"generator": adversarial, "information": information}


def train_jointly(
    gan: NaturalGAN,
    images: RowsLike,
    seed: int = 0,
    *,
    fixed: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    log: Log = lambda step, values: None,
    on_start: Callable[[int], object] = lambda step: None,
    on_step: Callable[[], object] = lambda: None,
) -> NaturalGAN:
    """Train a generator and its transformer together, by `gan.config.natural`.

    Args:
        gan: Where both begin; its weights move.
        images: Training images [n, c, h, w], pixels, as `rows_of` makes rows.
        seed: Of minibatches and latents.
        fixed: Leave the generator as it is, and train its transformer alone, for `null_steps`.
        checkpoint: File for the state; where it exists, the training goes on from it.
        log: Called every `log_every` steps with the step and the losses.
        on_start: Called once with the step that it starts from.
        on_step: Called after every step.

    Returns:
        The averages of both, with the discriminator and the reader.

    Raises:
        Diverged: A loss is not finite, or a weight where the state is to be kept.
        LostProcess: Another process of the run has ended.
        UserError: The checkpoint is damaged, or labels or logits are asked for of a network that
            gives none.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> config = fg.joint_config(fg.GanConfig(), fg.NaturalConfig(latent=(3,), steps=2))
        >>> gan = fg.NaturalGAN.new(site, site.input(images), config, seed=0)
        >>> fg.train_jointly(gan, images)
        NaturalGAN(Site('conv2' of PaperCNN, activation, 8x8x3x3), latent 3)
    """
    game = JointGame(gan, derive_seed(seed, "joint"), fixed)
    play_to_the_end(game, rows_of(images), checkpoint, log, on_start, on_step)
    result = game.result()
    assert isinstance(result, NaturalGAN)
    return result
