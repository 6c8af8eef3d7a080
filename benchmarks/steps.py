"""A step of the game beside its floor and beside a plain implementation."""

from typing import Any

import torch
from plain import PlainGame
from subject import Subject
from timing import Machine, Times
from torch import Tensor

from filtergan.config.fields import GanConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Game

AFTER = (200, 800)  # steps, the last of a whole game; both have then seen as many samples
DRAWS, IMAGES = 20, 1000  # behind the accuracy after that


def run(subject: Subject, machine: Machine) -> dict[str, Any]:
    """One row: time, and what it is over."""
    torch.manual_seed(0)
    site, device = subject.site, subject.train.device
    with torch.no_grad():
        inputs = torch.cat([site.input(part) for part in subject.train.split(1000)]).contiguous()

    def begin(config: GanConfig) -> Game:
        return Game(FilterGAN.new(site, inputs[:1000], config, 0), config, 0)

    endless = GanConfig(steps=10**6)
    game, plain = begin(endless), PlainGame(site, subject.train, endless)
    # The very game that the plain one plays, where ours by default sums two updates.
    same = begin(endless.model_copy(update={"updates": "algorithm1", "head": "dense"}))
    works = {"ours": lambda: game.play(inputs), "same": lambda: same.play(inputs)}
    times = Times(works | {"plain": plain.play})
    floor = machine.floor(works["ours"])

    torch.manual_seed(0)
    config, accuracies = GanConfig(steps=AFTER[-1]), {}
    game, plain = begin(config), PlainGame(site, subject.train, config)
    z = torch.randn(DRAWS, config.latent, device=device)
    for step in range(1, AFTER[-1] + 1):
        game.play(inputs)
        plain.play()
        if step in AFTER:
            with torch.no_grad():
                draws = {"ours": game.result().generator(z), "plain": plain.generator(z)}
            accuracies[step] = {k: _accuracy(subject, v) for k, v in draws.items()}
    return {
        "batch": config.batch,
        "seconds": times.of("ours").as_record(),
        "over_plain": times.ratio("ours", "plain").as_record(),
        "same_over_plain": times.ratio("same", "plain").as_record(),
        "plain_seconds": times.of("plain").as_record(),
        "over_floor": times.of("ours").median / floor,
        "accuracies": accuracies,
    }


@torch.no_grad()
def _accuracy(subject: Subject, draws: Tensor) -> float:
    """Test accuracy of single draws, mean."""
    images, labels = subject.test[:IMAGES], subject.labels[:IMAGES]
    right = [
        (subject.site.output(images, filters=one).argmax(1) == labels).float().mean()
        for one in draws
    ]
    return float(torch.stack(right).mean())
