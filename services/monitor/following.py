"""Single keys of Consul, followed for as long as somebody is interested in them.

Only the models that are compared are followed: a listing of all routes would be read anew at every change of any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from services.kit.consul import Consul, Entry

Seen = Callable[[str, Entry | None, str], None]


class Following:
    """Calls `seen(key, entry, epoch)` with the entry as it is now, and whenever it changes; None for none."""

    def __init__(self, consul: Consul, seen: Seen) -> None:
        self._consul = consul
        self._seen = seen
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until cancelled; raises what following a key raised, which is a defect."""
        try:
            await self._failed
        finally:
            await self._close()

    def want(self, keys: Iterable[str]) -> None:
        """Follows exactly these."""
        wanted = set(keys)
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
        for key in wanted - self._tasks.keys():
            task = asyncio.create_task(self._follow(key), name=f"follow {key}")
            task.add_done_callback(self._ended)
            self._tasks[key] = task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _close(self) -> None:
        tasks = list(self._tasks.values())
        self.want(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, key: str) -> None:
        async for listing in self._consul.watch(key):
            self._seen(key, listing.entries.get(key), listing.epoch)
