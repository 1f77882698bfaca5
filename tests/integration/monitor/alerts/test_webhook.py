"""Alerts posted to a server that answers well, badly, late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.monitor.alerts import Alerts, Finding, Scope, Webhook
from services.monitor.alerts.webhook import ATTEMPTS
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio

FOUND = {Scope("digits", 3, "drift"): [Finding("input/image", "moved", 0.6)]}


class Receiver:
    """Answers with what it is told to, one after the other, and the last one for ever."""

    def __init__(self, *answers: int | float) -> None:
        self.got: list[dict[str, Any]] = []
        self._answers = list(answers)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = 200
        return web.Response(status=answer)


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/hook", receiver.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(webhook: Webhook) -> AsyncIterator[Webhook]:
    task = asyncio.create_task(webhook.run())
    try:
        yield webhook
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_opens_and_ends_is_posted(tmp_path: Path) -> None:
    receiver = Receiver(204)
    async with listening(receiver) as url, running(Webhook(url)) as webhook:
        alerts = Alerts(tmp_path, webhook)
        alerts.apply(FOUND, 10.0)
        alerts.acknowledge("alerts/1", "amira", 11.0)
        alerts.apply({Scope("digits", 3, "drift"): [Finding("input/image", "moved on", 0.7)]}, 30.0)
        alerts.apply({Scope("digits", 3, "drift"): []}, 40.0)
        await until(lambda: webhook.sent == 4)
    assert [item["event"] for item in receiver.got] == ["opened", "acknowledged", "changed", "resolved"]
    assert receiver.got[0]["alert"]["name"] == "alerts/1"
    assert receiver.got[0]["alert"]["feature"] == "input/image"


async def test_a_server_that_fails_is_tried_again() -> None:
    receiver = Receiver(503, 429, 200)
    async with listening(receiver) as url, running(Webhook(url, first_pause=0.01)) as webhook:
        webhook.offer({"event": "opened"})
        await until(lambda: webhook.sent == 1)
    assert len(receiver.got) == 3


async def test_a_server_that_refuses_is_not_asked_again() -> None:
    receiver = Receiver(400, 200)
    async with listening(receiver) as url, running(Webhook(url, first_pause=0.01)) as webhook:
        webhook.offer({"event": "opened"})
        webhook.offer({"event": "resolved"})
        await until(lambda: webhook.sent == 1)
    assert webhook.failed == 1
    assert [item["event"] for item in receiver.got] == ["opened", "resolved"]


async def test_a_server_that_hangs_is_given_up() -> None:
    receiver = Receiver(30.0, 200)
    async with listening(receiver) as url, running(Webhook(url, timeout=0.2, first_pause=0.01)) as webhook:
        webhook.offer({"event": "opened"})
        await until(lambda: webhook.sent == 1)
    assert len(receiver.got) == 2


async def test_no_server_at_all_costs_the_event_and_nothing_else() -> None:
    async with running(Webhook(f"http://127.0.0.1:{free_port()}/hook", first_pause=0.001)) as webhook:
        webhook.offer({"event": "opened"})
        await until(lambda: webhook.failed == 1)
    assert webhook.sent == 0


async def test_redirects_are_not_followed() -> None:
    receiver = Receiver(307)
    async with listening(receiver) as url, running(Webhook(url, first_pause=0.001)) as webhook:
        webhook.offer({"event": "opened"})
        await until(lambda: webhook.failed == 1)
    assert len(receiver.got) == 1


async def test_the_oldest_is_dropped_when_too_many_wait() -> None:
    receiver = Receiver(200)
    async with listening(receiver) as url:
        webhook = Webhook(url, queued=3)
        for index in range(5):
            webhook.offer({"event": str(index)})
        async with running(webhook):
            await until(lambda: webhook.sent == 3)
    assert webhook.dropped == 2
    assert [item["event"] for item in receiver.got] == ["2", "3", "4"]


async def test_attempts_are_bounded() -> None:
    receiver = Receiver(500)
    async with listening(receiver) as url, running(Webhook(url, first_pause=0.001)) as webhook:
        webhook.offer({"event": "opened"})
        await until(lambda: webhook.failed == 1)
    assert len(receiver.got) == ATTEMPTS


@pytest.mark.parametrize("url", ["", "ftp://host/x", "http://", "alerts"])
async def test_a_wrong_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Webhook(url)
