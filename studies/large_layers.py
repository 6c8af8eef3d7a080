"""How the generator's cost grows with its layer, and a layer of a ResNet-50 (`make large-layers`).

Every row runs in a process of its own, so that its peak of memory is its own. The record,
results/large_layers/record.json, is written after every row: an interrupted queue goes on where it
was. `make results` puts it into RESULTS.md.
"""

import argparse
import importlib.metadata
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from filtergan.config.fields import GanConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Game, train
from filtergan.machine import runtime
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine, now, peak_memory_mib, versions
from filtergan.sites.site import Site

RECORD = Path("results/large_layers/record.json")
CHANNELS = (11, 34, 105, 333, 512)  # c -> c, 3x3: about 1k, 10k, 100k, 1M and 2.36M weights
HEADS = ("shared", "dense")
SIDE = 7  # of the responses, as in the last part of a ResNet-50
FITTED = 10_000  # weights from which on the exponents are fitted
RESNET_LAYER = "network.resnet.encoder.stages.3.layers.1.layer.1.convolution"
RESNET_IMAGES = 128
COSTS = {
    "generator_weights": "generator weights",
    "peak_mib": "peak memory, MiB",
    "seconds": "seconds a step",
    "gflop": "GFLOP a step",
}
"""What is measured of a row, and its head in the table; each has an exponent."""
Row = dict[str, Any]


class Minimal(nn.Module):
    """A convolution with batch norm and ReLU, and one linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn, self.fc = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


class ResNet50(nn.Module):
    """The ResNet-50 of transformers with random weights, from images to logits."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import ResNetConfig, ResNetForImageClassification

        self.network = ResNetForImageClassification(ResNetConfig())

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.network(images).logits


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RECORD, help="the record")
    parser.add_argument("--channels", type=int, nargs="+", default=CHANNELS)
    parser.add_argument("--steps", type=int, default=6, help="of each row, the first not counted")
    parser.add_argument("--resnet-steps", type=int, default=30, help="0: none")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--limit-gib", type=float, default=12.0, help="of memory; beyond: not run")
    parser.add_argument("--row", nargs=2, metavar=("CHANNELS", "HEAD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:  # this is the process of one row
        runtime.set_threads(options.threads)
        channels, head = options.row
        found = (
            resnet(options.resnet_steps)
            if head == "resnet"
            else row(int(channels), head, options.steps)
        )
        print(json.dumps(found))
        return
    path: Path = options.out
    record: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {"rows": []}
    record |= {
        "versions": versions() | {"transformers": importlib.metadata.version("transformers")}
    }
    record |= {"device": machine("cpu"), "git": git_state(), "limit_gib": options.limit_gib}
    record |= {"threads": runtime.set_threads(options.threads), "batch": GanConfig().batch}

    def keep() -> None:
        record["exponents"] = {
            h: exponents([r for r in record["rows"] if r["head"] == h]) for h in HEADS
        }
        write_atomic(path, json.dumps(record, indent=1).encode() + b"\n")

    done = {(r["channels"], r["head"]) for r in record["rows"]}
    for channels in options.channels:
        for head in HEADS:
            if (channels, head) in done:
                continue
            need = needed_gib(channels, head)
            if need > options.limit_gib:
                found = {**_named(channels, head), "does_not_fit": round(need, 1)}
            else:
                found = _apart(options, str(channels), head)
            record["rows"].append(found | {"at": now()})
            keep()
            print(record["rows"][-1], file=sys.stderr, flush=True)
    if options.resnet_steps and "resnet50" not in record:
        record["resnet50"] = _apart(options, "512", "resnet") | {"at": now()}
        print(record["resnet50"], file=sys.stderr, flush=True)
    keep()


def _apart(options: argparse.Namespace, channels: str, head: str) -> Row:
    """A row from a process of its own."""
    settings = ("--steps", options.steps, "--resnet-steps", options.resnet_steps)
    command = [sys.executable, __file__, "--row", channels, head, *map(str, settings)]
    command += ["--threads", str(options.threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _named(channels: int, head: str) -> Row:
    return {"channels": channels, "head": head, "site_weights": 9 * channels**2}


def needed_gib(channels: int, head: str) -> float:
    """An estimate of a step's memory: five copies of the generator, four of a batch of filters.

    The copies are weights, average, RMSProp's squares, gradient and one to work with; of the
    filters there are what is drawn, its gradient, and a layout of the convolution's for each.
    """
    site, config = 9 * channels**2, GanConfig()
    wide = site if head == "dense" else 9 * channels + channels
    return 4 * (5 * (config.hidden * wide + 2 * site) + 4 * config.batch * site) / 2**30


# ------------------------------------------------------------------------- one row, one process


def row(channels: int, head: str, steps: int) -> Row:
    """Play a few steps at a layer of a minimal network.

    Args:
        channels: Of the layer, in and out.
        head: Of the generator.
        steps: Steps; the first is not timed, its operations are counted.
    """
    before = peak_memory_mib()
    torch.manual_seed(0)
    network, config = (
        Minimal(channels).eval(),
        GanConfig.model_validate({"head": head, "steps": steps}),
    )
    inputs = torch.rand(2 * config.batch, channels, SIDE, SIDE)
    site = Site(network, "conv", inputs[:2])
    game = Game(FilterGAN.new(site, inputs, config, 0), config, 0)
    flop, seconds = counted(lambda: game.play(inputs)), []
    for _ in range(steps - 1):
        start = time.perf_counter()
        losses = game.play(inputs)
        seconds.append(time.perf_counter() - start)
        assert all(bool(loss.isfinite()) for loss in losses.values())
    return {
        **_named(channels, head),
        "generator_weights": sum(p.numel() for p in game.gan.generator.parameters()),
        "peak_mib": round(peak_memory_mib() - before, 1),
        **_timed(seconds),
        "gflop": flop / 1e9,
    }


def resnet(steps: int) -> Row:
    """Train the generator of a 3x3 layer in the last part of a ResNet-50, 2.36 M weights."""
    before = peak_memory_mib()
    torch.manual_seed(0)
    network, config = ResNet50().eval(), GanConfig(steps=steps, log_every=1)
    images = torch.rand(RESNET_IMAGES, 3, 224, 224)
    site = Site(network, RESNET_LAYER, images[:2])
    with torch.no_grad():
        inputs = torch.cat([site.input(part) for part in images.split(16)])
    marks, losses = [], []
    prepared = peak_memory_mib() - before
    gan = train(
        site,
        inputs,
        config,
        log=lambda _, values: losses.append(values),
        on_start=lambda _: marks.append(time.perf_counter()),
        on_step=lambda: marks.append(time.perf_counter()),
    )
    seconds = [end - start for start, end in pairwise(marks[1:])]
    assert all(math.isfinite(value) for values in losses for value in values.values())
    return {
        "layer": RESNET_LAYER.removeprefix("network."),
        "site_weights": site.filters.numel(),
        "response": list(site.respond(inputs[:1]).shape[1:]),
        "steps": steps,
        "generator_weights": sum(p.numel() for p in gan.generator.parameters()),
        "peak_mib": round(peak_memory_mib() - before, 1),
        "peak_before_training_mib": round(prepared, 1),
        **_timed(seconds),
        "losses_first": losses[0],
        "losses_last": losses[-1],
    }


def _timed(seconds: Sequence[float]) -> Row:
    low, high = min(seconds), max(seconds)
    return {"seconds": statistics.median(seconds), "seconds_range": [low, high]}


def counted(work: Callable[[], object]) -> int:
    """Operations of all matrix products and convolutions, two for a product with its sum."""
    with _Counter() as counter:
        work()
    return counter.total


class _Counter(TorchDispatchMode):
    """As torch's own counter, which neither follows `autograd.grad` nor knows groups backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, packet = func(*args, **(kwargs or {})), func.overloadpacket
        if packet is torch.ops.aten.convolution_backward:
            gradient, _, weight, *_, (of_input, of_weight, _) = args
            passes = bool(of_input) + bool(of_weight)  # each costs what the forward pass does
            self.total += 2 * gradient.numel() * math.prod(weight.shape[1:]) * passes
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


# ----------------------------------------------------------------------------------- the tables


def exponents(rows: Sequence[Row]) -> dict[str, float | None]:
    """Slopes of each cost over the site's weights, both as logarithms; None: too few rows."""
    fitted = [r for r in rows if r["site_weights"] >= FITTED and "seconds" in r]
    if len(fitted) < 2:
        return dict.fromkeys(COSTS)
    x = [math.log(r["site_weights"]) for r in fitted]
    return {
        cost: statistics.linear_regression(x, [math.log(r[cost]) for r in fitted]).slope
        for cost in COSTS
    }


def rows_of(record: Row) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table in RESULTS.md."""
    lines = []
    for one in record.get("rows", ()):
        name = [f"{one['channels']} x {one['channels']} x 3 x 3", f"{one['site_weights']:,}"]
        if "does_not_fit" in one:
            says = f"does not fit: needs about {one['does_not_fit']} GiB"
            lines.append([*name, one["head"], says, "-", "-", "-"])
        else:
            lines.append([*name, one["head"], *_costs(one), f"{one['gflop']:.2f}"])
    for head, found in record.get("exponents", {}).items():
        slopes = ["-" if slope is None else f"{slope:.2f}" for slope in found.values()]
        lines.append([f"exponent from {FITTED:,} weights on", "", head, *slopes])
    if "resnet50" in record:
        one = record["resnet50"]
        name = f"ResNet-50, `{one['layer']}`, {one['steps']} steps of training"
        lines.append([name, f"{one['site_weights']:,}", "shared", *_costs(one), "-"])
    return ["layer", "its weights", "head", *COSTS.values()], lines


def _costs(one: Row) -> list[str]:
    low, high = one["seconds_range"]
    seconds = f"{one['seconds']:.3f} ({low:.3f} to {high:.3f})"
    return [f"{one['generator_weights']:,}", f"{one['peak_mib']:,.0f}", seconds]


if __name__ == "__main__":
    main()
