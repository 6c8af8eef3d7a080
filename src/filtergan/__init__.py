"""What else the filters of a trained convolution could have been, and what the network ignores.

The public names; each is imported when it is first used, so that the command starts fast. Each has
an example in its help, as `help(filtergan.traverse)`. From a network to what it ignores:

Examples:
    >>> import torch
    >>> import filtergan as fg
    >>> images = torch.rand(32, 1, 8, 8)
    >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
    >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
    >>> fg.traverse(gan, images[:2], fg.TraversalConfig(grid=3)).plot().savefig("walk.pdf")
    >>> fg.measure(gan, images, fg.tiny().traversal, resamples=100)
    Measures('conv2@activation/natural': ... measures, compensation ...)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filtergan import plot
    from filtergan.augmentation.augment import InvarianceAugment
    from filtergan.ceilings.ceiling import Ceilings, ceilings_of
    from filtergan.ceilings.question import Answers, ask
    from filtergan.ceilings.spectrum import Spectrum, spectrum_of
    from filtergan.classifiers.fitting import fit, predict
    from filtergan.classifiers.loading import load_model
    from filtergan.classifiers.networks import PaperCNN, ResNet, WhitenedCNN
    from filtergan.config.ceiling_fields import CeilingConfig
    from filtergan.config.dataset_fields import DatasetConfig
    from filtergan.config.fields import (
        CnnConfig,
        GanConfig,
        MeasureConfig,
        StudyConfig,
        TraversalConfig,
        joint_config,
    )
    from filtergan.config.natural_fields import NaturalConfig
    from filtergan.config.presets import cifar10, digits, mnist, tiny
    from filtergan.errors import UserError
    from filtergan.families.family import Family, Fixed
    from filtergan.game.discriminator import Discriminator
    from filtergan.game.gan import FilterGAN
    from filtergan.game.generator import Generator
    from filtergan.game.training import train
    from filtergan.images.dataset import load_dataset
    from filtergan.images.domain import Domain
    from filtergan.measures.table import Measures
    from filtergan.natural.joint import train_jointly
    from filtergan.natural.learning import learn
    from filtergan.natural.natural_gan import NaturalGAN
    from filtergan.natural.random_directions import random_directions
    from filtergan.natural.recovering import FieldSearch, Transformation
    from filtergan.pooling.pool import FilterPool2d
    from filtergan.pooling.retraining import retrain
    from filtergan.sites.site import Site
    from filtergan.sites.wrappers import Classifier
    from filtergan.study.opened import open_run
    from filtergan.study.order import run as run_study
    from filtergan.study.site_inputs import SiteInputs
    from filtergan.traversals.assessment import measure
    from filtergan.traversals.traversal import Traversal, traverse
    from filtergan.walks.points import latent_grid, points_around
    from filtergan.walks.prior import NaturalImagePrior
    from filtergan.walks.search import PixelSearch, invert
    from filtergan.walks.walk import walk, walk_grid

_PLACES = {
    "augmentation.augment": ("InvarianceAugment",),
    "ceilings.ceiling": ("Ceilings", "ceilings_of"),
    "ceilings.question": ("Answers", "ask"),
    "ceilings.spectrum": ("Spectrum", "spectrum_of"),
    "classifiers.fitting": ("fit", "predict"),
    "config.ceiling_fields": ("CeilingConfig",),
    "config.dataset_fields": ("DatasetConfig",),
    "config.fields": (
        *("CnnConfig", "GanConfig", "MeasureConfig", "StudyConfig", "TraversalConfig"),
        "joint_config",
    ),
    "images.dataset": ("load_dataset",),
    "images.domain": ("Domain",),
    "game.discriminator": ("Discriminator",),
    "errors": ("UserError",),
    "families.family": ("Family", "Fixed"),
    "game.gan": ("FilterGAN",),
    "game.generator": ("Generator",),
    "classifiers.loading": ("load_model",),
    "classifiers.networks": ("PaperCNN", "ResNet", "WhitenedCNN"),
    "config.natural_fields": ("NaturalConfig",),
    "measures.table": ("Measures",),
    "natural.learning": ("learn",),
    "traversals.assessment": ("measure",),
    "traversals.traversal": ("Traversal", "traverse"),
    "natural.joint": ("train_jointly",),
    "natural.natural_gan": ("NaturalGAN",),
    "natural.random_directions": ("random_directions",),
    "natural.recovering": ("FieldSearch", "Transformation"),
    "pooling.pool": ("FilterPool2d",),
    "pooling.retraining": ("retrain",),
    "config.presets": ("cifar10", "digits", "mnist", "tiny"),
    "walks.prior": ("NaturalImagePrior",),
    "sites.site": ("Site",),
    "sites.wrappers": ("Classifier",),
    "game.training": ("train",),
    "study.opened": ("open_run",),
    "study.site_inputs": ("SiteInputs",),
    "walks.points": ("latent_grid", "points_around"),
    "walks.search": ("PixelSearch", "invert"),
    "walks.walk": ("walk", "walk_grid"),
}
_NAMES = {name: (module, name) for module, names in _PLACES.items() for name in names}
_NAMES["run_study"] = ("study", "run")

__all__ = [
    "Answers",
    "CeilingConfig",
    "Ceilings",
    "Classifier",
    "CnnConfig",
    "DatasetConfig",
    "Discriminator",
    "Domain",
    "Family",
    "FieldSearch",
    "FilterGAN",
    "FilterPool2d",
    "Fixed",
    "GanConfig",
    "Generator",
    "InvarianceAugment",
    "MeasureConfig",
    "Measures",
    "NaturalConfig",
    "NaturalGAN",
    "NaturalImagePrior",
    "PaperCNN",
    "PixelSearch",
    "ResNet",
    "Site",
    "SiteInputs",
    "Spectrum",
    "StudyConfig",
    "Transformation",
    "Traversal",
    "TraversalConfig",
    "UserError",
    "WhitenedCNN",
    "ask",
    "ceilings_of",
    "cifar10",
    "digits",
    "fit",
    "invert",
    "joint_config",
    "latent_grid",
    "learn",
    "load_dataset",
    "load_model",
    "measure",
    "mnist",
    "open_run",
    "plot",
    "points_around",
    "predict",
    "random_directions",
    "retrain",
    "run_study",
    "spectrum_of",
    "tiny",
    "train",
    "train_jointly",
    "traverse",
    "walk",
    "walk_grid",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "plot":
        return importlib.import_module("filtergan.plot")
    if name not in _NAMES:
        raise AttributeError(f"module 'filtergan' has no attribute {name!r}")
    module, own = _NAMES[name]
    return getattr(importlib.import_module(f"filtergan.{module}"), own)
