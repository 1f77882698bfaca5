"""When checkpoints are due: by the workers' clocks, told in steps, as workers must not wait for each other's clocks."""

from __future__ import annotations

import time
from collections.abc import Callable

# All workers call it alike and learn the least of the numbers that they have named.
Least = Callable[[int], int]


def alone(number: int) -> int:
    """Of one worker."""
    return number


class Pace:
    """A death costs at most `seconds`, while steps and writes take as long as those before.

    Steps are counted from one checkpoint to the next, and timed in the same stretch: what came before it (data that
    were brought, a model that was compiled) says nothing of them. `writing`, in seconds, is how long the last
    checkpoint took until it was kept; the next one begins so much earlier, but never before half of the time.

    The steps are agreed on at the first, second, fourth, eighth ... question after each checkpoint.
    """

    def __init__(
        self,
        seconds: float,
        least: Least,
        writing: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._least, self._writing, self._clock = seconds, least, writing, clock
        self._since, self._steps = 0, 0
        self._began = clock()

    def due(self) -> bool:
        """Asked after each step, by all workers alike."""
        self._since += 1
        if self._since & (self._since - 1) == 0:
            each = (self._clock() - self._began) / self._since
            left = self._seconds - min(self._writing(), self._seconds / 2)
            self._steps = self._least(max(1, int(left / max(each, 1e-6))))
        if self._since < self._steps:
            return False
        self._since = 0
        self._began = self._clock()
        return True
