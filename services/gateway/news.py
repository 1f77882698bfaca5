"""Tells many tasks that something happened, without any of them missing it while it was busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """A count that only grows. Readers remember the count they acted on."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Condition()

    async def tell(self) -> None:
        """Something happened."""
        async with self._changed:
            self.count += 1
            self._changed.notify_all()

    async def after(self, seen: int, seconds: float) -> int:
        """Returns at once when there is news since `seen`, otherwise when there is some or the time is over."""
        await self.until(lambda: self.count > seen, seconds)
        return self.count

    async def until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Whether `reached` became true in time; it is looked at after every piece of news."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                return await self._changed.wait_for(reached)
        except TimeoutError:
            return False
