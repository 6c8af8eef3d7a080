"""How long a study still takes: what its parts should take, corrected by what those done took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST = 0.02  # share of a part from which on its own pace tells how long the rest takes
WORTH = 0.03  # share of all that is expected; less that is measured says little of the rest


@dataclass(frozen=True)
class Part:
    """A long work of a study.

    Attributes:
        stage: That it belongs to.
        told: What `telling.progress` calls it; empty: it shows no bar.
        seconds: That it should take; only how these compare matters once some are measured.
        fixed: Those of them that do not grow with the arithmetic; no pace changes them.
    """

    stage: str
    told: str
    seconds: float
    fixed: float = 0.0

    @property
    def paced(self) -> float:
        """Seconds that a pace changes."""
        return self.seconds - self.fixed


class _Took(NamedTuple):
    """Seconds of what is done: expected, those of them that are fixed, and measured."""

    expected: float = 0.0
    fixed: float = 0.0
    measured: float = 0.0


class Outlook:
    """The time left of some parts, in their order; those of stages done count with what they took.

    Args:
        parts: All that are to be done.
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._open = list(parts)
        self._took: dict[str, _Took] = {}  # by stage
        self._stage = self.place = ""
        self._now: Part | None = None
        self._begun = self._share = self._spent = 0.0

    def enter(self, stage: str, place: str) -> None:
        """A stage begins; `place` says which of how many, or nothing."""
        self._stage, self.place = stage, place

    def leave(self, stage: str, seconds: float) -> None:
        """A stage has ended; its seconds are those of all that it did, with a bar or without."""
        mine = [part for part in self._open if part.stage == stage]
        self._open = [part for part in self._open if part.stage != stage]
        expected, fixed, _ = self._took.get(stage, _Took())
        expected += sum(part.seconds for part in mine)
        fixed += sum(part.fixed for part in mine)
        self._took[stage] = _Took(expected, fixed, seconds if expected else 0.0)

    def begin(self, told: str) -> None:
        """A bar begins."""
        own = (p for p in self._open if p.stage == self._stage and p.told == told)
        self._now = next(own, None)
        self._begun = self._share = self._spent = 0.0

    def advance(self, begun: float, share: float, spent: float) -> None:
        """So far is the bar.

        Args:
            begun: Share of it that had been done before.
            share: That is done now.
            spent: Seconds in between.
        """
        self._begun, self._share, self._spent = begun, share, spent

    def end(self) -> None:
        """The bar has ended."""
        if self._now is not None:
            self._open.remove(self._now)
            self._took[self._stage] = self._with_now(self._stage)
        self._now = None

    @property
    def spent(self) -> float:
        """Seconds that the parts done took, and the bar until now."""
        return sum(self._with_now(stage).measured for stage in {*self._took, self._stage})

    def left(self) -> float | None:
        """Seconds left of all parts; None: nothing is measured yet to tell by."""
        measured = {s: self._with_now(s) for s in {*self._took, self._stage}}
        expected = sum(took.expected - took.fixed for took in measured.values())
        done = self._now.paced * self._begun if self._now else 0.0
        ahead = sum(part.paced for part in self._open) - done
        known = sum(took.expected - took.fixed for took in self._took.values())
        if expected <= WORTH * (known + ahead):
            return None
        pace = _pace(*measured.values())

        def pace_in(stage: str) -> float:
            took = measured.get(stage, _Took())
            return _pace(took) if took.expected > took.fixed else pace

        waiting = (part for part in self._open if part is not self._now)
        return self._left_now(pace_in(self._stage)) + sum(
            part.fixed + part.paced * pace_in(part.stage) for part in waiting
        )

    def _left_now(self, pace: float) -> float:
        if self._now is None:
            return 0.0
        if self._share - self._begun >= LEAST:
            return self._spent / (self._share - self._begun) * (1 - self._share)
        whole = self._now.fixed + self._now.paced * pace
        return max(0.0, whole * (1 - self._begun) - self._spent)

    def _with_now(self, stage: str) -> _Took:
        """Seconds of a stage, with those of the bar as far as it is."""
        took = self._took.get(stage, _Took())
        moved = self._share - self._begun
        if self._now is None or self._now.stage != stage or moved < LEAST:
            return took
        expected, fixed = self._now.seconds * moved, self._now.fixed * moved
        return _Took(took.expected + expected, took.fixed + fixed, took.measured + self._spent)


def _pace(*took: _Took) -> float:
    """Measured seconds for each that was expected, but for those that are fixed."""
    fixed = sum(one.fixed for one in took)
    measured = max(0.0, sum(one.measured for one in took) - fixed)
    return measured / (sum(one.expected for one in took) - fixed)
