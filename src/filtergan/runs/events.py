"""The log of events of a run: training curves as JSON lines and as TensorBoard scalars."""

import json
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from filtergan.errors import UserError
from filtergan.machine.distributed import lead
from filtergan.machine.files import json_safe, write_atomic, writing


@runtime_checkable
class HasPath(Protocol):
    """A run, as far as its log needs to know it."""

    path: Path


class EventLog:
    """Training curves as lines of events.jsonl and as TensorBoard scalars.

    Use as a context manager, or `close` it. A line is `{"stage", "step", "seconds", ...}`.
    """

    def __init__(self, run: HasPath) -> None:
        """Open the log of a run, dropping a last line that was cut off.

        Raises:
            UserError: The log could not be mended (exit code 1) or is damaged.
        """
        self.path = run.path / "events.jsonl"
        self._folder = run.path / "tensorboard"
        self._writers: dict[str, Any] = {}
        self._purge: dict[str, int] = {}
        self._start = time.monotonic()
        self._before: dict[str, float] = {}
        lead(self._mend)

    def _mend(self) -> None:
        content = _read(self.path)
        if content and not content.endswith(b"\n"):
            self._rewrite(_events(self.path))

    def append(self, stage: str, step: int, **values: float | int) -> None:
        """Add a line, with the seconds since the log was opened or cut back, and its scalars.

        Seconds of a resumed stage go on from its last line that was kept.

        Args:
            stage: Name of the stage; each has TensorBoard curves of its own.
            step: Steps done.
            **values: Losses, samples, and other numbers; NaN becomes null in events.jsonl.

        Raises:
            UserError: The log could not be written (exit code 1).
        """
        seconds = round(self._before.get(stage, 0.0) + time.monotonic() - self._start, 3)
        event = json_safe({"stage": stage, "step": step, "seconds": seconds, **values})

        def write() -> None:
            with writing(self.path):
                with self.path.open("a") as file:
                    file.write(json.dumps(event, allow_nan=False) + "\n")
                writer = self._writer(stage)
                for name, value in values.items():
                    writer.add_scalar(name, value, step)

        lead(write)

    def cut_back(self, stage: str, step: int) -> None:
        """Drop the lines of a stage after a step; -1 drops them all.

        Raises:
            UserError: The log could not be written (exit code 1) or is damaged.
        """
        events = read_events(self.path)
        kept = [e for e in events if e["stage"] != stage or e["step"] <= step]
        own = [e["seconds"] for e in kept if e["stage"] == stage]
        self._before[stage] = (own[-1] if own else 0.0) - (time.monotonic() - self._start)
        self._purge[stage] = step + 1
        if len(kept) != len(events):
            self._rewrite(kept)

    def close(self) -> None:
        """Write out what TensorBoard still holds back.

        Raises:
            UserError: It could not be written (exit code 1).
        """
        while self._writers:
            _, writer = self._writers.popitem()
            with writing(self._folder):
                writer.close()

    def __enter__(self) -> "EventLog":
        """Return the log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log."""
        self.close()

    def _rewrite(self, events: list[dict[str, Any]]) -> None:
        write_atomic(self.path, "".join(json.dumps(e) + "\n" for e in events).encode())

    def _writer(self, stage: str) -> Any:
        if stage not in self._writers:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            folder = self._folder / re.sub(r"[^\w.-]+", "_", stage)
            self._writers[stage] = SummaryWriter(str(folder), purge_step=self._purge.get(stage))
        return self._writers[stage]


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read events.jsonl; none if there is no such file; a last line that was cut off is left out.

    Raises:
        UserError: A line before the last is damaged, or the file cannot be read.
    """
    return lead(lambda: _events(path))


def _events(path: Path) -> list[dict[str, Any]]:
    *lines, _ = _read(path).split(b"\n")  # what follows the last newline was cut off
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            events.append({"stage": event["stage"], "step": event["step"], **event})
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}, line {number}, is damaged; delete that line.") from error
    return events


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
