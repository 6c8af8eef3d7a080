"""Starts the processes of a run on one machine, and ends them all when one of them ends.

Each is this command once more, told by the variables that torchrun sets which of them it is; so
under torchrun the command does without this.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filtergan.errors import LostProcess, UserError
from filtergan.machine.wording import count_of

GRACE = 15.0
"""Seconds in which processes may say where they stood, once another has ended."""
PORTS = 20000, 32768
"""Among these one is chosen: systems give away others by themselves."""
TOLD = "FILTERGAN_TOLD"
"""Variable that names the folder where a process leaves its last words for its launcher."""


def several(processes: int | None, nodes: int | None) -> bool:
    """Whether this command is to start other processes, rather than to be one of them.

    Raises:
        UserError: The numbers make no sense, or are not those that torchrun has started; or its
            variables hold none.
    """
    for option, given in (("--processes", processes), ("--nodes", nodes)):
        if given is not None and given < 1:
            raise UserError(f"{option} is {given}; give 1 or more.")
    if "RANK" not in os.environ:
        return (processes or 1) * (nodes or 1) > 1
    from filtergan.machine import distributed  # brings torch, which the launcher does without

    here, all_of_them = distributed.local_size(), distributed.wanted()
    if (processes or here, nodes or all_of_them // here) != (here, all_of_them // here):
        raise UserError(
            f"torchrun has started {count_of(here, 'process')} on each of "
            f"{count_of(all_of_them // here, 'machine')}; "
            "leave --processes and --nodes out."
        )
    return False


def launch(argv: Sequence[str], processes: int, nodes: int) -> None:
    """Run this command in several processes, to its end.

    Args:
        argv: Its arguments.
        processes: So many on this machine.
        nodes: Machines; each runs the command with MASTER_ADDR, MASTER_PORT and its NODE_RANK set.

    Raises:
        UserError: What the processes raised, or which of them ended.
    """
    node = _node(nodes)
    address = os.environ.get("MASTER_ADDR", "127.0.0.1")
    shared = {
        "MASTER_ADDR": address,
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(free_port()),
        "WORLD_SIZE": str(processes * nodes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": str(node),
    }
    command = [sys.executable, "-m", "filtergan.cli", *argv]
    with tempfile.TemporaryDirectory() as told, _interruptible():
        started: list[subprocess.Popen[bytes]] = []
        try:
            for local in range(processes):
                own = {"LOCAL_RANK": str(local), "RANK": str(node * processes + local), TOLD: told}
                # A session of its own: an interrupt reaches the launcher, which ends all.
                started.append(
                    subprocess.Popen(command, env=os.environ | shared | own, start_new_session=True)
                )
            ended = _wait(started)
        finally:
            _end(started)
        if ended is not None:
            raise _fault(ended, started, Path(told), node * processes, processes * nodes)


def _node(nodes: int) -> int:
    if nodes == 1:
        return 0
    missing = [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in os.environ]
    node = os.environ.get("NODE_RANK", "")
    if missing or not node.isdecimal() or int(node) >= nodes:
        raise UserError(
            f"For {nodes} machines set MASTER_ADDR and MASTER_PORT (of the first, the same on all) "
            f"and NODE_RANK (0 to {nodes - 1}) in the environment, or use torchrun."
        )
    return int(node)


def free_port() -> int:
    """A port that nobody listens at, and that hardly anybody takes before the first process does.

    Raises:
        UserError: There is none.
    """
    numbers = random.SystemRandom()
    for _ in range(100):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", numbers.randrange(*PORTS)))
            return one.getsockname()[1]
    raise UserError("No port is free at which the processes could meet; set MASTER_PORT.")


def _wait(started: list[subprocess.Popen[bytes]]) -> int | None:
    """The first process that ended badly; None once all have ended well."""
    while True:
        codes = [process.poll() for process in started]
        for index, code in enumerate(codes):
            if code:
                return index
        if all(code == 0 for code in codes):
            return None
        time.sleep(0.1)


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    """End what still runs: first by a word, then by force."""
    deadline = time.monotonic() + GRACE
    for process in started:
        with suppress(ProcessLookupError):
            process.terminate()
    for process in started:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _fault(
    ended: int, started: list[subprocess.Popen[bytes]], told: Path, start: int, total: int
) -> UserError:
    """One sentence from what all processes said."""
    words = [json.loads(file.read_text()) for file in sorted(told.glob("*.json"))]
    for word in words:
        if not word["lost"]:
            return UserError(word["message"], word["exit_code"])
    code = started[ended].returncode
    how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    where = max((word["where"] for word in words), key=len, default="")
    return LostProcess(f"Process {start + ended} (of 0 to {total - 1}) {how}", where)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM as an interrupt."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# ------------------------------------------------------------------------- in each process


@contextmanager
def serving() -> Iterator[None]:
    """As one of several processes: inside, end where told to, and with the launcher."""
    if "RANK" not in os.environ:
        yield
        return

    def end(*_: Any) -> None:
        handled = sys.exception()
        while handled is not None:
            if isinstance(handled, LostProcess):
                return  # it ends already, and what it says of where it stood must not be lost
            handled = handled.__context__
        raise LostProcess("The run was told to end")

    signal.signal(signal.SIGTERM, end)
    if TOLD in os.environ:
        threading.Thread(target=_outlive_not, args=(os.getppid(),), daemon=True).start()
    try:
        yield
    finally:
        # It ends by itself: told to, it would raise amid the interpreter's last work.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _outlive_not(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # the main thread may wait for others for ever


def tell(error: UserError) -> None:
    """Say why this process ends: to its launcher, or on stderr, once for each machine."""
    lost = isinstance(error, LostProcess)
    if TOLD in os.environ:
        word = {"message": str(error), "exit_code": error.exit_code, "lost": lost}
        word["where"] = error.where if isinstance(error, LostProcess) else ""
        with suppress(OSError):
            (Path(os.environ[TOLD]) / f"{os.environ['RANK']}.json").write_text(json.dumps(word))
    elif lost or not (local := os.environ.get("LOCAL_RANK", "0")).isdecimal() or int(local) == 0:
        print(f"filtergan: {error}", file=sys.stderr)
