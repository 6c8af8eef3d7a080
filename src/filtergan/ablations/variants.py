"""What each ablation changes, in words and in the config; imports nothing that takes seconds."""

from dataclasses import dataclass
from typing import Any

from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import parse
from filtergan.config.site_names import split


@dataclass(frozen=True)
class Variant:
    """One choice of a base config changed.

    Attributes:
        meaning: The change, in words.
        change: The change, as values of fields.
    """

    meaning: str
    change: dict[str, Any]


VARIANTS = {
    "base": Variant("the config as it is", {}),
    "filters_judged": Variant(
        "the discriminator sees whole sets of filters instead of responses",
        {"ablation": {"shown": "filters"}},
    ),
    "no_information": Variant("no information term (lambda = 0)", {"gan": {"information": 0.0}}),
    "dense_head": Variant(
        "one dense layer to all weights, as in the paper", {"gan": {"head": "dense"}}
    ),
    "conv_response": Variant(
        "responses read before normalisation and activation function", {"response": ["conv"]}
    ),
    "start_real": Variant("the generator starts at the real filters", {"gan": {"start": "real"}}),
    "algorithm1": Variant("Algorithm 1's three updates a step", {"gan": {"updates": "algorithm1"}}),
}
"""The paper's design claims, each as a study with one choice of the base changed."""


def varied(base: StudyConfig, name: str, seed: int) -> StudyConfig:
    """The config of one variant.

    Args:
        base: What the variant changes; its own seed is not used.
        name: One of `VARIANTS`.
        seed: The study's.

    Raises:
        UserError: The seed, or the change on this base, makes no sense.
    """
    values = base.model_dump()
    values["seed"] = seed
    for key, change in VARIANTS[name].change.items():
        values[key] = values[key] | change if isinstance(change, dict) else change
    if "response" in VARIANTS[name].change:  # of all layers, also those with a reading of their own
        parts = map(split, base.layer)
        layers = (p.layer if p.recipe is None else f"{p.layer}/{p.recipe}" for p in parts)
        values["layer"] = list(dict.fromkeys(layers))
        values["natural"]["latent"] = _latents(base)
    found = parse(values, f"the ablation {name} with seed {seed}")
    return found.at(found.sites)  # as a study names them, by which it knows its own config again


def _latents(base: StudyConfig) -> list[int]:
    """The number of latents for each layer of the natural recipe, that of its first reading."""
    first = dict[str, int]()
    for site, number in base.latents.items():
        first.setdefault(site.layer, number)
    return list(first.values()) or list(base.natural.latent)
