"""What is told on stderr to who waits: stages in lines, long works as bars, the time left."""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from filtergan.machine import distributed
from filtergan.machine.outlook import Outlook
from filtergan.machine.wording import duration

PAUSE, SILENCE = 10.0, 60.0  # seconds: no line sooner, and none later, than so many after another
NAMED, TIME = 44, 15  # columns of a bar's name, and of its time: the same for all, so they align
FULL = 110  # columns of a terminal from which on a bar tells number and rate

Tick = Callable[[int], object]
"""Told how many more units of a long work are done, as the `advance` of `progress` is."""

_quiet = False
_outlook = Outlook()


def say(line: str) -> None:
    """Tell something in one line on stderr; of several processes only the first speaks."""
    if not _quiet:
        warn(line)


def warn(line: str) -> None:
    """Tell what must not be missed, also where all else is quiet."""
    if distributed.first():
        print(f"filtergan: {line}", file=sys.stderr, flush=True)


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Inside, nothing is told but warnings."""
    global _quiet
    before, _quiet = _quiet, _quiet or wanted
    try:
        yield
    finally:
        _quiet = before


@contextmanager
def expecting(outlook: Outlook) -> Iterator[None]:
    """Inside, bars tell how much time is left of all that an outlook knows of as well."""
    global _outlook
    before, _outlook = _outlook, outlook
    try:
        yield
    finally:
        _outlook = before


def enter(stage: str, told: str) -> None:
    """Say that a stage begins, and how much time is left of all stages.

    Args:
        stage: Its name.
        told: Which of how many it is, where it is one of several.
    """
    _outlook.enter(stage, told if told != stage else "")
    left = _outlook.left()
    say(f"{told} begins" + ("" if left is None else f"; about {duration(left)} left"))


def leave(stage: str, seconds: float) -> None:
    """Say what a stage took."""
    _outlook.leave(stage, seconds)
    say(f"{stage} took {duration(seconds)}")


@contextmanager
def progress(total: int, description: str, unit: str) -> Iterator[Callable[..., None]]:
    """Show on stderr how far a long work is.

    A bar with the time left where one can be shown (on a terminal, or in a notebook that has
    ipywidgets), else lines: one at the end, and before it one whenever a tenth more is done, but at
    most one in `PAUSE` seconds and at least one in `SILENCE`. Of several processes only the first
    shows anything.

    Args:
        total: Units to do.
        description: What is being done.
        unit: What is counted, in the plural.

    Yields:
        `advance(n=1)`, to be called when so many more units are done.
    """
    console, outlook = Console(stderr=True), _outlook
    outlook.begin(description)
    shown = _nothing if _quiet or not distributed.first() else _lines
    if shown is _lines and _has_bars(console):
        shown = _bar
    start, done, begun = time.monotonic(), 0, None
    with shown(console, total, description, unit) as show:

        def advance(n: int = 1) -> None:
            nonlocal start, done, begun
            done += n
            if begun is None:  # what is done then may have been done earlier
                start, begun = time.monotonic(), done
            elif total:
                outlook.advance(begun / total, done / total, time.monotonic() - start)
            show(done)

        yield advance
        if distributed.size() > 1:  # what it counted for the others was a guess
            show(total)
    outlook.end()


def _has_bars(console: Console) -> bool:
    """Whether what was written can be overwritten."""
    if console.is_jupyter:
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def _nothing(
    console: Console, total: int, description: str, unit: str
) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


class _Count(ProgressColumn):
    """Per cent of what is done; where there is room the number and its rate."""

    def __init__(self, unit: str, room: bool) -> None:
        super().__init__(Column(justify="right", no_wrap=True, min_width=len("100 %")))
        self.unit, self.room = unit, room

    def render(self, task: Task) -> Text:
        if self.room and task.fields["counted"]:
            speed = task.finished_speed or task.speed
            rate = "" if speed is None else f" {speed:.3g} {self.unit}/s"
            return Text(f"{task.completed:,.0f}/{task.total:,.0f}{rate}")
        return Text(f"{task.percentage:.0f} %")


class _Time(ProgressColumn):
    """The time left, or taken once all is done."""

    def __init__(self) -> None:
        super().__init__(Column(justify="right", no_wrap=True, width=TIME))

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(duration(task.finished_time or 0))
        left = task.fields["left"] if not task.fields["counted"] else task.time_remaining
        return Text("" if left is None else f"{duration(left)} left")


@contextmanager
def _bar(
    console: Console, total: int, description: str, unit: str
) -> Iterator[Callable[[int], None]]:
    """The bar, and below it while it moves that of the whole study."""
    room = console.width >= FULL
    named = Column(width=min(NAMED, console.width // 2), overflow="fold")
    columns = (TextColumn("{task.description}", markup=False, table_column=named), BarColumn(None))
    with Progress(*columns, _Count(unit, room), _Time(), console=console, expand=True) as bars:
        task = bars.add_task(description, total=total, counted=True)
        whole = bars.add_task(_outlook.place, total=1, visible=False, counted=False, left=None)

        def show(done: int) -> None:
            bars.update(task, completed=done)
            if (left := _outlook.left()) is not None and _outlook.place:
                share = _outlook.spent / max(_outlook.spent + left, 1e-9)
                bars.update(whole, completed=min(share, 0.999), left=left, visible=True)

        yield show
        bars.remove_task(whole)
        bars.refresh()  # a notebook would stay at what it showed last


@contextmanager
def _lines(
    console: Console, total: int, description: str, unit: str
) -> Iterator[Callable[[int], None]]:
    start = told = time.monotonic()
    done = shown = 0
    first: tuple[float, int] | None = None  # what is done then may have been done earlier

    def tell(left: str = "") -> None:
        spent = duration(time.monotonic() - start)
        line = f"  {description}: {done:,} of {total:,} {unit}, {spent}{left}"
        print(line, file=console.file, flush=True)

    def show(count: int) -> None:
        nonlocal told, done, shown, first
        now, done = time.monotonic(), count
        first = first or (now, done)
        due = done - shown >= total / 10 or now - told >= SILENCE
        if due and now - told >= PAUSE and first[1] < done < total:
            seconds = (now - first[0]) * (total - done) / (done - first[1])
            whole = _outlook.left() if _outlook.place else None
            study = "" if whole is None else f" (of the study {duration(whole)})"
            tell(f", about {duration(seconds)} left{study}")
            told, shown = now, done

    yield show
    tell()
