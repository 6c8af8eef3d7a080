"""What a record says about where its numbers come from: versions, commit, machine, memory."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    *("filtergan", "torch", "numpy", "scipy", "scikit-learn", "datasets", "matplotlib"),
    *("pydantic", "safetensors"),
)


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of the working tree this package is tracked in, and whether it is clean.

    None where the package is no part of one, even if it is installed inside somebody's.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return result.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "clean": not git("status", "--porcelain")}
    except (OSError, subprocess.SubprocessError):
        return None


def backend(device: str) -> str:
    """`cuda` or `cpu`: where the device setting of a config leads on this machine."""
    wanted = device == "auto" or device.startswith("cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def machine(device: str) -> dict[str, Any]:
    """Processor, cores and card that a study with this device setting runs on."""
    card = None
    if backend(device) == "cuda":
        card = torch.cuda.get_device_name(None if device == "auto" else device)
    return {
        "requested": device,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "gpu": card,
    }


def _processor() -> str:
    with suppress(OSError):  # on Linux, where platform.processor() knows the architecture only
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    with suppress(OSError):  # on Linux, where `ru_maxrss` would begin with the parent's
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):  # not everywhere: gVisor has none
                return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes; the systems differ
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
