"""Networks that others made: is anything undone there, and does the network ignore it?

MTCNN's R-Net, with the weights that facenet-pytorch ships, on the faces that scikit-image ships; a
ResNet and a ConvNeXt of transformers, trained here on MNIST. At some readings of each it is asked
what the best filters can undo of known changes of images, and at one, fixed beforehand, a generator
is trained with its transformer, and measured beside its null. That one is a convolution in the
middle, read behind the next or, of ConvNeXt, behind the block that follows it.

    python studies/others.py --data ../shared/data/mnist --only R-Net
    python studies/others.py --data ../shared/data/mnist --only ResNet --steps 400
    python studies/others.py --data ../shared/data/mnist --only ConvNeXt --steps 200

What was found is not asked again; trained networks are kept in the folder named by --kept.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

import filtergan as fg
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.images.splits import Dataset
from filtergan.machine import runtime
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.measures.gates import beats_null, findings, gates
from filtergan.measures.registry import result
from filtergan.measures.statistics import interval
from filtergan.runs.record import NOT_MEASURED, CeilingRecord, Found, MeasureRecord

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
import face_images  # noqa: E402
import face_network  # noqa: E402

RECORD = ROOT / "results" / "others" / "record.json"
TRAINED_ON, EPOCHS = 20000, 3
SEED = 0
ASKED = CeilingConfig(train_images=1000, steps=100)
MEASURED = fg.TraversalConfig(measured_images=128, repeat_images=32)
Rows = tuple[list[str], list[list[str]]]


def resnet() -> nn.Module:
    """Three stages of basic blocks."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        num_channels=1,
        embedding_size=16,
        hidden_sizes=[16, 32, 64],
        depths=[1, 1, 1],
        layer_type="basic",
        num_labels=10,  # pyright: ignore[reportCallIssue]
    )
    return ResNetForImageClassification(config)


def convnext() -> nn.Module:
    """Three stages of two blocks, on patches of 2x2 pixels."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(
        num_channels=1,
        patch_size=2,
        num_stages=3,
        hidden_sizes=[16, 32, 64],
        depths=[1, 1, 1],
        layer_scale_init_value=0.1,
        num_labels=10,  # pyright: ignore[reportCallIssue]
    )
    return ConvNextForImageClassification(config)


@dataclass(frozen=True)
class Other:
    """A network of others, and what is asked of it.

    Attributes:
        make: Makes it; untrained, where it is trained here.
        domain: How it takes pixels.
        faces: Whether it is for the faces, and trained; else it is for MNIST.
        asked: Layers and readings at which known changes are asked for.
        studied: The layer and the reading of the generator.
        size: How much images are to be changed.
    """

    make: Callable[[], nn.Module]
    domain: fg.Domain
    faces: bool
    asked: tuple[tuple[str, str], ...]
    studied: tuple[str, str]
    size: float


STEM = "resnet.embedder.embedder"
STAGE = "resnet.encoder.stages.1.layers.0.layer.0.convolution"
BLOCK = "convnext.encoder.stages.1"
OTHERS = {
    "R-Net": Other(
        face_network.rnet,
        fg.Domain(0.5, 0.50196),
        faces=True,
        asked=(("conv1", "activation"), ("conv2", "activation"), ("conv2", "+1")),
        studied=("conv2", "+1"),
        size=0.2,
    ),
    "ResNet": Other(
        resnet,
        fg.Domain(0.5, 0.5),
        faces=False,
        asked=((f"{STEM}.convolution", "+1"), (STAGE, "activation"), (STAGE, "+1")),
        studied=(STAGE, "+1"),
        size=0.28,
    ),
    "ConvNeXt": Other(
        convnext,
        fg.Domain(0.5, 0.5),
        faces=False,
        asked=(
            (f"{BLOCK}.downsampling_layer.1", f"{BLOCK}.layers.0"),
            (f"{BLOCK}.layers.0.dwconv", "activation"),
            (f"{BLOCK}.layers.0.dwconv", f"{BLOCK}.layers.0.act"),
        ),
        studied=(f"{BLOCK}.downsampling_layer.1", f"{BLOCK}.layers.0"),
        size=0.28,
    ),
}


def main() -> None:
    """Ask what has not been asked yet, and write the record after every answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/mnist", help="MNIST")
    parser.add_argument("--kept", type=Path, default=ROOT / "runs" / "others")
    parser.add_argument("--steps", type=int, default=600, help="of the transformers")
    parser.add_argument("--only", nargs="+", choices=OTHERS, default=list(OTHERS))
    arguments = parser.parse_args()
    arguments.kept.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(RECORD.read_bytes()) if RECORD.exists() else {"networks": {}}
    found["git"] = git_state()
    for name in arguments.only:
        other = OTHERS[name]
        data = faces() if other.faces else mnist(arguments.data)
        torch.manual_seed(runtime.derive_seed(SEED, "others", name))  # of the first weights
        network = fg.Classifier(other.make(), other.domain, data.classes)
        if not other.faces:
            trained(network, data, arguments.kept / f"{name}.safetensors")
        part = found["networks"].setdefault(name, {})
        for answer, ask in QUESTIONS.items():
            if answer not in part:
                print(f"{name}: {answer}", flush=True)
                part[answer] = ask(other, network.eval(), data, arguments.steps)
                keep(found)


def keep(found: dict[str, Any]) -> None:
    """Write the record."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")


def faces() -> Dataset:
    """The faces and backgrounds that scikit-image ships, written and read as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        face_images.write(Path(folder))
        return fg.load_dataset(folder)


def mnist(data: str) -> Dataset:
    """MNIST."""
    return fg.load_dataset(data, fg.mnist().dataset)


def trained(network: fg.Classifier, data: Dataset, path: Path) -> None:
    """Train a network, unless it has been."""
    if path.exists():
        load_model(network.network, path)
        return
    images, labels = data.train.images[:TRAINED_ON], data.train.labels[:TRAINED_ON]
    seed = runtime.derive_seed(SEED, "others", "fit")
    fg.fit(network, network.parameters(), images, labels, epochs=EPOCHS, seed=seed)
    save_model(network.network, str(path))


# --------------------------------------------------------------------------------- what is asked


def described(_: Other, network: fg.Classifier, data: Dataset, __: int) -> dict[str, Any]:
    """Images, size and accuracy."""
    right = (fg.predict(network, data.test.images).argmax(1) == data.test.labels).float()
    ends = interval(right, resamples=2000, seed=SEED)
    most = float(data.test.labels.bincount().max()) / len(right)
    accuracy = result("real_accuracy", float(right.mean()), ends, len(right), most)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "train": len(data.train),
        "test": len(data.test),
        "accuracy": accuracy.model_dump(mode="json"),
    }


def ceilings(other: Other, network: fg.Classifier, data: Dataset, _: int) -> dict[str, Any]:
    """By reading, then by known change of images."""
    said = {}
    for layer, point in other.asked:
        site = fg.Site(network, layer, data.train.images, point)
        every = fg.ceilings_of(site, data.train.images, data.test.images, None, ASKED, SEED)
        said[str(site.name)] = {k: one.record.model_dump(mode="json") for k, one in every.items()}
    return said


def natural(other: Other, network: fg.Classifier, data: Dataset, steps: int) -> dict[str, Any]:
    """What a generator with its transformer undoes at one reading."""
    layer, point = other.studied
    site = fg.Site(network, layer, data.train.images, point)
    config = fg.NaturalConfig(size=other.size, steps=steps, null_steps=max(1, steps // 3))
    begun = time.monotonic()
    gan = fg.learn(site, data.train.images, config, runtime.derive_seed(SEED, "others", "learn"))
    took = time.monotonic() - begun
    measured = fg.measure(gan, data.test.images, MEASURED, SEED)
    return {
        "site": str(site.name),
        "filters": list(site.filters.shape),
        "steps": steps,
        "seconds": round(took, 1),
        "measures": {name: one.model_dump(mode="json") for name, one in measured.items()},
    }


QUESTIONS = {"described": described, "ceilings": ceilings, "natural": natural}

# ------------------------------------------------------------------------------------ the tables


def rows_of(found: dict[str, Any]) -> Rows:
    """A line for each network, at the reading of its generator."""
    names = ("compensation", "search_compensation", "repeatability", "image_change", "labels_kept")
    lines = []
    for name, part in found.get("networks", {}).items():
        accuracy = MeasureRecord.model_validate(part["described"]["accuracy"])
        if "natural" not in part:
            lines.append([name, _told(accuracy, 3), *["-"] * 7, "not measured"])
            continue
        one = part["natural"]
        measures = {k: MeasureRecord.model_validate(v) for k, v in one["measures"].items()}
        cells = [_told(measures[key]) for key in names]
        where = [f"`{one['site']}`", str(one["steps"])]
        lines.append([name, _told(accuracy, 3), *where, *cells, verdict(measures)])
    columns = ("undone", "undone by a search", "ICC", "change of image", "labels kept")
    return ["network", "accuracy", "site", "steps", *columns, "verdict"], lines


def verdict(found: Found) -> str:
    """What speaks against an invariance, of what was measured; the null is beaten by intervals."""
    tests = [test for test in (*gates(found), *findings(found)) if test.passed is not None]
    against = [] if beats_null(found) else ["no better than its null"]
    against += [test.failure for test in tests if not test.passed and test.name != "inversion"]
    return "; ".join(against) or "nothing speaks against it"


def ceiling_rows(found: dict[str, Any]) -> Rows:
    """A line for each reading of each network, a column for each change of images."""
    asked = {
        (network, site): {k: CeilingRecord.model_validate(v) for k, v in changes.items()}
        for network, part in found.get("networks", {}).items()
        for site, changes in part.get("ceilings", {}).items()
    }
    names = list(dict.fromkeys(name for changes in asked.values() for name in changes))
    lines = []
    for (network, site), changes in asked.items():
        undone = (changes[n].compensation if n in changes else NOT_MEASURED for n in names)
        lines.append([network, f"`{site}`", *(_told(one, ends=False) for one in undone)])
    return ["network", "site", *names], lines


def _told(one: MeasureRecord, digits: int = 2, ends: bool = True) -> str:
    """Value, interval and null."""
    if one.value is None:
        return "-"
    low, high = one.ci95
    told = f"{one.value:.{digits}f}"
    if ends and low is not None and high is not None:
        told += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return told + ("" if one.null is None else f" ({one.null:.{digits}f})")


if __name__ == "__main__":
    main()
