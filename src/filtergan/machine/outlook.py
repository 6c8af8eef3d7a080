"""How long a study still takes: what its parts should take, corrected by what those done took."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 0.02  # share of a part from which on its own pace tells how long the rest takes
WORTH = 0.03  # share of all that is expected; less that is measured says little of the rest


@dataclass(frozen=True)
class Part:
    """A long work of a study.

    Attributes:
        stage: That it belongs to.
        told: What `telling.progress` calls it; empty: it shows no bar.
        seconds: That it should take; only how these compare matters once some are measured.
    """

    stage: str
    told: str
    seconds: float


class Outlook:
    """The time left of some parts, in their order; those of stages done count with what they took.

    Args:
        parts: All that are to be done.
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._open = list(parts)
        self._took: dict[str, tuple[float, float]] = {}  # by stage: expected, and measured
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
        expected, _ = self._took.get(stage, (0.0, 0.0))
        expected += sum(part.seconds for part in mine)
        self._took[stage] = expected, seconds if expected else 0.0

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
        return sum(self._with_now(stage)[1] for stage in {*self._took, self._stage})

    def left(self) -> float | None:
        """Seconds left of all parts; None: nothing is measured yet to tell by."""
        measured = {s: self._with_now(s) for s in {*self._took, self._stage}}
        expected = sum(e for e, _ in measured.values())
        done = self._now.seconds * self._begun if self._now else 0.0
        ahead = sum(part.seconds for part in self._open) - done
        known = sum(e for e, _ in self._took.values())
        if expected <= WORTH * (known + ahead):
            return None
        pace = sum(took for _, took in measured.values()) / expected

        def pace_in(stage: str) -> float:
            own, took = measured.get(stage, (0.0, 0.0))
            return took / own if own else pace

        waiting = (part for part in self._open if part is not self._now)
        return self._left_now(pace_in(self._stage)) + sum(
            part.seconds * pace_in(part.stage) for part in waiting
        )

    def _left_now(self, pace: float) -> float:
        if self._now is None:
            return 0.0
        if self._share - self._begun >= LEAST:
            return self._spent / (self._share - self._begun) * (1 - self._share)
        return max(0.0, self._now.seconds * pace * (1 - self._begun) - self._spent)

    def _with_now(self, stage: str) -> tuple[float, float]:
        """Expected and measured seconds of a stage, with those of the bar as far as it is."""
        expected, took = self._took.get(stage, (0.0, 0.0))
        moved = self._share - self._begun
        if self._now is None or self._now.stage != stage or moved < LEAST:
            return expected, took
        return expected + self._now.seconds * moved, took + self._spent
