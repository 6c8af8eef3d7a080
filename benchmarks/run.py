"""Measure speed on this machine (`make bench`), into results/benchmarks/DEVICE/record.json.

Every figure is a ratio of times taken in turn in one run. The record is written after each part,
which may also be named alone; `make results` puts it into RESULTS.md.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import convolutions
import growth
import inversions
import programme
import steps
import subject
from timing import Machine

from filtergan import runtime
from filtergan.provenance import git_state, machine, now, versions
from filtergan.record import write_atomic

ROOT = Path(__file__).parents[1] / "results" / "benchmarks"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/mnist", help="MNIST, as a study takes it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--subject", type=Path, default=Path("runs/bench"), help="its folder")
    parser.add_argument("--out", type=Path, help="folder of the record")
    parser.add_argument("parts", nargs="*", metavar="PART", help="some of them; by default all")
    options = parser.parse_args()
    device = runtime.device(options.device)
    threads = runtime.set_threads(options.threads)

    @cache
    def studied() -> subject.Subject:
        return subject.subject(options.data, options.subject, device)

    found = Machine.measured(device)
    parts: dict[str, Callable[[], Any]] = {
        "convolutions": lambda: convolutions.run(device, found),
        "step": lambda: steps.run(studied(), found),
        "traversal": lambda: inversions.traversal(studied(), found),
        "evaluations": lambda: inversions.evaluations(studied()),
        "metamer": lambda: inversions.metamer(studied()),
        "growth": lambda: growth.run(studied()),
        "start_up": programme.start_up,
        "demo": lambda: programme.study("digits"),
        "mnist": lambda: programme.study("mnist", "--data", options.data),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    folder: Path = options.out or ROOT / device.type
    path = folder / "record.json"
    record = json.loads(path.read_bytes()) if path.exists() else {"parts": {}}
    for name in options.parts or parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        record["parts"][name] = {
            "found": parts[name](),
            "at": now(),
            "git": git_state(),
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
