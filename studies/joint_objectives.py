"""Other objectives of the joint training: size as a constraint, and a term for naturalness.

The recipe aims at a size of change, as a weighted term, and shows images to no critic. Here one
site is studied as the recipe does it, and twice more from the same network and weights:

- constraint: what is aimed at moves, so that the log compensation is held at a threshold; the
  change of images then is as large as that allows, from half to twice the recipe's.
- naturalness: a critic learns to tell transformed images from real ones, and the transformer fools
  it as well (eq. 1, of images).

The answers stand in results/joint_objectives/record.json. What is there is not done again; an
objective that was interrupted begins anew.

    python studies/joint_objectives.py --data path/to/mnist
"""

import argparse
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from torch import Tensor
from undone import MEDIAN, ROWS

import filtergan as fg
from filtergan.config.fields import StudyConfig
from filtergan.config.presets import preset
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.game.discriminator import Discriminator
from filtergan.game.objectives import discriminator_loss, generator_loss
from filtergan.game.players import Player, Players, adam
from filtergan.machine import runtime
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.natural.joint import JointGame, Seen
from filtergan.natural.pairs import Pairs
from filtergan.runs.record import SiteRecord

RECORD = Path(__file__).parents[1] / "results" / "joint_objectives" / "record.json"
BEFORE = "ceilings"  # the last stage that all have in common
UNDONE = 0.8  # of what filters change, at the geometric mean: the threshold
PACE = 0.005  # by which the logarithm of the size follows what compensation lacks, a step
BOUNDS = 0.5, 2.0  # of the size that is aimed at, over the preset's: early on nothing is undone
CRITIC, CRITIC_RATE = 1.0, 1e-3  # weight of fooling it, and its rate
MEASURES = (
    *("compensation", MEDIAN, "image_change", "search_compensation", "repeatability"),
    *("independent_directions", "step_r2_min", "labels_kept_judges", "on_manifold_share"),
    *("image_two_sample_accuracy", "return_error"),
    *("single_draw_accuracy", "single_draw_accuracy_min"),
)
WORDS = {measure: words for measure, words, _ in ROWS}


class Constrained(JointGame):
    """The size that is aimed at follows the compensation that is reached."""

    def play(self, inputs: Any) -> dict[str, Tensor]:
        """One step; then more is aimed at where more than the threshold is undone, or less."""
        losses = super().play(inputs)
        if not self.fixed:
            lacks = float(losses["compensation"]) - math.log(1 - UNDONE)
            low, high = (bound * self.gan.config.natural.size for bound in BOUNDS)
            size = min(max(self.natural.size * math.exp(-PACE * lacks), low), high)
            self.natural = self.natural.model_copy(update={"size": size})
        return losses


class Natural(JointGame):
    """Transformed images are shown to a critic, which the transformer fools."""

    def _seated(self) -> Players:
        players = super()._seated()
        if self.fixed:
            return players
        with runtime.own_randomness(self.seed):
            shape = self.gan.transformer.space.shape
            critic = Discriminator(shape, latent=1, spectral=True)
        self.critic = critic.to(self.gan.site.filters.device)
        self.critic.latent.requires_grad_(False)  # nothing is read here
        weights = [w for w in self.critic.parameters() if w.requires_grad]
        return Players([*players, Player("critic", self.critic, weights, CRITIC_RATE, make=adam)])

    def _asked(self, pairs: Pairs, seen: Seen) -> dict[str, Tensor]:
        losses = super()._asked(pairs, seen)
        if self.fixed:
            return losses
        on_real, on_moved = self.critic(pairs.x)[0], self.critic(seen.x_k.detach())[0]
        critic = discriminator_loss(on_real, on_moved)
        self._descend(critic, pairs.weight, "critic")
        fooled = generator_loss(self.critic(seen.x_k)[0], "non_saturating")
        return losses | {"critic": critic, "naturalness": fooled}

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        total = super()._total(losses)
        return total + CRITIC * losses["naturalness"] if "naturalness" in losses else total


OBJECTIVES: dict[str, type[JointGame]] = {
    "as it is": JointGame,
    "constraint": Constrained,
    "naturalness": Natural,
}


def main() -> None:
    """Study what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="ylecun/mnist", help="a folder, or a Hub name")
    parser.add_argument("--site", type=SiteName.parse, default=SiteName("conv4", "bn5"))
    parser.add_argument("--latent", type=int, default=8)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--work", type=Path, default=Path("runs/joint_objectives"))
    arguments = parser.parse_args()
    config = config_of(arguments.data, arguments.site, arguments.latent)
    begun = arguments.work / "begun"
    fg.run_study(config, begun, until=BEFORE, resume=begun.exists())
    for name in arguments.objectives:
        if name in recorded().get(str(arguments.site), {}):
            continue
        place = arguments.work / name.replace(" ", "_")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(begun, place)
        with mock.patch("filtergan.natural.joint.JointGame", OBJECTIVES[name]):
            record = fg.run_study(config, place, resume=True).record
        site = record.sites[str(arguments.site.under(NATURAL))]
        measures = told(site)
        _keep(str(arguments.site), name, measures)
        print(name, measures, flush=True)


def recorded() -> dict[str, Any]:
    """What is measured already, by site and objective."""
    return json.loads(RECORD.read_bytes()) if RECORD.exists() else {}


def config_of(data: str, site: SiteName, latent: int) -> StudyConfig:
    """That of the natural study, at one site."""
    base = preset("mnist")
    natural = base.natural.model_copy(update={"latent": (latent,)})
    return base.model_copy(
        update={
            "data": data,
            "layer": (site.layer,),
            "response": (site.point,),
            "recipe": (NATURAL,),
            "natural": natural,
            "threads": 1,
        }
    )


def told(site: SiteRecord) -> dict[str, Any]:
    """What is kept of a site's measures."""
    kept = {
        name: {"value": one.value, "ci95": list(one.ci95), "null": one.null}
        for name in MEASURES
        if (one := site.measures.get(name)) is not None
    }
    mean = site.measures["compensation"]
    return kept | {MEDIAN: {"value": mean.quantiles["0.5"], "ci95": [None, None], "null": None}}


def _keep(site: str, name: str, measures: Mapping[str, Any]) -> None:
    found = recorded()
    entry = {"git": git_state(), "machine": machine("cpu"), "measures": measures}
    found.setdefault(site, {})[name] = entry
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")


def rows_of(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: a line for each measure, a column for each site's objectives."""
    columns = {f"{site}: {name}": one for site, of in found.items() for name, one in of.items()}
    return ["", *columns], [
        [WORDS[name], *(_cell(one["measures"].get(name)) for one in columns.values())]
        for name in MEASURES
    ]


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None or one["value"] is None:
        return "-"
    low, high = one["ci95"]
    null = "" if one["null"] is None else f"; null {one['null']:.2f}"
    return f"{one['value']:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})") + null


if __name__ == "__main__":
    main()
