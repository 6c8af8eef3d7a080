"""Planted truth on MNIST, asked directly: does a network ignore what it was trained to ignore?

For every seed a plain network and one for each family that can be planted are trained (preset
`planted`, a quarter of a minute each), and asked of all these families at conv4. What is answered
already is not asked again. The answers stand in results/planted/questions.json.

    python studies/questions.py --data path/to/mnist --seeds 0 1 2
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import filtergan as fg
from filtergan import study
from filtergan.ceilings.question import Answer, Verdict, judged
from filtergan.config.presets import preset
from filtergan.config.site_names import SiteName
from filtergan.families.catalogue import plantable
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.study.measuring.of_families import answers_at
from filtergan.study.opened import OpenedRun

RESULTS = Path(__file__).parents[1] / "results" / "planted" / "questions.json"
KINDS = ("none", *plantable())
LAYER = "conv4"


def main() -> None:
    """Train and ask what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="ylecun/mnist", help="MNIST: a folder, or a Hub name")
    parser.add_argument("--runs", type=Path, default=Path("runs/questions"), help="run directories")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--readings", nargs="+", default=("activation",))
    arguments = parser.parse_args()
    found = recorded()
    queue = product(arguments.seeds, arguments.kinds, arguments.readings)
    for seed, kind, reading in queue:
        key = f"{kind}/seed{seed}/{reading}"
        if key not in found:
            run = _trained(kind, seed, arguments.data, arguments.runs / kind / f"seed{seed}")
            answers = answers_at(run, SiteName(LAYER, reading), list(plantable()))
            found[key] = {"git": git_state(), "answers": {n: told(a) for n, a in answers.items()}}
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(RESULTS, json.dumps(found, indent=1).encode() + b"\n")
    for line in table(found):
        print(" | ".join(line))


def recorded() -> dict[str, Any]:
    """Content of questions.json."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _trained(kind: str, seed: int, data: str, path: Path) -> OpenedRun:
    base = preset("planted")
    dataset = base.dataset.model_copy(update={"planted": None if kind == "none" else kind})
    config = base.model_copy(update={"data": data, "seed": seed, "dataset": dataset})
    study.run(config, path, until="train-cnn", resume=True)
    return fg.open_run(path)


def told(answer: Answer) -> dict[str, Any]:
    """An answer as plain values; the verdict is made of them anew."""
    parts = {
        "ceiling": answer.ceiling.compensation,
        "passed": answer.passed,
        "labels_kept": answer.labels_kept,
    }
    values = {name: part.model_dump(mode="json") for name, part in parts.items()}
    return {"family": answer.ceiling.family, "arrived": answer.arrived} | values


def table(found: Mapping[str, Mapping[str, Any]], reading: str = "activation") -> list[list[str]]:
    """Head and rows: each transformation asked of each kind of network, an answer for each seed.

    Args:
        found: Content of questions.json.
        reading: Of the layer.
    """
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    kinds: dict[str, None] = {}
    for key, entry in sorted(found.items(), key=lambda item: item[0].split("/")[1]):  # by seed
        kind, _, where = key.split("/")
        if where == reading:
            kinds[kind] = None
            for name, one in entry["answers"].items():
                cells.setdefault((name, kind), []).append(one)
    head = ["asked"]
    for kind in kinds:
        network = "of a plain network" if kind == "none" else f"of one with {kind}"
        head += [network, "labels kept"]
    names = dict.fromkeys(name for name, _ in cells)
    return [head, *([n, *(c for k in kinds for c in _cells(cells.get((n, k), [])))] for n in names)]


def _cells(answers: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Verdicts of all seeds, counted where they differ; what is passed on, and the ceilings.

    Then the share of labels kept, with its interval and that under exchanged filters.
    """
    if not answers:
        return "-", "-"
    said = Counter(verdict_of(one) for one in answers)
    words = ", ".join(f"{n} {word}" if len(said) > 1 else word for word, n in said.items())
    passed, ceilings = (_values(answers, part) for part in ("passed", "ceiling"))
    kept = ", ".join(_kept(one["labels_kept"]) for one in answers)
    return f"**{words}** {passed} ({ceilings})", kept


def verdict_of(one: Mapping[str, Any]) -> Verdict:
    """What `Answer.verdict` says, of what `told` kept of it."""
    return judged(_ends(one["ceiling"]), _ends(one["passed"]), one.get("arrived"))


def _kept(one: Mapping[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['value']:.3f} ({low:.3f} to {high:.3f}); null {one['null']:.3f}"


def _values(answers: Sequence[Mapping[str, Any]], part: str) -> str:
    return ", ".join(f"{one[part]['value']:.2f}" for one in answers)


def _ends(measure: Mapping[str, Any]) -> Sequence[float | None]:
    return measure["ci95"]


if __name__ == "__main__":
    main()
