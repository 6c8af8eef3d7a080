"""Networks of this package as one file each, with all that is needed to build them again."""

import json
from pathlib import Path

import torch
from torch import nn

from filtergan.classifiers import networks
from filtergan.classifiers.fitting import channels_last
from filtergan.config.bases import Frozen
from filtergan.config.fields import CnnConfig
from filtergan.errors import UserError
from filtergan.images.domain import Domain
from filtergan.machine.files import load_metadata, load_tensors, remedy, save_tensors
from filtergan.sites.wrappers import Classifier, classifier_in, unwrapped

FILE = "network.safetensors"
KEY = "filtergan"
"""Of the description among the file's metadata, which safetensors keeps as words."""


class _Description(Frozen):
    """All about a network but its weights."""

    cnn: CnnConfig
    image: tuple[int, int, int]
    outputs: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def can_be_saved(network: nn.Module) -> bool:
    """Whether a network is one of this package's own kinds, for which no foreign code is needed."""
    return type(unwrapped(network)) in networks.ARCHITECTURES.values()


def save_network(path: Path, network: nn.Module) -> None:
    """Write a network with its domain and classes, in whatever wrapper it comes.

    Args:
        path: Where to.
        network: One that `can_be_saved`.

    Raises:
        UserError: The file could not be written (exit code 1).
    """
    own, classifier = unwrapped(network), classifier_in(network)
    assert isinstance(own, networks.PaperCNN | networks.ResNet | networks.WhitenedCNN)
    (config, image, outputs), kinds = own.made_of, networks.ARCHITECTURES
    (kind,) = (name for name, made in kinds.items() if made is type(own))
    domain = Domain() if classifier is None else classifier.domain
    said = _Description(
        cnn=CnnConfig.model_validate(config.model_dump() | {"architecture": kind}),
        image=image,
        outputs=outputs,
        classes=() if classifier is None else classifier.classes,
        mean=domain.mean,
        std=domain.std,
    )
    save_tensors(path, own.state_dict(), {KEY: said.model_dump_json()})


def load_network(path: Path, device: torch.device) -> Classifier:
    """Read what `save_network` wrote: a frozen network in evaluation mode, which takes pixels.

    Args:
        path: The file.
        device: Where the network is to lie.

    Raises:
        UserError: The file is missing or damaged, or holds something else.
    """
    try:
        said = _Description.model_validate(json.loads(load_metadata(path)[KEY]))
        with torch.random.fork_rng(devices=[]):  # of weights that are replaced
            network = networks.make(said.cnn, said.image, said.outputs)
        # Copies lie where torch's own tensors do: last bits of a product depend on that.
        own = {name: tensor.clone() for name, tensor in load_tensors(path).items()}
        network.load_state_dict(own, assign=True)
        domain = Domain(said.mean, said.std)
    except (LookupError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no network of filtergan's. {remedy(path)}") from error
    whole = Classifier(network, domain, said.classes).to(device).eval().requires_grad_(False)
    if device.type == "cpu":
        channels_last(network)
    return whole
