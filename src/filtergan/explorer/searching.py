"""Searches that visitors began: how far each is, and its end where they want none."""

import threading
import time
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from filtergan.errors import UserError
from filtergan.explorer.exploring import Explorer
from filtergan.explorer.looks import Look
from filtergan.natural.recovering import EVALUATIONS

LONGEST = 120.0
"""Seconds of a search."""


class Searches:
    """One search for each visitor at a time: a new one ends the one before.

    Args:
        explorer: The run.
        longest: Seconds after which a search is given up.
    """

    def __init__(self, explorer: Explorer, longest: float = LONGEST) -> None:
        self._explorer, self._longest = explorer, longest
        self._stops: dict[str, threading.Event] = {}

    def begin(self, visitor: str) -> None:
        """Say that a visitor wants a search, which can be cancelled from now on."""
        self.cancel(visitor)
        self._stops[visitor] = threading.Event()

    def run(
        self,
        visitor: str,
        site: str,
        image: Float[Tensor, "c h w"],
        z: Float[Tensor, " latent"],
        show: Callable[[int, int], object],
    ) -> Look | None:
        """Search for an image, as was begun; None where the visitor cancelled it.

        Args:
            visitor: Whose search it is.
            site: A site that has a transformer.
            image: The image.
            z: The latent.
            show: Told after every evaluation how many are done, and of how many.

        Raises:
            UserError: It took too long.
        """
        stop = self._stops.setdefault(visitor, threading.Event())
        end, done = time.monotonic() + self._longest, 0

        def tick(points: int) -> None:
            nonlocal done
            done += points
            if stop.is_set():
                raise _Cancelled
            if time.monotonic() > end:
                raise UserError(
                    f"The search was given up after {self._longest:.0f} s; this machine is too "
                    "busy, or the network too large."
                )
            show(done, EVALUATIONS)

        try:
            return self._explorer.search(site, image, z, tick)
        except _Cancelled:
            return None
        finally:
            if self._stops.get(visitor) is stop:
                del self._stops[visitor]

    def cancel(self, visitor: str) -> bool:
        """End a visitor's search at its next evaluation; whether there was one."""
        stop = self._stops.get(visitor)
        if stop is not None:
            stop.set()
        return stop is not None


class _Cancelled(Exception):
    """The visitor wants no more of a search."""
