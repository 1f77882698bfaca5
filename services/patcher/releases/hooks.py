"""Webhooks: they are told of every change, and those that are gates are asked before each step.

A webhook that does not answer never stops a rollback, and never lets a step pass. Of its URL only the host is shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import structlog

from services.patcher.releases.observation import Answer
from services.patcher.releases.policy import Webhook
from services.patcher.releases.state import Event, Release

log = structlog.get_logger(__name__)

CONNECTIONS_PER_HOST = 8
TRIES = 3
PAUSE = 0.5
SHOWN = 200  # characters of an answer's body

_ANSWERS = {200: Answer.GO, 409: Answer.WAIT, 412: Answer.ROLLBACK}


class Hooks:
    """Posts JSON; follows no redirects, so that a URL means what the policy says."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A host that hangs holds up no other one, and nobody's cookies reach another release's calls.
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, release: Release, hook: Webhook, step: int) -> tuple[Answer, str]:
        """Whether the step may begin."""
        body = {**_about(release), "kind": "gate", "step": step, "percent": release.policy.steps[step].percent}
        try:
            status, text = await self._post(hook, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer.WAIT, f"it does not answer ({type(error).__name__})"
        answer = _ANSWERS.get(status, Answer.WAIT)
        return answer, text or f"it answered {status}"

    async def tell(self, release: Release, events: Sequence[Event]) -> None:
        """Each event to each webhook, in order; given up after some tries, and one each once an event was missed."""
        await asyncio.gather(*(self._tell(release, hook, events) for hook in release.policy.webhooks))

    async def _tell(self, release: Release, hook: Webhook, events: Sequence[Event]) -> None:
        tries = TRIES
        for event in events:
            if not await self._told(hook, {**_about(release), **_of(event)}, tries):
                tries = 1
                log.warning("webhook_missed", release=release.id, host=hook.host, number=event.number)

    async def _told(self, hook: Webhook, body: dict[str, Any], tries: int) -> bool:
        for attempt in range(tries):
            await asyncio.sleep(PAUSE * attempt)
            try:
                status, _ = await self._post(hook, body)
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
            if status < 500:
                return True
        return False

    async def _post(self, hook: Webhook, body: dict[str, Any]) -> tuple[int, str]:
        assert self._session is not None, "used outside its `async with`"
        timeout = aiohttp.ClientTimeout(total=hook.timeout)
        data, headers = json.dumps(body).encode(), {"content-type": "application/json"}
        async with self._session.post(
            hook.url, data=data, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            text = await answer.content.read(4 * SHOWN)
            return answer.status, _printable(text)


def _about(release: Release) -> dict[str, Any]:
    return {
        "release": release.name,
        "model": f"models/{release.model}",
        "stable": release.stable,
        "candidate": release.candidate,
        "state": release.phase.value,
    }


def _of(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind.value,
        "number": event.number,
        "time": event.time,
        "percent": event.percent,
        "reason": event.reason,
        "message": event.message,
        "actor": event.actor,
    }


def _printable(text: bytes) -> str:
    return "".join(c for c in text.decode(errors="replace") if c.isprintable()).strip()[:SHOWN]
