"""Watches the node's Triton: whether it answers, which life of it this is, what it has loaded, whether it is right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from services.patcher.agent.decide import TritonView
from services.patcher.agent.triton import Triton, TritonGoneError, TritonRefusedError

log = structlog.get_logger(__name__)

PERIOD = 0.5
RECHECK_SECONDS = 5.0
# One late answer is a busy machine; two in a row are a server that hangs.
MISSES = 2

Check = Callable[[], Awaitable[str]]


class Monitor:
    """Keeps `view` true; `changed` is called after every change of it."""

    def __init__(self, triton: Triton, check: Check | None, changed: Callable[[], None]) -> None:
        self._triton = triton
        self._check = check
        self._changed = changed
        self._turn = asyncio.Lock()
        self._misses = 0
        self._check_at = 0.0
        self.view = TritonView()
        self.message = "Triton has not answered yet"

    async def run(self) -> None:
        """Until cancelled. Between looks the connection is watched: a server may end and be back before the next."""
        left = asyncio.create_task(self._triton.left())
        try:
            while True:
                await self.look()
                await asyncio.wait({left}, timeout=PERIOD)
                if left.done():
                    left = asyncio.create_task(self._triton.left())
                    async with self._turn:
                        self._missed(TritonGoneError(hangs=False))
        finally:
            left.cancel()

    async def look(self) -> None:
        """One look; also right after a step has changed what Triton has loaded."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        try:
            if not await self._triton.is_live():
                raise TritonGoneError(hangs=True, words="Triton says that it is not live")
            self._came()
            self._see(replace(self.view, loaded=await self._triton.index()))
            if not self.view.usable and time.monotonic() >= self._check_at:
                await self._judge()
        except TritonGoneError as error:
            self._missed(error)
        except TritonRefusedError as error:
            log.warning("triton_not_seen", error=str(error))
        else:
            self._misses = 0

    def _came(self) -> None:
        """Every return counts as a new life: what was loaded before has to prove itself again."""
        if not self.view.up:
            log.info("triton_up", life=self.view.life + 1)
            self.message = "Triton has not passed the check of its backend yet"
            self._check_at = 0.0
            self._see(TritonView(life=self.view.life + 1, up=True))

    def _missed(self, error: TritonGoneError) -> None:
        self._misses += 1
        if self.view.up and (not error.hangs or self._misses >= MISSES):
            log.warning("triton_down", hangs=error.hangs)
            self.message = str(error)
            self._triton.give_up()
            self._see(TritonView(life=self.view.life, gone=not error.hangs))
        elif not self.view.up:
            self._see(replace(self.view, gone=not error.hangs))

    async def _judge(self) -> None:
        wrong = await self._check() if self._check else ""
        self._check_at = time.monotonic() + RECHECK_SECONDS
        if wrong:
            log.error("triton_not_usable", message=wrong)
        self.message = wrong
        self._see(replace(self.view, usable=not wrong))
        self._changed()

    def _see(self, view: TritonView) -> None:
        if view != self.view:
            self.view = view
            self._changed()
