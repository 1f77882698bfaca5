"""Stretches of time in which samples are looked for, latest first.

Ids sort by time, so a stretch of time is a range of ids, which every store finds by its index. Small stores read all
that a query matches before they sort and limit it: asked for short stretches first, they read little. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

LAST = "g"  # after every id, as these are hexadecimal
MICROSECONDS = 1_000_000
FIRST_SECONDS, GROWTH, STRETCHES = 4, 8, 7  # the longest ends twelve days back; what is before comes at once


def first_id(time: float) -> str:
    """No sample of this moment or later has a smaller id."""
    return f"{max(0, int(time * MICROSECONDS)):016x}"


def ranges(before: str, now: float) -> Iterator[tuple[str, str]]:
    """From (included) and to (not included), one after the other without a gap, down to the very first sample."""
    high = before or LAST
    begun = int(before[:16], 16) / MICROSECONDS if before else now
    for step in range(STRETCHES):
        low = first_id(begun - FIRST_SECONDS * GROWTH**step)
        if low < high:
            yield low, high
            high = low
    if high > first_id(0):
        yield "", high
