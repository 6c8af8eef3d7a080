"""Fibers: other images with the same code, and what a network that drops colour lets change.

The newest peer's planted case (InvarianceAuditing, arXiv 2603.21782): digits whose colours are
drawn from a known mixture, a subject that drops colour and then computes a code of 48 numbers. A
perfect sampler answers with images of the same code, in colours of the mixture. Ours, searches
image by image and the nearest real images stand side by side on the same images. And a pair of
networks with different right answers: one leans on colour, one cannot; which of our tools tells
them apart? What is in the record already is not measured again.

    python studies/fibers.py --data path/to/mnist
"""

import argparse
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import torch
from color_mnist import ColourCNN, Digits, accuracy, digits_of, trained
from colour_pair import KINDS, LATE, asked, judged, learned, of_transformer
from fiber_measures import errors_of, measured
from fiber_samples import METHODS, Task, codes_of
from torch import Tensor

import filtergan as fg
from filtergan.ceilings import question
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.figures import Figure, save
from filtergan.figures.style import styled, width
from filtergan.figures.tiles import plot_images
from filtergan.machine import runtime
from filtergan.machine.files import load_tensors, save_tensors, write_atomic
from filtergan.machine.provenance import git_state

FOLDER = Path(__file__).parents[1] / "results" / "fibers"
RECORD = FOLDER / "record.json"
TEST = 5000  # test images, of which accuracies are taken
SUBJECT = "the subject, which drops it"
SHOWN = (2, 5)  # images and samples of the figure
Rows = tuple[list[str], list[list[str]]]

# measure, the head of its column, and digits
COLUMNS = (
    ("fiber", "fiber error, RMSE; of random", 2),
    ("divergence", "colour KL, nats", 3),
    ("distance", "colour W1", 3),
    ("copied", "copied from x", 2),
    ("apart", "diversity", 2),
    ("told", "told from real", 2),
    ("kept", "label kept by a judge", 2),
)


def main() -> None:
    """Measure what is missing, and draw the figure."""
    options = parsed()
    torch.set_num_threads(options.threads)
    limits = DatasetConfig(train_limit=2 * options.train, test_limit=TEST)
    data = fg.load_dataset(options.data, limits)
    train, test = digits_of(data.train), digits_of(data.test)
    path: Path = options.out / "record.json"
    record: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    record |= {"settings": settings(options)}
    fibers(train, test, record, options)
    for seed in range(options.seeds):
        for kind, own in KINDS.items():
            key = f"{kind}/seed{seed}"
            if key not in record.setdefault("pair", {}):
                found = judged(own, train[: options.train], test, seed, options, options.runs)
                record["pair"][key] = found | {"git": git_state()}
                keep(path, record)
    save(figure(shown(options.runs)), options.out / "fibers.png")
    for rows in (rows_of(record), pair_rows(record), asked_rows(record)):
        for line in rows[1]:
            print(" | ".join(line))


def parsed() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="ylecun/mnist", help="MNIST: a folder, or a Hub name")
    parser.add_argument("--runs", type=Path, default=Path("runs/fibers"), help="what is trained")
    parser.add_argument("--out", type=Path, default=FOLDER, help="record and figure")
    numbers = {
        "train": (20_000, "training images of a network; as many others train the judge"),
        "images": (300, "test images whose fibers are sampled"),
        "each": (5, "samples of an image"),
        "evaluations": (30, "of every search"),
        "epochs": (3, "of every network"),
        "steps": (300, "of a generator with its transformer"),
        "null-steps": (150, "of the null's transformer"),
        "asked": (200, "held-out images of a question"),
        "seeds": (2, "of the pair of networks"),
        "threads": (1, "of the processor"),
    }
    for name, (default, words) in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=words)
    return parser.parse_args()


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What a reader must know of the options; no place of this machine."""
    return {name: value for name, value in vars(options).items() if isinstance(value, int)}


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write the record as far as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=1).encode() + b"\n")


def fibers(
    train: Digits, test: Digits, record: dict[str, Any], options: argparse.Namespace
) -> None:
    """Sample and measure by every method that the record lacks."""
    runs: Path = options.runs
    rng = runtime.generator(0, "colours")
    known, others = (part.mixed(rng) for part in (train[: options.train], train[options.train :]))
    held = test.mixed(rng)
    subject, judge = (
        trained(drops, x, labels, seed, options.epochs, runs / f"{name}.safetensors")
        for name, seed, drops, x, labels in (
            ("subject", 0, True, known, train.labels[: options.train]),
            ("judge", 1, False, others, train.labels[options.train :]),
        )
    )
    begun = time.monotonic()
    gan = learned(subject, LATE, known, 0, options, runs)
    images, real = held[: options.images], held[options.images : 2 * options.images]
    if "subject" not in record:
        record["subject"] = of_subject(subject, judge, gan, held, test.labels, images)
        record["subject"] |= {"seconds": time.monotonic() - begun, "git": git_state()}
    if "asked" not in record["subject"]:
        record["subject"]["asked"] = asked(subject, known, held, 0, options.asked)
        keep(options.out / "record.json", record)
    task = Task(subject, images, known, gan, options.each, options.evaluations, 0)
    for name, method in METHODS.items():
        if name in record.setdefault("methods", {}):
            continue
        begun = time.monotonic()
        samples = method(task)
        took = (time.monotonic() - begun) / samples[:, :, 0, 0, 0].numel()
        found = measured(images, samples, subject.encode, judge, real, seed=0)
        record["methods"][name] = found | {"milliseconds": 1000 * took, "git": git_state()}
        shape = tuple(map(slice, SHOWN))
        kept = {"images": images[shape[0]], "samples": samples[shape]}
        save_tensors(runs / "shown" / f"{list(METHODS).index(name)}.safetensors", kept)
        keep(options.out / "record.json", record)


def of_subject(
    subject: ColourCNN,
    judge: ColourCNN,
    gan: fg.NaturalGAN,
    held: Tensor,
    labels: Tensor,
    images: Tensor,
) -> dict[str, Any]:
    """Accuracies, what T undoes, and the unit of the fiber error: codes of two images at random."""
    z, z_k = torch.randn(2, len(images), gan.latent, generator=runtime.generator(0, "latents", 0))
    codes = codes_of(subject, images)
    assert gan.null is not None, "`learn` trains one"
    return {
        "accuracy": accuracy(subject, held, labels),
        "judge_accuracy": accuracy(judge, held, labels),
        "unit": float(errors_of(codes[:, None], codes.roll(1, 0)).mean()),
        "generator": of_transformer(subject, gan, images, z, z_k),
        "null": of_transformer(subject, gan.null, images, z, z_k),
    }


def shown(runs: Path) -> dict[str, dict[str, Tensor]]:
    """What the figure shows of every method."""
    return {
        name: load_tensors(runs / "shown" / f"{number}.safetensors")
        for number, name in enumerate(METHODS)
    }


@styled
def figure(found: dict[str, dict[str, Tensor]]) -> Figure:
    """Samples of some images by every method: a row each, x itself in a frame."""
    whole = Figure(figsize=(width(), 0.1 + 0.5 * len(found)), layout="constrained")
    across = whole.subplots(len(found), SHOWN[0], squeeze=False)
    for row, (name, one) in zip(across, found.items(), strict=True):
        for axes, x, samples in zip(row, one["images"], one["samples"], strict=True):
            plot_images(axes, torch.cat([x[None], samples])[None], itself=(0, 0))
        words = textwrap.fill(name, 26)
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=6)
    return whole


def rows_of(record: dict[str, Any]) -> Rows:
    """A line for each method."""
    unit = record.get("subject", {}).get("unit", 1.0)
    lines = []
    for name, one in record.get("methods", {}).items():
        cells = [with_interval(one[measure], digits) for measure, _, digits in COLUMNS]
        cells[0] += f"; {one['fiber']['value'] / unit:.2f}"
        lines.append([name, *cells, f"{one['milliseconds']:.1f}"])
    return ["samples", *(head for _, head, _ in COLUMNS), "ms a sample"], lines


def subject_rows(record: dict[str, Any]) -> Rows:
    """What the subject and its generator are, on one line."""
    subject = record.get("subject")
    head = ["subject, accuracy", "judge, accuracy", "T at conv3: undone", "colour's share", "s"]
    if subject is None:
        return head, []
    accuracies = [f"{subject[name]:.3f}" for name in ("accuracy", "judge_accuracy")]
    parts = [both(subject, name) for name in ("undone", "colour")]
    return head, [[*accuracies, *parts, f"{subject['seconds']:.0f}"]]


def both(part: dict[str, Any], name: str) -> str:
    """A number of T, and that of the null's."""
    value, null = part["generator"][name], part["null"][name]
    return f"{with_interval(value)}; null {null['value']:.2f}"


def pair_rows(record: dict[str, Any]) -> Rows:
    """A line for each number, a column for each network of the pair."""
    networks = record.get("pair", {})
    lines = {
        "accuracy, colours as in training": lambda n: f"{n['accuracy_as_trained']:.3f}",
        "accuracy, any colour for any class": lambda n: f"{n['accuracy_free']:.3f}",
        "label kept in other colours (the answer)": lambda n: with_interval(n["kept_recoloured"]),
        "search: what is left of a change of colour": lambda n: with_interval(n["search"]["left"]),
        "search: error of the code": lambda n: with_interval(n["search"]["error"], 3),
        "T at conv1: undone": lambda n: both(n["natural"], "undone"),
        "T at conv1: change of image": lambda n: both(n["natural"], "change"),
        "T at conv1: colour's share of it": lambda n: both(n["natural"], "colour"),
        "T at conv1: label kept": lambda n: both(n["natural"], "kept"),
    }
    rows = [[name, *(cell(one) for one in networks.values())] for name, cell in lines.items()]
    return ["", *heads(networks)], rows


def asked_rows(record: dict[str, Any]) -> Rows:
    """A line for each question, a column for each network of the pair."""
    subject = {SUBJECT: record["subject"]} if "asked" in record.get("subject", {}) else {}
    networks = record.get("pair", {}) | subject
    questions = dict.fromkeys(name for one in networks.values() for name in one["asked"])
    lines = []
    for name in questions:
        answers = [one["asked"][name] for one in networks.values()]
        lines.append([name, *(answered(one) for one in answers)])
    return ["asked of conv1", *heads(networks)], lines


def heads(networks: dict[str, Any]) -> list[str]:
    """What the networks of the pair are called."""
    return [key.replace("/seed", ", seed ") for key in networks]


def answered(one: dict[str, Any]) -> str:
    """A verdict, and what decides."""
    passed, kept = one["passed"], one["labels_kept"]
    if passed["value"] is None:
        return f"**{one['verdict']}**: nothing of it arrives"
    low, high = passed["ci95"]
    ends = "" if low is None else f" ({low:.2f} to {high:.2f})"
    labels = f"labels {kept['value']:.2f} ({kept['null']:.2f})"
    verdict = question.judged(one["ceiling"]["ci95"], passed["ci95"], kept["value"])
    return f"**{verdict}** {passed['value']:.2f}{ends}; {labels}"


def with_interval(one: dict[str, Any], digits: int = 2) -> str:
    """A value with its interval."""
    value, *ends = (f"{number:.{digits}f}" for number in (one["value"], *one["ci95"]))
    return f"{value} ({' to '.join(ends)})"


if __name__ == "__main__":
    main()
