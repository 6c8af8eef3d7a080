"""One command at a time works in a run directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filtergan.errors import UserError


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Inside, no other command works in a run directory; the lock ends with its process.

    The folder itself is locked, so that no file is left. Where folders cannot be, as on some file
    systems of a network, nobody is kept out. Of several processes of a command the first asks.

    Args:
        path: The folder; where it is missing nothing is locked.

    Raises:
        UserError: Another command works there.
    """
    held = _lock(path) if int(os.environ.get("RANK", 0)) == 0 else None
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _lock(path: Path) -> int | None:
    """The open folder, locked; None where it cannot be."""
    try:
        held = os.open(path, os.O_RDONLY)
    except OSError:  # what is done there next says why
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise UserError(
            f"Another command is at work in {path}; wait until it ends, or name another folder."
        ) from None
    except OSError:
        os.close(held)
        return None
    return held
