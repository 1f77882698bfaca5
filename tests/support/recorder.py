"""Collects what a watch delivers, with times, while the test does something to the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Recorder(Generic[Item]):
    """`async with Recorder(consul.watch(prefix)) as seen`: `seen.items` grows; what it raises fails the test."""

    def __init__(self, source: AsyncIterator[Item]) -> None:
        self._source = source
        self.items: list[Item] = []
        self.times: list[float] = []
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Recorder[Item]:
        self._task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        assert self._task is not None
        ended = self._task.done()
        self._task.cancel()
        result = (await asyncio.gather(self._task, return_exceptions=True))[0]
        if ended and kind is None:
            raise AssertionError(f"the watch ended by itself: {result!r}")

    async def _collect(self) -> None:
        async for item in self._source:
            self.items.append(item)
            self.times.append(time.monotonic())
            self._more.set()

    async def until(self, wanted: Callable[[Item], bool], timeout: float = 30.0) -> Item:
        """The first item, old or new, that is `wanted`."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for item in self.items:
                        if wanted(item):
                            return item
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"not delivered within {timeout} s; last was {self.items[-1:]}") from None
