"""Fences: numbers that only grow, so that what an earlier leader still tries to write is recognised and refused."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bmase.reasons import Reason

from services.kit.consul.kv import Kv
from services.kit.consul.model import Entry
from services.kit.errors import DomainError


async def draw_fence(kv: Kv, key: str, floor: int) -> int:
    """The next fence: above the last one drawn, above `floor`, and above the clock in milliseconds.

    The clock keeps fences growing over a store that was wiped even if nobody kept a floor.
    """
    while True:
        entry = await kv.get(key)
        fence = max(_fence_of(entry), floor, time.time_ns() // 1_000_000) + 1
        if await kv.cas(key, {"fence": fence}, entry.modify_index if entry else 0):
            return fence


async def fenced_put(kv: Kv, key: str, document: Mapping[str, Any], fence: int) -> None:
    """Writes `document` with its fence unless a later leader wrote there: then NOT_LEADER."""
    while True:
        entry = await kv.get(key)
        _refuse_stale(key, entry, fence)
        if await kv.cas(key, {**document, "fence": fence}, entry.modify_index if entry else 0):
            return


async def fenced_delete(kv: Kv, key: str, fence: int) -> None:
    """Deletes the document unless a later leader wrote it: then NOT_LEADER. What is not there stays so."""
    while entry := await kv.get(key):
        _refuse_stale(key, entry, fence)
        if await kv.delete(key, modify_index=entry.modify_index):
            return


def _refuse_stale(key: str, entry: Entry | None, fence: int) -> None:
    if _fence_of(entry) > fence:
        raise DomainError(
            Reason.NOT_LEADER,
            f"a later leader has written {key}; this process no longer leads",
            hint="Send the call again: it reaches the present leader.",
        )


def _fence_of(entry: Entry | None) -> int:
    fence = entry.json().get("fence", 0) if entry else 0
    return fence if isinstance(fence, int) else 0
