"""What else the filters of a trained convolution could have been, and what the network ignores.

The public names; each is imported when it is first used, so that the command starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filtergan.cnn import fit, predict
    from filtergan.config import GanConfig, MeasureConfig, StudyConfig, TraversalConfig
    from filtergan.data import load_dataset
    from filtergan.discriminator import Discriminator
    from filtergan.errors import UserError
    from filtergan.gan import FilterGAN
    from filtergan.generator import Generator
    from filtergan.loading import load_model
    from filtergan.networks import PaperCNN, ResNet
    from filtergan.pooling import FilterPool2d, retrain
    from filtergan.presets import cifar10, digits, mnist, tiny
    from filtergan.priors import NaturalImagePrior
    from filtergan.site import Site
    from filtergan.study import run as run_study
    from filtergan.training import train
    from filtergan.traversal import invert, latent_grid, points_around, walk, walk_grid

_PLACES = {
    "cnn": ("fit", "predict"),
    "config": ("GanConfig", "MeasureConfig", "StudyConfig", "TraversalConfig"),
    "data": ("load_dataset",),
    "discriminator": ("Discriminator",),
    "errors": ("UserError",),
    "gan": ("FilterGAN",),
    "generator": ("Generator",),
    "loading": ("load_model",),
    "networks": ("PaperCNN", "ResNet"),
    "pooling": ("FilterPool2d", "retrain"),
    "presets": ("cifar10", "digits", "mnist", "tiny"),
    "priors": ("NaturalImagePrior",),
    "site": ("Site",),
    "training": ("train",),
    "traversal": ("invert", "latent_grid", "points_around", "walk", "walk_grid"),
}
_NAMES = {name: (module, name) for module, names in _PLACES.items() for name in names}
_NAMES["run_study"] = ("study", "run")

__all__ = [
    "Discriminator",
    "FilterGAN",
    "FilterPool2d",
    "GanConfig",
    "Generator",
    "MeasureConfig",
    "NaturalImagePrior",
    "PaperCNN",
    "ResNet",
    "Site",
    "StudyConfig",
    "TraversalConfig",
    "UserError",
    "cifar10",
    "digits",
    "fit",
    "invert",
    "latent_grid",
    "load_dataset",
    "load_model",
    "mnist",
    "points_around",
    "predict",
    "retrain",
    "run_study",
    "tiny",
    "train",
    "walk",
    "walk_grid",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'filtergan' has no attribute {name!r}")
    module, own = _NAMES[name]
    return getattr(importlib.import_module(f"filtergan.{module}"), own)
