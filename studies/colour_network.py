"""How good the CIFAR-10 network is, as a study counts and as the author of its recipe does.

The author averages the logits of each test image and its mirrored copy, and of both shifted by a
pixel either way, with half the weight for those that are not shifted. A study classifies the image
as it is.

    python studies/colour_network.py RUN --data path/to/cifar10

`RUN` is that of `filtergan study cifar10`, whose network at least is trained. Writes
results/layers/accuracy.json.
"""

import json
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from opening import opened
from torch import Tensor

import filtergan as fg
from filtergan.images.domain import to_float
from filtergan.images.splits import Split
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.measures.statistics import interval

RECORD = Path(__file__).parents[1] / "results" / "layers" / "accuracy.json"
Rows = tuple[list[str], list[list[str]]]


def main() -> None:
    """Classify all images."""
    run = opened(__doc__, "a run whose network is trained")
    data = run.dataset

    def seen(step: int, mirrored: bool) -> Tensor:
        def changed(images: Tensor) -> Tensor:
            x = _shifted(to_float(images), step)
            return x.flip(3) if mirrored else x

        return fg.predict(run.network, data.test.images, device=run.device, prepare=changed)

    plain = seen(0, False)
    mirrored = (plain + seen(0, True)) / 2
    shifted = sum(seen(step, flip) for step in (-1, 1) for flip in (False, True)) / 4
    trained = fg.predict(run.network, data.train.images, device=run.device)
    found = {
        "test images": _accuracy(plain, data.test),
        "test images, mirrored copies averaged": _accuracy(mirrored, data.test),
        "test images, mirrored and shifted copies averaged": _accuracy(
            (mirrored + shifted) / 2, data.test
        ),
        "training images": _accuracy(trained, data.train),
    }
    training = run.record.stages["train-cnn"].model_dump(mode="json")
    record = {
        "git": git_state(),
        "machine": machine(run.device.type),
        "network": run.record.cnn.model_dump(mode="json") if run.record.cnn else None,
        "training": training,
        "found": found,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(record, indent=1).encode() + b"\n")


def _shifted(x: Tensor, step: int) -> Tensor:
    """Images moved down and right by so many pixels; what comes in is reflected."""
    height, width, begin = *x.shape[2:], 1 - step
    wide = F.pad(x, (1,) * 4, mode="reflect")
    return wide[:, :, begin : begin + height, begin : begin + width]


def _accuracy(logits: Tensor, split: Split) -> dict[str, Any]:
    right = logits.argmax(1) == split.labels
    ends = interval(right, resamples=1000, seed=0)
    return {"value": float(right.float().mean()), "ci95": ends, "n": len(split)}


def rows_of(record: dict[str, Any]) -> Rows:
    """A line for each way of counting."""
    lines = [
        [what, f"{one['value']:.4f} ({one['ci95'][0]:.4f} to {one['ci95'][1]:.4f})"]
        for what, one in record["found"].items()
    ]
    return ["", "accuracy"], lines


if __name__ == "__main__":
    main()
