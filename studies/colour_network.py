"""How good the CIFAR-10 network is, as a study counts and as the author of its recipe does.

The author averages the logits of each test image and its mirrored copy, and of both shifted by a
pixel either way, with half the weight for those that are not shifted. A study classifies the image
as it is.

    python studies/colour_network.py RUN --data path/to/cifar10

`RUN` is that of `filtergan study cifar10`, whose network at least is trained. Writes
results/layers/accuracy.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filtergan as fg
from filtergan.images.dataset import Split
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine
from filtergan.measures.statistics import interval

RECORD = Path(__file__).parents[1] / "results" / "layers" / "accuracy.json"
BATCH = 500
Rows = tuple[list[str], list[list[str]]]


class Averaged(nn.Module):
    """A network whose logits are averaged over changed copies of an image."""

    def __init__(self, network: nn.Module, shifted: bool) -> None:
        super().__init__()
        self.network, self.shifted = network, shifted

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, c, h, w]."""
        found = self._mirrored(x)
        if not self.shifted:
            return found
        height, width = x.shape[2:]
        wide = F.pad(x, (1,) * 4, mode="reflect")
        ends = (wide[:, :, k : k + height, k : k + width] for k in (0, 2))
        return (found + sum(map(self._mirrored, ends)) / 2) / 2

    def _mirrored(self, x: Tensor) -> Tensor:
        return (self.network(x) + self.network(x.flip(3))) / 2


def main() -> None:
    """Classify all images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run whose network is trained")
    parser.add_argument("--data", help="its images, where they have moved")
    arguments = parser.parse_args()
    run = fg.open_run(arguments.run, data=arguments.data)
    network, data = run.network, run.dataset
    found = {
        "test images": _accuracy(network, data.test),
        "test images, mirrored copies averaged": _accuracy(Averaged(network, False), data.test),
        "test images, mirrored and shifted copies averaged": _accuracy(
            Averaged(network, True), data.test
        ),
        "training images": _accuracy(network, data.train),
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


@torch.no_grad()
def _accuracy(network: nn.Module, split: Split) -> dict[str, Any]:
    starts = range(0, len(split), BATCH)
    right = [
        network(split.pixels(slice(k, k + BATCH))).argmax(1) == split.labels[k : k + BATCH]
        for k in starts
    ]
    all_right = torch.cat(right)
    ends = interval(all_right, resamples=1000, seed=0)
    return {"value": float(all_right.float().mean()), "ci95": ends, "n": len(split)}


def rows_of(record: dict[str, Any]) -> Rows:
    """A line for each way of counting."""
    lines = [
        [what, f"{one['value']:.4f} ({one['ci95'][0]:.4f} to {one['ci95'][1]:.4f})"]
        for what, one in record["found"].items()
    ]
    return ["", "accuracy"], lines


if __name__ == "__main__":
    main()
