"""The whole programme: how soon it starts, and what whole studies take."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from filtergan.runs.reading import read_record
from filtergan.runs.record import Record

STARTS = 7
FILTERGAN = str(Path(sys.executable).with_name("filtergan"))


def start_up() -> dict[str, Any]:
    """Seconds until `filtergan --help` is done, beside those of importing torch."""
    help_, torch_ = [FILTERGAN, "--help"], [sys.executable, "-c", "import torch"]
    found: dict[str, list[float]] = {"help": [], "torch": []}
    for _ in range(STARTS):
        for name, command in (("help", help_), ("torch", torch_)):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            found[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds[1:]) for name, seconds in found.items()}
    return {**medians, "more": medians["help"] - medians["torch"]}


def study(preset: str, *words: str) -> dict[str, Any]:
    """Minutes and memory of a whole `filtergan study`, nothing cached before; the run is kept."""
    out = kept(preset)
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        subprocess.run(
            [FILTERGAN, "study", preset, *words, "--out", str(out), "--overwrite"],
            check=True,
            env=os.environ | {"FILTERGAN_CACHE": cache},
        )
        minutes = (time.perf_counter() - start) / 60
        return {"minutes": minutes} | costs(read_record(out))


def kept(preset: str) -> Path:
    """Where the run of a whole study stays."""
    return Path("runs") / f"bench-{preset}"


def costs(record: Record) -> dict[str, Any]:
    """Of a study's record: seconds by stage, peak memory in MiB, threads."""
    stages = record.stages
    return {
        "stages": {name: round(stage.seconds, 1) for name, stage in stages.items()},
        "peak_mib": max(stage.peak_memory_mib or 0 for stage in stages.values()),
        "threads": max(stage.threads for stage in stages.values()),
    }
