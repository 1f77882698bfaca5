"""What is said when time runs out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bmase.errors import TimedOut
from bmase.patcher.v1 import release_pb2 as pb
from bmase.sync.releases import Releases


class Wire:
    """A stream that says so much and then nothing until the deadline."""

    def __init__(self, *said: pb.Release) -> None:
        self._said = said

    def follow(self, _watch: object, _timeout: float | None) -> Iterator[pb.Release]:
        yield from self._said
        raise TimedOut("Stream removed (Deadline Exceeded)")


def late(*said: pb.Release, timeout: float | None = 120.0) -> TimedOut:
    wire: Any = Wire(*said)
    with pytest.raises(TimedOut) as caught:
        Releases(wire).wait("r-1", timeout=timeout)
    return caught.value


def test_a_release_that_takes_longer_is_told_as_it_was_seen_last() -> None:
    seen = pb.Release(name="releases/r-1", model="models/digits", state=pb.Release.STATE_DEPLOYING)
    seen.reason, seen.message = "NO_CAPACITY", "no node has room"
    error = late(pb.Release(), seen)
    assert str(error).startswith("after 120 s releases/r-1 is still deploying: no node has room")
    assert error.reason == "NO_CAPACITY"
    assert "bmase release watch digits" in error.hint


def test_a_release_of_which_nothing_is_heard_is_named() -> None:
    assert "after 120 s nothing was heard of releases/r-1" in str(late())


def test_a_deadline_that_is_not_the_callers_is_told_as_well() -> None:
    assert "nothing was heard of releases/r-1" in str(late(timeout=None))
