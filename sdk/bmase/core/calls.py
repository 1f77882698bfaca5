"""What an edge has to send, as values."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from bmase.errors import BmaseError, TimedOut, Unavailable
from bmase.reasons import Reason

Answer = TypeVar("Answer", bound=Message)
Item = TypeVar("Item")

CONTROL_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request to one method; `answer` is the type of what comes back, once or as a stream."""

    path: str
    request: Message
    answer: type[Answer]
    timeout: float | None = CONTROL_TIMEOUT

    def within(self, timeout: float | None) -> Call[Answer]:
        """The same call under another deadline in seconds; None keeps the present one."""
        return self if timeout is None else replace(self, timeout=timeout)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """A list that comes in pages. `page` gives the call for a page token; the items are in `field` of the answer."""

    page: Callable[[str], Call[Any]]
    field: str

    def items(self, answer: Any) -> list[Item]:
        """The items of one page."""
        return list(getattr(answer, self.field))


@dataclass(frozen=True, slots=True)
class Watch(Generic[Answer]):
    """A stream that is opened again when it breaks. `ends`: one that the server closes has said all there will be.

    `again` gives the call that goes on after the last event, `restart` what to open when the server has forgotten so
    much that it cannot (None: the error is raised).
    """

    call: Call[Answer]
    again: Callable[[Call[Answer], Answer], Call[Answer]] = lambda call, _event: call
    over: Callable[[Answer], bool] = lambda _event: False
    restart: Call[Answer] | None = None
    ends: bool = False


@dataclass(slots=True)
class Backoff:
    """Waiting times between attempts: doubling with jitter, and an end after `limit` failures in a row."""

    first: float = 0.2
    most: float = 5.0
    limit: int = 8
    failures: int = 0

    def succeeded(self) -> None:
        """Something got through: the next failure is a first one again."""
        self.failures = 0

    def failed(self) -> float | None:
        """Seconds to wait before the next attempt, or None when it is enough."""
        self.failures += 1
        if self.failures > self.limit:
            return None
        return min(self.most, self.first * 2 ** (self.failures - 1)) * random.uniform(0.5, 1.0)  # noqa: S311  jitter


class Follow(Generic[Answer]):
    """One walk along a watch: which call to open next, how long to wait before, and when it is over."""

    def __init__(self, watch: Watch[Answer], timeout: float | None = None) -> None:
        self._watch = watch
        self._call = watch.call
        self._backoff = Backoff()
        self._begun = False
        self._end = None if timeout is None else time.monotonic() + timeout

    def call(self) -> Call[Answer]:
        """The call to open now, under what is left of the deadline."""
        return self._call if self._end is None else self._call.within(max(0.001, self._end - time.monotonic()))

    def saw(self, event: Answer) -> bool:
        """Takes note of an event; True when it was the last one."""
        self._backoff.succeeded()
        self._begun = True
        self._call = self._watch.again(self._call, event)
        return self._watch.over(event)

    def broke(self, error: BmaseError | None) -> float | None:
        """Seconds to wait before opening the stream again, None: nothing more will come; raises what waiting does not
        help against.

        That is: everything but outages and forgotten changes, a deadline that has passed, many failures in a row.
        """
        if error is None and self._watch.ends:
            return None
        if error is not None and error.reason == Reason.REVISION_GONE and self._begun and self._watch.restart:
            self._call = self._watch.restart
        elif isinstance(error, TimedOut) or not isinstance(error, Unavailable | None):
            raise error
        wait = self._backoff.failed()
        if wait is None:
            raise error or Unavailable("the server keeps closing the stream")
        return wait
