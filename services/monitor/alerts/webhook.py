"""Alerts posted as JSON to a URL of the operator's: tried again for a while, and never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import structlog

log = structlog.get_logger(__name__)

QUEUED = 256
ATTEMPTS = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_TOO_MANY = 429


class Webhook:
    """`run()` sends what was offered, in order. The oldest event is dropped when too many wait.

    An event is sent again after an answer of 429 or 500 and above, and after none. Other answers than 2xx end it.
    """

    def __init__(self, url: str, timeout: float = 5.0, first_pause: float = FIRST_PAUSE, queued: int = QUEUED) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError("the URL of the alerts' webhook must begin with http:// or https:// and name a host")
        self.sent = self.failed = self.dropped = 0
        self._url = url
        self._host = urlsplit(url).hostname  # the rest of a URL may be a secret
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._first_pause = first_pause
        self._queue: deque[Mapping[str, object]] = deque()
        self._queued = queued
        self._news = asyncio.Event()

    def offer(self, event: Mapping[str, object]) -> None:
        """Takes an event; never blocks."""
        if len(self._queue) >= self._queued:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(event)
        self._news.set()

    async def run(self) -> None:
        """Sends until it is cancelled."""
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._queue:
                    await self._deliver(session, self._queue.popleft())

    async def _deliver(self, session: aiohttp.ClientSession, event: Mapping[str, object]) -> None:
        pause, trouble = self._first_pause, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            trouble, final = await self._post(session, event)
            if not trouble:
                self.sent += 1
                return
            if final:
                break
        self.failed += 1
        log.warning("monitor.webhook_failed", host=self._host, trouble=trouble, event_kind=event.get("event"))

    async def _post(self, session: aiohttp.ClientSession, event: Mapping[str, object]) -> tuple[str, bool]:
        """What went wrong, and whether trying again is of no use."""
        try:
            async with session.post(self._url, json=event, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__, False
        if 200 <= status < 300:
            return "", True
        return f"answered {status}", status < 500 and status != _TOO_MANY
