"""Several processes at one study: which is first, which share is whose, how results come together.

All processes run the same stages on the same data. What is divided is divided by `share` and
`spread`, everything else is done by each alike; only the first process writes. In a single process
every function here is trivial.
"""

import atexit
import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_map

from filtergan.errors import LostProcess, UserError

TIMEOUT = timedelta(minutes=30)
"""Of a collective. The parts of a stage that are not divided take all processes about as long; a
process that ends is noticed at once, not by this."""

Item = TypeVar("Item")
Found = TypeVar("Found")

_joined = False
_mixed: str | None = None  # the kind of device that computes in bfloat16
_apart = False


def wanted() -> int:
    """Processes that the environment says take part, as torchrun and `launcher` set it.

    Raises:
        UserError: It says no number.
    """
    return _variable("WORLD_SIZE", "", least=1) if "RANK" in os.environ else 1


def local_size() -> int:
    """Those of them on this machine; errors are those of `wanted`."""
    return _variable("LOCAL_WORLD_SIZE", "1", least=1) if "RANK" in os.environ else 1


def local_rank() -> int:
    """Which of these this process is; errors are those of `wanted`."""
    return _variable("LOCAL_RANK", "0", least=0) if "RANK" in os.environ else 0


def _variable(name: str, default: str, least: int) -> int:
    """A number that goes along with RANK in the environment."""
    text = os.environ.get(name, default)
    if not text.isdecimal() or int(text) < least:
        raise UserError(
            f"RANK is set in the environment, but {name} is no number of {least} or more (given: "
            f"{text!r}); unset RANK, or start the processes with --processes or torchrun."
        )
    return int(text)


def start(accelerator: str, precision: str) -> None:
    """Join the other processes that the environment tells of, and set the precision.

    They are left when Python ends, in whatever way.

    Args:
        accelerator: `cpu` (gloo) or `cuda` (NCCL, one card for each process).
        precision: `32-true`, or `bf16-mixed` for what is inside `autocast`.

    Raises:
        LostProcess: The others did not come.
    """
    global _joined, _mixed
    _mixed = accelerator if precision == "bf16-mixed" else None
    if wanted() == 1 or _joined:
        return
    if accelerator == "cuda":
        torch.cuda.set_device(local_rank())  # NCCL's objects are sent from there
    if not dist.is_initialized():
        # Its functions have the group of all processes as a default argument. Imported when there
        # is one, as with the first optimiser, they would hold it, and `_leave` could not end it.
        importlib.import_module("torch.distributed.nn.functional")

        with _together():
            dist.init_process_group("nccl" if accelerator == "cuda" else "gloo", timeout=TIMEOUT)
        atexit.register(_leave)
    _joined = True


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _joined else 1


def first() -> bool:
    """Whether this process is the one that writes."""
    return _rank() == 0


def autocast() -> AbstractContextManager[Any]:
    """Compute what is inside in the precision of `start`."""
    return nullcontext() if _mixed is None else torch.autocast(_mixed, torch.bfloat16)


def share(n: int) -> slice:
    """This process's part of n things: parts are contiguous and differ by one at most."""
    return slice(_rank() * n // size(), (_rank() + 1) * n // size())


def spread(function: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """What a function makes of each item, in order; each process computes its share of them.

    The results are those of a single process, since no item is divided.

    Args:
        function: Returns tensors, or tuples or dictionaries of them; these come back on the CPU
            where there are several processes. It calls nothing else that is divided or that waits.
        items: As many as there are.

    Raises:
        LostProcess: Another process has ended.
    """
    if size() == 1 or _apart:
        return [function(item) for item in items]
    with apart():
        mine = [function(item) for item in items[share(len(items))]]
    parts: list[Any] = [None] * size()
    with _together():
        dist.all_gather_object(parts, tree_map(_to_cpu, mine))
    return [found for part in parts for found in part]


def mean(tensors: Sequence[Tensor], weight: float) -> tuple[Tensor, ...]:
    """Means over all samples from the means over each process's own, in one all-reduce.

    Args:
        tensors: This process's means.
        weight: Its share of all samples.

    Raises:
        LostProcess: Another process has ended.
    """
    if size() == 1:
        return tuple(tensors)
    flat = torch.cat([tensor.flatten() for tensor in tensors]) * weight
    with _together():
        dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(t.shape) for part, t in zip(parts, tensors, strict=True))


def lead(function: Callable[[], Found]) -> Found:
    """Let the first process do something to files; all get its result, or its `UserError`.

    All wait until it is done, so that what is then read has been written.

    Raises:
        UserError: What the function raised.
        LostProcess: Another process has ended.
    """
    if size() == 1:
        return function()
    if _apart:
        return function() if first() else cast(Found, None)
    outcome: list[Any] = [None, None]
    if first():
        with apart():
            try:
                outcome = [function(), None]
            except UserError as error:
                outcome = [None, error]
    with _together():
        dist.broadcast_object_list(outcome, src=0)
    found, error = outcome
    if error is not None:
        raise error
    return found


@contextmanager
def apart() -> Iterator[None]:
    """Inside, nobody waits for the others: nothing is divided, and the first alone does `lead`'s.

    For what one process does while the others do something else, or may be gone.
    """
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


def agree(module: torch.nn.Module) -> None:
    """Give all processes the first one's weights: other machines may round otherwise.

    Raises:
        LostProcess: Another process has ended.
    """
    if size() == 1:
        return
    with _together(), torch.no_grad():
        for tensor in module.state_dict().values():
            held = tensor.detach().contiguous()
            dist.broadcast(held, src=0)
            tensor.copy_(held)


def pace(tick: Callable[[int], object]) -> Callable[[int], object]:
    """A tick that counts this process's work for all, which go at about the same pace.

    To be made where work is about to be divided: within its own share each is apart.
    """
    times = 1 if _apart_or_alone() else size()
    return lambda n: tick(n * times)


def _leave() -> None:
    """End the process group and its threads, while Python has not yet begun to end.

    After a collective a thread of gloo's lets go of its tensors, for which it needs Python's lock.
    Where Python has begun to end by then, as on a busy machine, it ends that thread in the midst of
    a destructor instead, and the process aborts. Destroying the group waits for the threads.
    """
    gc.collect()  # an error that was told, and the frames that it went through, may hold the group
    if dist.is_initialized():
        dist.destroy_process_group()


def _rank() -> int:
    return dist.get_rank() if _joined else 0


def _apart_or_alone() -> bool:
    return _apart or size() == 1


def _to_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


@contextmanager
def _together() -> Iterator[None]:
    """Turn what torch raises where another process is gone into a sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = "Another process of this run has ended or cannot be reached"
        # Torch's frames hold the process group, which `_leave` could not end then.
        raise LostProcess(reason) from error.with_traceback(None)
