"""Tells everybody in the process who waits that something may have changed."""

from __future__ import annotations

import asyncio
import contextlib


class Hub:
    """A counter that can be waited for; waiters that come late see that they missed something."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Something may have changed."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        """Returns when the count is not `seen`, or after the timeout in seconds: for what other processes change."""
        if self.count == seen:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._next.wait()
        return self.count
