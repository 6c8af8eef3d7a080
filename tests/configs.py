"""The config of a study in seconds, and what a test changes of it."""

from typing import Any

from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import (
    CnnConfig,
    GanConfig,
    MeasureConfig,
    StudyConfig,
    TraversalConfig,
)
from filtergan.config.natural_fields import NaturalConfig

BASE = StudyConfig(
    preset="micro",
    threads=1,
    layer=("conv2",),
    dataset=DatasetConfig(train_limit=100, test_limit=40),
    cnn=CnnConfig(channels=(4, 6), pool_after=(1,), epochs=1, batch=25),
    ceilings=CeilingConfig(test_images=20, steps=2, batch=8),
    gan=GanConfig(
        latent=3,
        hidden=8,
        discriminator_channels=4,
        steps=12,
        batch=8,
        checkpoint_every=4,
        log_every=2,
    ),
    natural=NaturalConfig(
        steps=12,
        null_steps=6,
        pairs=3,
        pair_images=4,
        grid=3,
        channels=4,
        checkpoint_every=4,
        log_every=2,
    ),
    traversal=TraversalConfig(
        images=1, grid=3, measured_images=4, measured_points=2, evaluations=2, smoothing=0.5
    ),
    measure=MeasureConfig(
        draws=4,
        pooled=2,
        pooled_sizes=(1, 2),
        retrain_epochs=1,
        map_draws=3,
        map_filters=3,
        resamples=50,
    ),
)


def micro(**changes: Any) -> StudyConfig:
    """A study of one site of the bundled digits in a few seconds.

    Args:
        **changes: Fields in the place of the base's; of a part, a dictionary of some of its fields.
    """
    values = BASE.model_dump()
    for name, given in changes.items():
        values[name] = values[name] | given if isinstance(given, dict) else given
    return StudyConfig.model_validate(values)


def telling(**changes: Any) -> StudyConfig:
    """Two sites whose traversals are measured well enough to tell references apart."""
    base: dict[str, Any] = {
        "layer": ("conv2", "conv1"),
        "dataset": {"train_limit": 200, "test_limit": 120},
        "cnn": {"epochs": 3, "batch": 20},
        "judges": {"epochs": 2, "batch": 20},
        "traversal": {
            "measured_images": 32,
            "group": 8,
            "path_images": 4,
            "path_radii": (2.0, 4.0, 6.0),
            "axis_images": 8,
            "combinations": 1,
            "repeat_images": 4,
            "repeat_points": 2,
            "evaluations": 5,
        },
        "measure": {"pooled_sizes": (1,), "resamples": 100},
    }
    return micro(**base | changes)
