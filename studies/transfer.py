"""What carries over: a generator and a transformer learned on one thing, used for another.

From five of MNIST's digits to the others, from MNIST to scikit-learn's digits at their own size,
and from one training's network to another's. Beside each stands the null's transformer, carried
alike, and what was learned on the target itself. Seen is what T does to images of the target: how
much of the generator's changes it undoes there, whether the target's filters can undo it, whether
the target's network keeps its labels, and what fresh networks gain by it on few labelled images.

    python studies/transfer.py RUN SECOND THIRD --data MNIST --work FOLDER

The runs are those of `filtergan study mnist --recipe natural`, seeds 0, 1 and 2, in whose order
`results/likeness` names them. Parts are kept in FOLDER; the same command goes on.
"""

import argparse
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import few_labels
import torch
from few_labels import compared, fresh, trainings
from torch import Tensor, nn
from transfer_tables import RECORD, RESAMPLES, SEED, rows_of, use_of

import filtergan as fg
from filtergan.benchmark.affine_maps import hand
from filtergan.ceilings.question import Questions
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.fields import StudyConfig
from filtergan.images.splits import Dataset, Split
from filtergan.likeness import likeness_files
from filtergan.likeness.crossed import moved_by
from filtergan.likeness.likeness_record import plain_site
from filtergan.likeness.trained import Pixels
from filtergan.machine.files import json_safe, load_tensors, save_tensors, write_atomic
from filtergan.machine.provenance import git_state
from filtergan.machine.runtime import derive_seed
from filtergan.machine.storage import RowsLike
from filtergan.measures.registry import centre, summary
from filtergan.measures.traversals import image_change, labels_kept
from filtergan.natural.natural_gan import null_of
from filtergan.natural.terms import STEP
from filtergan.study.opened import OpenedRun
from filtergan.traversals.assessment import Points
from filtergan.traversals.traversal import numbers

LIKENESS = RECORD.parents[1] / "likeness" / "record.json"
LATE, EARLY = "conv4@bn5/natural", "conv2@activation/natural"
LOW, HIGH, DIGITS, MNIST = "MNIST's 0 to 4", "MNIST's 5 to 9", "scikit-learn's digits", "MNIST"
CLASSES = {LOW: range(5), HIGH: range(5, 10)}
STEPS = {"steps": 800, "null_steps": 300}  # of the joint trainings on some classes
IMAGES, POINTS = 256, 4  # test images, as many as in results/likeness, and points of each


@dataclass(frozen=True)
class Learned:
    """What may be carried.

    Attributes:
        on: The images and the network that it was learned on.
        gan: With its transformer and its null.
    """

    on: str
    gan: fg.NaturalGAN

    @property
    def key(self) -> str:
        """What names it among all that is used for one target."""
        return f"{self.on}, {plain_site(self.gan.name)}"


@dataclass(frozen=True)
class Target:
    """What it is used for.

    Attributes:
        name: Of network and images.
        site: Of the network.
        data: The images.
    """

    name: str
    site: fg.Site
    data: Dataset

    @property
    def network(self) -> nn.Module:
        """It takes pixels."""
        return self.site.classifier or self.site.network


class Kept:
    """Parts in a folder, each made once.

    Args:
        folder: Where they lie.
        learned: How, and of which networks: parts that were made otherwise are refused.
    """

    def __init__(self, folder: Path, learned: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        untold = any(folder.iterdir()) and not (folder / "learned.json").exists()
        if untold or self.values("learned", lambda: learned) != json_safe(learned):
            raise SystemExit(f"{folder} holds parts that were learned otherwise; name another.")

    def values(self, name: str, make: Callable[[], Any]) -> Any:
        """Plain values."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_atomic(path, json.dumps(json_safe(make()), indent=1).encode())
            print(f"measured: {name}", flush=True)
        return json.loads(path.read_bytes())

    def network(self, name: str, cnn: fg.CnnConfig, data: Dataset) -> nn.Module:
        """A network of the paper's make, trained on some images; frozen."""
        path = self.folder / f"{name}.safetensors"
        seed = derive_seed(SEED, "transfer", name)
        network = fresh(cnn, data, seed)
        if not path.exists():
            own = {"epochs": cnn.epochs, "batch": cnn.batch, "rate": cnn.rate, "seed": seed}
            given = network.parameters(), data.train.images, data.train.labels
            fg.fit(network, *given, weight_decay=cnn.weight_decay, **own)
            save_tensors(path, network.state_dict())
        network.load_state_dict(load_tensors(path))
        return network.eval().requires_grad_(False)

    def learned(self, on: str, site: fg.Site, images: RowsLike, config: StudyConfig) -> Learned:
        """A generator with its transformer and its null."""
        folder = self.folder / f"{on}, {site.name}"
        done = folder / "done"
        if not done.exists():
            seed = derive_seed(SEED, "transfer", on, str(site.name))
            fg.learn(site, images, config.natural, seed, game=config.gan).save(folder)
            done.touch()
            print(f"learned: {folder.name}", flush=True)
        return Learned(on, fg.NaturalGAN.load(folder, site.classifier or site.network))


def main() -> None:
    """Measure what is missing, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs=3, type=Path, metavar="RUN")
    parser.add_argument("--data", required=True, help="MNIST")
    parser.add_argument("--work", required=True, type=Path, help="folder of parts")
    given = parser.parse_args()
    first = fg.open_run(given.runs[0], data=given.data)
    runs = [first, *(fg.open_run(path, data=first.dataset) for path in given.runs[1:])]
    kept = Kept(given.work, {"steps": STEPS, "runs": [learned_of(run) for run in runs]})
    parts = [across_classes(first, kept), to_digits(first, kept), across_seeds(runs, kept)]
    record(RECORD, STEPS, joined(parts))


def learned_of(run: OpenedRun, config: StudyConfig | None = None) -> dict[str, Any]:
    """Of which network a generator is learned, and how: as the run's own, or by another config."""
    assert run.record.cnn is not None  # it was read
    natural = (config or run.config).natural.model_dump(mode="json")
    return {"natural": natural, "network": run.record.cnn.sha256}


def record(path: Path, learned: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Write what was found, and how it was learned, to a record, and print its tables."""
    whole = {"git": git_state(), "settings": {**learned, **settings()}, **found}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(whole, indent=1).encode() + b"\n")
    for line in (*rows_of(found)[1], *use_of(found)[1]):
        print(" | ".join(line))


def settings() -> dict[str, Any]:
    """What all parts have in common."""
    return {
        "images": IMAGES,
        "points": POINTS,
        "step": STEP,
        "labelled": few_labels.LABELLED,
        "trained": few_labels.STEPS,
        "seeds": list(few_labels.SEEDS),
    }


def across_classes(run: OpenedRun, kept: Kept) -> dict[str, Any]:
    """From five of MNIST's digits to the other five, at a network that knows all ten."""
    return from_to(kept, run.dataset, CLASSES, run.gan(LATE).site, shortened(run.config, STEPS))


def shortened(config: StudyConfig, natural: Mapping[str, Any]) -> StudyConfig:
    """With another joint training, such as one of fewer steps."""
    return config.model_copy(update={"natural": config.natural.model_copy(update=natural)})


def from_to(
    kept: Kept,
    images: Dataset,
    classes: Mapping[str, range],
    site: fg.Site,
    config: StudyConfig,
) -> dict[str, Any]:
    """From some classes of a data set to others, at a network that knows all.

    Args:
        kept: Where parts are.
        images: Of all classes.
        classes: Those that it is learned on, and those that it is used for, by their names.
        site: Of the network.
        config: Of what is learned.
    """
    data = {name: of_classes(images, name, some) for name, some in classes.items()}
    carried, own = (
        kept.learned(name, site, part.train.images, config) for name, part in data.items()
    )
    return measured(kept, Target(own.on, site, data[own.on]), carried, own)


def to_digits(run: OpenedRun, kept: Kept) -> dict[str, Any]:
    """From MNIST's images of 28x28 to others of 8x8, at an early and a late site."""
    config, data = fg.digits(), fg.load_dataset("digits")
    network = kept.network("network, digits", config.cnn, data)
    parts = []
    for name in (LATE, EARLY):
        gan = natural_gan(run, name)
        site = fg.Site(network, gan.name.layer, data.test.images, gan.name.point)
        own = kept.learned(DIGITS, site, data.train.images, config)
        parts.append(measured(kept, Target(DIGITS, site, data), Learned(MNIST, gan), own))
    return joined(parts)


def across_seeds(runs: Sequence[OpenedRun], kept: Kept) -> dict[str, Any]:
    """From the first run's network to the others'; what `results/likeness` has is taken from it.

    Fresh networks are not trained: they are no training's.
    """
    likeness = likeness_files.read(LIKENESS)
    letters = {one.seed: one.name for one in likeness.networks}
    first, rows = runs[0], []
    for run in runs[1:]:
        for site in (LATE, EARLY):
            target = Target(f"MNIST, seed {run.config.seed}", run.gan(site).site, run.dataset)
            for source in (first, run):
                places = {
                    "network": letters[source.config.seed],
                    "site": site,
                    "other_network": letters[run.config.seed],
                    "other_site": site,
                }
                known = [
                    {"compensation": one.compensation.value, "ignored": one.ignored}
                    for one in likeness.crossings
                    if all(getattr(one, key) == value for key, value in places.items())
                ]
                learned = Learned(f"MNIST, seed {source.config.seed}", natural_gan(source, site))
                rows.append(row(kept, target, learned, source is run, known))
    return {"rows": rows, "use": {}}


def natural_gan(run: OpenedRun, site: str) -> fg.NaturalGAN:
    """The generator of a site of the natural recipe."""
    found = run.gan(site)
    assert isinstance(found, fg.NaturalGAN)
    return found


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of some parts, and their uses; those of one target are one."""
    use: dict[str, Any] = {}
    for part in parts:
        for name, one in part["use"].items():
            use[name] = use.get(name, {}) | one
    return {"rows": [row for part in parts for row in part["rows"]], "use": use}


def measured(kept: Kept, target: Target, carried: Learned, own: Learned) -> dict[str, Any]:
    """All that is used for one target: its rows, and what fresh networks make of it."""
    both = (carried, own)
    moved: dict[str, nn.Module] = {"none": nn.Identity(), "affine": hand(1.0)}
    for one in both:
        for name, gan in ((one.key, one.gan), (f"null of {one.key}", null_of(one.gan))):
            moved[name] = fg.InvarianceAugment(gan, size=target.data.shape[1:])
    rows = [row(kept, target, one, one is own) for one in both]
    right = {}
    for name, by in moved.items():
        make = partial(trainings, target.data, own.gan, by)
        right[name] = kept.values(f"use, {target.name}, {name}", make)
    return {"rows": rows, "use": {target.name: compared(right)}}


def row(
    kept: Kept,
    target: Target,
    learned: Learned,
    own: bool,
    known: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What T does on the target, and what the target's filters can undo of that.

    Args:
        kept: Where it is kept.
        target: What it is used for.
        learned: What is used.
        own: Whether it was learned there.
        known: The answers, where they are known; one for each latent.
    """

    def make() -> dict[str, Any]:
        gan = for_size(learned.gan, target.data.shape[1:])
        ours, theirs = seen(gan, target), seen(null_of(gan), target)
        return {
            name: summary(
                name, values, centre(name, theirs[name]), resamples=RESAMPLES, seed=SEED
            ).model_dump(mode="json")
            for name, values in ours.items()
        } | {"asked": known or asked(gan, target), "asked_null": asked(null_of(gan), target)}

    site = plain_site(target.site.name)
    places = {"learned_on": learned.on, "used_for": target.name, "site": site, "own": own}
    name = f"row, {learned.on}, {target.name}, {site}"
    return places | {"key": learned.key} | kept.values(name, make)


def for_size(gan: fg.NaturalGAN, size: tuple[int, int]) -> fg.NaturalGAN:
    """The same with transformers for images of another size, of which only those are used."""
    found = copy.copy(gan)
    found.transformer = gan.transformer.resized(*size)
    if gan.null is not None:
        found.null = for_size(gan.null, size)
    return found


def seen(gan: fg.NaturalGAN, target: Target) -> dict[str, Tensor]:
    """How T changes images, and whether labels stay; at the generator's own network what it undoes.

    Returns:
        By measure, of each image at each point.
    """
    x = Pixels.chosen(target.data, 0, IMAGES, SEED).test
    config = fg.TraversalConfig(measured_images=len(x), measured_points=POINTS, group=1)
    points = Points.drawn(gan, len(x), config, SEED)
    if gan.site.network is target.site.network:
        walked = fg.walk(gan, fg.Transformation(), x, points.z, points.targets)
        found = numbers(target.network, x, walked)
        return {
            name: found[name].float() for name in ("compensation", "image_change", "labels_kept")
        }
    ways = [gan.transform(x, points.z, z_k) for z_k in points.targets.unbind(1)]
    x_k = torch.stack(ways, dim=1)
    logits, logits_k = (fg.predict(target.network, part) for part in (x, x_k.flatten(0, 1)))
    return {
        "image_change": image_change(x[:, None], x_k),
        "labels_kept": labels_kept(logits[:, None], logits_k.unflatten(0, x_k.shape[:2])).float(),
    }


def asked(gan: fg.NaturalGAN, target: Target) -> list[dict[str, Any]]:
    """Whether the target's filters can undo what T does along each latent, and it ignores that.

    With images and seeds as `filtergan compare --directions` has them.
    """
    config = CeilingConfig(test_images=IMAGES)
    pixels = Pixels.chosen(target.data, config.train_images, IMAGES, SEED)
    seed = derive_seed(SEED, "likeness", target.site.name.under("natural"))
    questions = Questions.of(target.site, pixels.train, pixels.test, config, seed)
    answers = [questions.answer("carried", one) for one in moved_by(gan, STEP).fixed]
    return [
        {"compensation": one.ceiling.compensation.value, "ignored": one.verdict} for one in answers
    ]


def of_classes(data: Dataset, name: str, classes: range) -> Dataset:
    """The images of some classes, which keep their labels."""

    def some(split: Split) -> Split:
        chosen = torch.isin(split.labels, torch.tensor(classes))
        return Split(split.images[chosen], split.labels[chosen])

    return replace(data, name=name, train=some(data.train), test=some(data.test))


if __name__ == "__main__":
    main()
