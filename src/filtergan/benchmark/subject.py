"""What the augmentations are compared on: images, and a network and a generator learned on them."""

import copy
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from filtergan.benchmark.methods import METHODS
from filtergan.config.fields import CnnConfig
from filtergan.config.site_names import NATURAL
from filtergan.errors import UserError
from filtergan.images.splits import Split
from filtergan.machine import runtime
from filtergan.machine.wording import count_of
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.study.opened import OpenedRun

BATCH = 50  # images in a minibatch: 100, 300 and 1,000 are whole passes of it
VALIDATION = 5000  # images at most


Factory = Callable[[Float[Tensor, "n c h w"], Int64[Tensor, " n"], float, int], nn.Module]
"""Makes the augmentation of one training: of its labelled images (pixels in [0, 1]), their classes,
the strength, and a seed of what is learned here.

A module that takes batches of pixels and draws from torch's own generator; at a strength of 0 it
changes nothing. Where it has `copies`, predictions are averaged over so many transformed copies of
a test image; without, or with 0, they are those for the image itself."""


@dataclass(frozen=True)
class Subject:
    """Images, and what a run has learned on all of those for training.

    Attributes:
        network: The run's, trained and frozen; it takes pixels.
        gan: Its generator, with a transformer.
        train: Images of which few are labelled, and some serve to tune.
        test: Images that nothing is chosen by.
        config: Rate and weight decay of the trainings.
        steps: Of every training, at least; whole passes over the labelled images are made.
        device: Where all is computed.
    """

    network: nn.Module
    gan: NaturalGAN
    train: Split
    test: Split
    config: CnnConfig
    steps: int
    device: torch.device

    def passes(self, size: int) -> int:
        """Passes over so many labelled images, in which all methods make the same steps."""
        return -(-self.steps // max(1, size // BATCH))

    def labelled(self, size: int, seed: int) -> Int64[Tensor, " size"]:
        """Training images that are labelled; the fewer are among the more of the same seed."""
        return self._order(seed)[:size]

    def validation(self, largest: int, seed: int) -> Int64[Tensor, " n"]:
        """Training images by which strengths are chosen, none of which is ever labelled.

        Args:
            largest: Most images that are labelled.
            seed: Of the labelled images.
        """
        return self._order(seed)[largest:][-VALIDATION:]

    def check(self, largest: int) -> None:
        """See that images are left to tune by.

        Raises:
            UserError: There are none.
        """
        if largest >= len(self.train):
            raise UserError(
                f"There are {count_of(len(self.train), 'training image')}, and none of them is "
                f"left to tune by when {largest:,} are labelled; lower --sizes."
            )

    def fresh(self, seed: int) -> nn.Module:
        """A network of the same make, every layer drawn anew, on the CPU.

        Raises:
            UserError: A layer has weights, but no way to draw them anew.
        """
        network = copy.deepcopy(self.network).cpu().requires_grad_(True)
        with runtime.own_randomness(seed):
            _draw_anew(network)
        return network

    def factory(self, name: str) -> Factory:
        """What makes the augmentations of a method.

        Raises:
            UserError: It needs a package that is not installed, or a file of the repository.
        """
        place = METHODS[name].place
        module, _, function = place.partition(":")
        here = str(Path.cwd())
        sys.path.insert(0, here)
        try:
            return getattr(importlib.import_module(module), function)(self)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            raise UserError(
                f"The method {name} lies in {module.replace('.', '/')}.py of the repository of "
                "filtergan, outside the package; run the command in its root, or leave the method "
                "out with --methods."
            ) from error
        finally:
            sys.path.remove(here)

    def _order(self, seed: int) -> Int64[Tensor, " n"]:
        return runtime.sample(len(self.train), len(self.train), seed, "labelled images")


def _computed(module: nn.Module) -> bool:
    """Whether its weights are computed from others, as by weight_norm, which no drawing reaches."""
    own = (name.rpartition("_") for name, _ in module.named_parameters(recurse=False))
    older = any(end in ("orig", "g", "v") and hasattr(module, weight) for weight, _, end in own)
    return older or is_parametrized(module)


def _draw_anew(module: nn.Module, name: str = "") -> None:
    """Draw a module's parameters anew, as it says itself or else as its parts do."""
    reset = getattr(module, "reset_parameters", None)
    if _computed(module):
        raise UserError(
            f"Layer {name!r} of the network computes its weights from others, as weight_norm does, "
            "so it cannot be drawn anew, and no fresh network be trained."
        )
    if reset is not None:
        return reset()
    if any(True for _ in module.parameters(recurse=False)):
        raise UserError(
            f"Layer {name!r} of the network, a {type(module).__name__}, cannot be drawn anew, so "
            "no fresh network can be trained; give it `reset_parameters`."
        )
    for own, part in module.named_children():
        _draw_anew(part, f"{name}.{own}" if name else own)


def subject_of(run: OpenedRun, site: str | None, steps: int) -> Subject:
    """What a run has, to compare augmentations on.

    Args:
        run: A run whose generator is trained.
        site: Whose; None: the first with a transformer.
        steps: Of every training.

    Raises:
        UserError: It has no such site, or there is no transformer; or it lacks a part.
    """
    natural = run.config.sites_of(NATURAL)
    if (site is None and not natural) or site in set(run.sites) - set(natural):
        raise UserError(
            f"The run in {run.path} has no transformer at {site or 'any site'}, so nothing of it "
            "augments images; study it with --recipe natural."
        )
    gan = run.gan(site or natural[0])
    assert isinstance(gan, NaturalGAN)  # by its recipe
    data, cnn = run.dataset, run.config.cnn
    # Those of a whitened network are not AdamW's, with which all fresh ones are trained.
    config = CnnConfig() if cnn.architecture == "whitened" else cnn
    device = torch.device(run.device)
    return Subject(run.network, gan, data.train, data.test, config, steps, device)
