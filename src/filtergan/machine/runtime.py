"""What a stage runs with: a device, threads, seeds."""

import ctypes
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from filtergan.errors import UserError
from filtergan.machine import distributed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
BLOCK = 2**28  # bytes of the largest block of memory that is always kept


def device(name: str) -> torch.device:
    """The device of a config.

    Args:
        name: `auto` (a CUDA card if there is one), `cpu`, `cuda`, or one card as in `cuda:1`.

    Raises:
        UserError: The name is none of these, or there is no such card.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UserError(f"There is no device {name!r}; use auto, cpu, cuda, or a card as cuda:1.")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not cards):
        return torch.device("cpu")
    here = distributed.local_size()
    if here > 1 and (here > cards or ":" in name):
        there = f"{name} is one" if ":" in name else f"there are {cards}"
        raise UserError(
            f"{here} processes need a card each, and {there}; start fewer processes, or use "
            "--device cpu."
        )
    card = int(name.partition(":")[2] or distributed.local_rank())
    if card >= cards:
        there = ", ".join(f"cuda:{i}" for i in range(cards)) or "none that this torch can use"
        raise UserError(f"Device {name} is not available (cards: {there}); use --device cpu.")
    return torch.device("cuda", card)


def set_threads(n: int) -> int:
    """Set the CPU threads that torch uses.

    Args:
        n: So many; 0: what OMP_NUM_THREADS says, else as many as this process has cores. The
            processes of a study on one machine divide them.

    Returns:
        The number set.
    """
    if n == 0:
        wish = os.environ.get("OMP_NUM_THREADS", "")
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        n = int(wish) if wish.isdecimal() and int(wish) > 0 else cores
    n = max(1, n // distributed.local_size())
    torch.set_num_threads(n)
    return n


def keep_memory(block: int = 0) -> None:
    """Let memory that is freed be used again, where the C library is glibc.

    By default large blocks go back to the system at once, and every page of the next one costs a
    fault: half the time of a large pass through a network.

    Args:
        block: Bytes of a block that must be kept, where that is more than `BLOCK`.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        # Larger ones, as caches are, still go back. Older versions refuse more than 32 MiB.
        sizes = (min(max(BLOCK, block + 2**20), 2**31 - 1), 2**25)
        if any(libc.mallopt(M_MMAP_THRESHOLD, size) for size in sizes):
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def join(device_name: str, precision: str) -> None:
    """Join the other processes of this run, if there are any, and set the card and the precision.

    Args:
        device_name: The device of the config.
        precision: The precision of the config.

    Raises:
        UserError: There is no such device, or there are fewer cards than processes.
    """
    chosen = device(device_name)
    distributed.start(chosen.type, precision)
    if chosen.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # 32 bits are 32 bits, in convolutions too
        if chosen.index is not None:  # whose memory is told, and whose times
            torch.cuda.set_device(chosen)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed torch's own generators, of weights and of dropout, and put them back afterwards.

    Those of the cards too, which `torch.manual_seed` seeds as well.
    """
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield


def derive_seed(seed: int, *parts: str | int) -> int:
    """A seed of 63 bits that depends on every part, the same on every machine.

    Args:
        seed: The study's seed.
        *parts: What it is for: stage, site, step.
    """
    digest = hashlib.sha256(json.dumps([seed, *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *parts: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator of its own, seeded by `derive_seed`.

    Args:
        seed: The study's seed.
        *parts: What it is for: stage, site, step.
        device: Where it draws.
    """
    return torch.Generator(device).manual_seed(derive_seed(seed, *parts))


def sample(n: int, count: int, seed: int, *parts: str | int) -> Tensor:
    """At most `count` of the indices 0 to n - 1, in random order, none twice.

    A dataset's first images may be its easiest (MNIST's test images), or all of one class.

    Args:
        n: How many there are.
        count: How many are wanted.
        seed: The study's seed.
        *parts: What they are for, as for `generator`.
    """
    return torch.randperm(n, generator=generator(seed, *parts))[:count]
