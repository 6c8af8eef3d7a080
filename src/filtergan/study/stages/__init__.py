"""The stages of a study, one file each: gather arrays, call what is below, write to the record.

The list names every stage once: what it needs, and what it makes. A new stage is a file here with
a function `run(run, materials)`, and one entry. Nothing heavy is imported before a stage is run.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filtergan.runs.owned import Owned

if TYPE_CHECKING:
    from filtergan.config.fields import StudyConfig
    from filtergan.runs.directory import RunDirectory
    from filtergan.study.materials import Materials


@dataclass(frozen=True)
class Stage:
    """One stage of a study.

    Attributes:
        name: As the command has it; the file here has the same, with underscores.
        meaning: One line for the command's help.
        needs: Stages on whose results it builds: these must be done, and where one is run once
            more, what this stage made is taken back.
        owns: What it makes, in the record and as files.
        reads_only: It tells what there is, however little, and adds nothing to the record.
    """

    name: str
    meaning: str
    needs: tuple[str, ...] = ()
    owns: Owned = field(default_factory=Owned)
    reads_only: bool = False

    @property
    def run(self) -> "Callable[[RunDirectory, Materials], None]":
        """The stage's work."""
        return importlib.import_module(f"{__name__}.{self.name.replace('-', '_')}").run


_LIST = (
    Stage(
        "train-cnn",
        "Train the studied network, or load one's own, and measure its accuracy.",
        owns=Owned(
            keys=("dataset", "cnn"),
            files=("cnn.safetensors", "figures/cnn_curves.png"),
        ),
    ),
    Stage(
        "ceilings",
        "What filters can undo of known changes of images, whatever the generator.",
        needs=("train-cnn",),
        owns=Owned(files=("figures/ceilings.png",), site_keys=("ceilings",)),
    ),
    Stage(
        "train-gan",
        "Train generator and discriminator of every site by the paper's game (eqs. 1-4).",
        needs=("train-cnn",),
        owns=Owned(
            recipe="paper",
            site_keys=("filters", "response", "convolution", "inputs"),
            site_files=(
                *("filtergan.json", "generator.safetensors", "discriminator.safetensors"),
                *("checkpoint/*", "figures/curves.png"),
            ),
        ),
    ),
    Stage(
        "natural",
        "Train generator and image transformer of every site by the natural recipe.",
        needs=("train-cnn",),
        owns=Owned(
            recipe="natural",
            site_keys=("filters", "response", "convolution"),
            site_files=(
                *("filtergan.json", "generator.safetensors", "discriminator.safetensors"),
                *("transformer.safetensors", "reader.safetensors", "null/*"),
                *("checkpoint/*", "figures/curves.png"),
            ),
        ),
    ),
    Stage(
        "train-judges",
        "Train independent classifiers, or take them from the cache.",
        owns=Owned(keys=("judges",)),
    ),
    Stage(
        "traverse",
        "Walk through the latent space and invert the walks (eqs. 5-8).",
        needs=("train-gan", "natural"),
        owns=Owned(site_files=("traversal.safetensors", "figures/traversal.png")),
    ),
    Stage(
        "measure",
        "Draw, pool, re-train, and compare with the controls (eq. 9).",
        needs=("train-judges", "traverse"),
        owns=Owned(
            keys=("claims",),
            files=("figures/depth.png",),
            site_keys=(
                *("verdict", "reason", "measures", "references", "gates", "latents"),
                "not_measured",
            ),
            # It plots the traversals once more, with the gates that they fail.
            site_files=(
                *("evidence.safetensors", "figures/filters.png", "figures/map.png"),
                *("figures/traversal.png", "figures/grid_*.png"),
            ),
        ),
    ),
    Stage(
        "report",
        "Write report.html from the record.",
        needs=("ceilings", "measure"),
        owns=Owned(files=("report.html", "scrubber.json")),
        reads_only=True,
    ),
)
STAGES = {stage.name: stage for stage in _LIST}
"""All stages by name, in the order in which a study runs them."""


def stages_of(config: "StudyConfig") -> list[str]:
    """The stages that a study has: those for one recipe only where a site is made by it."""
    recipes = {site.recipe for site in config.sites}
    return [name for name, stage in STAGES.items() if stage.owns.recipe in (None, *recipes)]


def needed(name: str, config: "StudyConfig") -> list[str]:
    """The stages that must be done before one in a study, in their order."""
    found = {name}
    for stage in reversed(STAGES.values()):
        if stage.name in found:
            found |= _needs(stage, config)
    return [other for other in STAGES if other in found and other != name]


def built_on(name: str, config: "StudyConfig") -> list[str]:
    """A stage and all that build on its results in a study, in their order."""
    found = {name}
    for stage in STAGES.values():
        if found & _needs(stage, config):
            found.add(stage.name)
    return [other for other in STAGES if other in found]


def _needs(stage: Stage, config: "StudyConfig") -> set[str]:
    """On whose results a stage builds; natural generators may begin with those of the paper."""
    begins = stage.name == "natural" and config.natural.start == "paper"
    return {*stage.needs, *(["train-gan"] if begins else [])}
