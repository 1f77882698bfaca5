"""Times as the registry keeps them: whole microseconds since 1970 in UTC."""

from __future__ import annotations

import time

from google.protobuf.timestamp_pb2 import Timestamp


def now() -> int:
    """The present."""
    return time.time_ns() // 1000


def before(seconds: float) -> int:
    """So long ago."""
    return now() - int(seconds * 1_000_000)


def stamp(moment: int) -> Timestamp:
    """For messages."""
    made = Timestamp()
    made.FromMicroseconds(moment)
    return made
