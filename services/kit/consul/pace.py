"""How often a loop may ask: waits that grow while Consul is away, and a ceiling while it answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

# The longest wait decides how fast everything recovers once Consul is back: below two seconds, jitter included.
FIRST_WAIT = 0.1
LONGEST_WAIT = 1.2


class Backoff:
    """Doubling waits with jitter, so that a hundred processes do not return in the same millisecond."""

    def __init__(self, first: float = FIRST_WAIT, longest: float = LONGEST_WAIT) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        ceiling = min(self._longest, self._first * 2 ** min(self._failures, 16))
        self._failures += 1
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        self._failures = 0


class Pace:
    """A token bucket: the first changes pass at once, a storm of them is read in bunches.

    Every read of a prefix is complete, so reading less often loses nothing.
    """

    def __init__(self, burst: int = 20, rate: float = 20.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(burst)
        self._rate = rate
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def wait(self) -> float:
        """Takes one token and says how long to wait before using it."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)
