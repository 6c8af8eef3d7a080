"""Measure speed on this machine (`make bench`), into results/benchmarks/DEVICE/record.json.

The record is written after each part, which may also be named alone; `make results` puts it into
RESULTS.md.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import augmenting
import convolutions
import growth
import inversions
import pages
import pooled
import programme
import steps
import subject
import torch
import transformations
from timing import Machine

from filtergan.machine import runtime
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine, now, versions

ROOT = Path(__file__).parents[1] / "results" / "benchmarks"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/mnist", help="MNIST, as a study takes it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--subject", type=Path, help="folder of the study that is timed")
    parser.add_argument("--finished", type=Path, help="a whole study, whose pages are timed")
    parser.add_argument("--out", type=Path, help="folder of the record")
    parser.add_argument("parts", nargs="*", metavar="PART", help="some of them; by default all")
    options = parser.parse_args()
    device = runtime.device(options.device)
    threads, git = runtime.set_threads(options.threads), git_state()  # before the record is written
    runtime.keep_memory()
    torch.backends.cudnn.allow_tf32 = False  # as the product that the floors are taken from

    @cache
    def studied() -> subject.Subject:
        where = options.subject or Path(f"runs/bench-{device.type}")
        found = subject.subject(options.data, where, device)
        torch.set_num_threads(threads)  # a study sets its own
        return found

    alike = ("--device", device.type, "--threads", str(threads))
    parts: dict[str, Callable[[Machine], Any]] = {
        "convolutions": lambda machine: convolutions.run(device, machine),
        "pooling": lambda _: pooled.run(device),
        "step": lambda machine: steps.run(studied(), machine),
        "traversal": lambda machine: inversions.traversal(studied(), machine),
        "evaluations": lambda _: inversions.evaluations(studied()),
        "metamer": lambda _: inversions.metamer(studied()),
        "natural": lambda _: transformations.run(studied()),
        "augmentation": lambda _: augmenting.run(device),
        "growth": lambda _: growth.run(studied()),
        "start_up": lambda _: programme.start_up(),
        "demo": lambda _: programme.study("digits", *alike),
        "mnist": lambda _: programme.study("mnist", "--data", options.data, *alike),
        "pages": lambda _: pages.run(options.finished or programme.kept("mnist"), options.data),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    folder: Path = options.out or ROOT / device.type
    path = folder / "record.json"
    record = json.loads(path.read_bytes()) if path.exists() else {"parts": {}}
    for name in options.parts or parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name in ("step", "traversal"):
            studied()  # trained, or loaded, before the machine is measured
        found = Machine.measured(device)
        record["parts"][name] = {
            "found": parts[name](found),
            "at": now(),
            "git": git,
            "machine": machine(device.type),
            "threads": threads,
            "gflop_per_s": found.flop / 1e9,
            "gb_per_s": found.bytes / 1e9,
            "versions": versions(),
        }
        write_atomic(path, json.dumps(record, indent=1).encode() + b"\n")
        if name == "growth":
            growth.draw(record["parts"][name]["found"], folder / "growth.png")


if __name__ == "__main__":
    main()
