"""Planted truth, asked directly: does a network ignore what it was trained to ignore?

For every seed a plain network and one for each family that can be planted are trained (on MNIST
by the preset `planted`, a quarter of a minute each; on CIFAR-10 a small residual network, three
minutes), and asked of all these families at several sites. What is answered already is not asked
again, unless it is taken out of the file. The answers stand in results/planted/questions.json.

    python studies/questions.py --data path/to/mnist
    python studies/questions.py --images cifar10 --data path/to/cifar10
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import filtergan as fg
from filtergan import study
from filtergan.ceilings.question import Answer, Verdict, judged
from filtergan.config.fields import StudyConfig
from filtergan.config.presets import preset
from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import plantable, to_plant
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.study.measuring.of_families import answers_at
from filtergan.study.opened import OpenedRun

RESULTS = Path(__file__).parents[1] / "results" / "planted" / "questions.json"
PLAIN = "none"


@dataclass(frozen=True)
class Images:
    """A data set: how a network is trained on it, and where it is asked of which families."""

    config: StudyConfig
    sites: tuple[str, ...]
    families: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of networks: a plain one, and one for each family."""
        return (PLAIN, *self.families)


def _small_colour() -> StudyConfig:
    """The network of `cifar10_small`, trained and asked as shortly as that of `planted`."""
    short, base = preset("planted"), preset("cifar10_small")
    limits = {"train_limit": short.dataset.train_limit, "test_limit": short.dataset.test_limit}
    return base.model_copy(
        update={
            "dataset": base.dataset.model_copy(update=limits),
            "cnn": base.cnn.model_copy(update={"epochs": short.cnn.epochs}),
            "ceilings": short.ceilings,
        }
    )


IMAGES = {
    "mnist": Images(
        preset("planted"),
        ("conv4@activation", "conv4@bn5", "conv2@activation"),
        tuple(plantable(channels=1)),
    ),
    "cifar10": Images(
        _small_colour(),
        (
            "stage1.0.conv1@activation",
            "stage1.0.conv1@stage1.0.conv2",
            "stage2.0.conv1@activation",
        ),
        ("blur", "brightness", "colour"),
    ),
}


def main() -> None:
    """Train and ask what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", choices=IMAGES, default="mnist")
    parser.add_argument("--data", default="ylecun/mnist", help="these: a folder, or a Hub name")
    parser.add_argument("--runs", type=Path, default=Path("runs/questions"), help="run directories")
    parser.add_argument("--kinds", nargs="+", help="of networks; by default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--sites", nargs="+", help="by default those of these images")
    arguments = parser.parse_args()
    images, found = IMAGES[arguments.images], recorded()
    git = git_state()  # before the record itself is changed
    kinds, sites = arguments.kinds or images.kinds, arguments.sites or images.sites
    for seed, kind, site in product(arguments.seeds, kinds, sites):
        key = f"{kind}/seed{seed}/{site}"
        if key not in found:
            path = arguments.runs / arguments.images / kind / f"seed{seed}"
            run = _trained(images.config, kind, seed, arguments.data, path)
            answers = answers_at(run, SiteName.parse(site), list(images.families))
            found[key] = {"git": git, "answers": {n: told(a) for n, a in answers.items()}}
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(RESULTS, json.dumps(found, indent=1).encode() + b"\n")
    for site in sites:
        for line in table(found, site):
            print(" | ".join(line))


def recorded() -> dict[str, Any]:
    """Content of questions.json."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _trained(base: StudyConfig, kind: str, seed: int, data: str, path: Path) -> OpenedRun:
    dataset = base.dataset.model_copy(update={"planted": None if kind == PLAIN else kind})
    config = base.model_copy(update={"data": data, "seed": seed, "dataset": dataset})
    study.run(config, path, until="train-cnn", resume=True)
    return fg.open_run(path)


def told(answer: Answer) -> dict[str, Any]:
    """An answer as plain values; the verdict is made of them anew."""
    values = {name: one.model_dump(mode="json") for name, one in answer.measures.items()}
    return {"family": answer.ceiling.family, "arrived": answer.arrived} | values


def table(found: Mapping[str, Mapping[str, Any]], site: str) -> list[list[str]]:
    """Head and rows: each transformation asked of each kind of network, an answer for each seed.

    Args:
        found: Content of questions.json.
        site: Layer and reading.
    """
    cells = _cells_at(found, site)
    kinds = dict.fromkeys(kind for _, kind in cells)
    names = dict.fromkeys(name for name, _ in cells)
    head = ["asked", *(_network(kind) for kind in kinds)]
    return [head, *([n, *(_cell(cells.get((n, kind), [])) for kind in kinds)] for n in names)]


def summary(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Head and rows: what each site says of a family, in networks trained with it and plain ones.

    Args:
        found: Content of questions.json.
    """
    sites = dict.fromkeys(key.split("/")[2] for key in found)
    rows = []
    for site, (family, known) in product(sites, plantable().items()):
        cells = _cells_at(found, site)
        for one in known.fixed:
            planted, plain = cells.get((one.name, family)), cells.get((one.name, PLAIN))
            if planted and plain:
                others = [
                    answer
                    for (name, kind), answers in cells.items()
                    if name == one.name and kind not in (family, PLAIN)
                    for answer in answers
                ]
                own = (f"{_said(group)} {_values(group, 'passed')}" for group in (planted, plain))
                rows.append([site, one.name, *own, _said(others) if others else "-"])
    heads = ("of networks trained with it", "of plain networks", "of those trained with others")
    return [["site", "asked", *heads], *rows]


def _cells_at(
    found: Mapping[str, Mapping[str, Any]], site: str
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Answers by transformation and kind of network, in the order of seeds."""
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for key, entry in sorted(found.items(), key=lambda item: item[0].split("/")[1]):  # by seed
        kind, _, where = key.split("/")
        if where == site:
            for name, one in entry["answers"].items():
                cells.setdefault((name, kind), []).append(one)
    return cells


def _network(kind: str) -> str:
    return "of a plain network" if kind == PLAIN else f"of one with {to_plant(kind).words}"


def _cell(answers: Sequence[Mapping[str, Any]]) -> str:
    """Verdicts; what is passed on, the ceilings, and the labels kept, with their null."""
    if not answers:
        return "-"
    passed, ceilings = (_values(answers, part) for part in ("passed", "ceiling"))
    kept = _values(answers, "labels_kept")
    null = ", ".join(f"{one['labels_kept']['null']:.2f}" for one in answers)
    return f"{_said(answers)} {passed} ({ceilings}); labels {kept}, null {null}"


def _said(answers: Sequence[Mapping[str, Any]]) -> str:
    """The verdicts of all seeds, counted where they differ."""
    counted = Counter(verdict_of(one) for one in answers).items()
    said = dict(sorted(counted, key=lambda item: (-item[1], item[0])))
    words = ", ".join(f"{n} {word}" if len(said) > 1 else word for word, n in said.items())
    return f"**{words}**"


def verdict_of(one: Mapping[str, Any]) -> Verdict:
    """What `Answer.verdict` says, of what `told` kept of it."""
    kept = one["labels_kept"]["value"]
    return judged(_ends(one["ceiling"]), _ends(one["passed"]), kept, one.get("arrived"))


def _values(answers: Sequence[Mapping[str, Any]], part: str) -> str:
    return ", ".join(f"{one[part]['value']:.2f}" for one in answers)


def _ends(measure: Mapping[str, Any]) -> Sequence[float | None]:
    return measure["ci95"]


if __name__ == "__main__":
    main()
