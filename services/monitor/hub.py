"""Tells everybody in the process who waits that something may have changed."""

from __future__ import annotations

import asyncio


class Hub:
    """A counter that can be waited for; waiters that come late see that they missed something."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def notify(self) -> None:
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seen: int) -> int:
        """Returns as soon as the count is not `seen`."""
        if self.count == seen:
            await self._next.wait()
        return self.count
