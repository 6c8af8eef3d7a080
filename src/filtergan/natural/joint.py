"""The joint training: generator and transformer move together, and the game goes on."""

import os
from collections.abc import Callable

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
            losses, moved, real = self._undo(pairs)
            total = losses.pop("total")
            if self.fixed:
                self._descend(total, pairs.weight, "transformer", "reader")
            else:
                losses |= self._play_on(pairs, total, moved, real)
        return self._done({name: v.detach() for name, v in losses.items()}, pairs.weight)

    def _undo(self, pairs: Pairs) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """How well T undoes what the generator does; responses under G(z'), and under W."""
        natural, gan, x = self.natural, self.gan, pairs.x
        z, z_k = pairs.spread(pairs.z), pairs.spread(pairs.z_k)
        with torch.no_grad():
            h = gan.site.input(x)
            real = gan.site.respond(h)
        filters, filters_k = gan.generator(torch.cat([pairs.z, pairs.z_k])).chunk(2)
        profile, moved = gan.site.respond(h, filters), gan.site.respond(h, filters_k)
        x_k = gan.transformer(x, z, z_k)
        h_k = gan.site.input(x_k)
        undone = gan.site.respond(h_k, filters_k)
        means = [squared_norm(profile.detach()).mean(), squared_norm(x).mean()]
        unit, usual = distributed.mean(means, pairs.weight)
        before, after = (squared_norm(r - profile) / unit for r in (moved, undone))
        compensation = compensation_loss(before, after)
        reading = reading_loss(z_k - z, gan.reader(x, x_k))
        distance = (pairs.z_k - pairs.z).norm(dim=1)
        by_pair = (len(distance), -1)
        change = mean_changes(x.unflatten(0, by_pair), x_k.unflatten(0, by_pair), usual)
        size = size_loss(change, distance, natural.size)
        total = natural.compensation * compensation + natural.information * reading
        total = total + natural.size_weight * size
        losses = {
            "compensation": compensation,
            "before": before.mean(),
            "after": after.mean(),
            "reading": reading,
            "change": change.mean(),
            "size": size,
        }
        if natural.asks_network:
            changes = self._changes_of_output(pairs, real, (x_k, h_k), moved)
            # Each loss has the name of its weight.
            total = total + sum(getattr(natural, name) * value for name, value in changes.items())
            losses |= changes
        return losses | {"total": total}, moved, real

    def _changes_of_output(
        self, pairs: Pairs, real: Tensor, changed: tuple[Tensor, Tensor], moved: Tensor
    ) -> dict[str, Tensor]:
        """How far the network's own answers move from those to x.

        Args:
            pairs: With the images x.
            real: Their responses, by the real filters.
            changed: The images x', and what of them arrives at the site.
            moved: The responses to x by drawn filters.
        """
        site, natural, found = self.gan.site, self.natural, dict[str, Tensor]()
        with torch.no_grad():
            before = require_logits(site.output(pairs.x, response=real))
        (unit,) = distributed.mean([squared_norm(centred(before)).mean()], pairs.weight)
        if natural.labels or natural.logits:
            x_k, h_k = changed
            after = site.output(x_k, response=site.respond(h_k))
            if natural.labels:
                found["labels"] = labels_loss(before, after)
            if natural.logits:
                found["logits"] = logits_loss(before, after) / (unit + TINY)
        if natural.draws and not self.fixed:
            drawn = site.output(pairs.x, response=moved)
            found["draws"] = logits_loss(before, drawn) / (unit + TINY)
        return found

    def _play_on(
        self, pairs: Pairs, total: Tensor, moved: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """The game's own step: D learns, then all who undo, and G fools D as well; Q looks on."""
        losses = self._update_discriminator(real, moved.detach(), pairs.weight)
        scores, predicted = self._discriminate(moved)
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
