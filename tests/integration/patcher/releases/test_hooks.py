"""Webhooks over real HTTP: one that fails or hangs costs little, and none learns another one's cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.patcher.releases import hooks as hooks_module
from services.patcher.releases.hooks import Hooks
from services.patcher.releases.policy import Policy, Webhook
from services.patcher.releases.state import Event, Kind, Release
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio
EVENTS = [Event(Kind.STEP, "on", number=number) for number in (1, 2, 3)]


class Receiver:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.cookies: list[str] = []
        self.status = 200

    async def __call__(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("cookie", ""))
        return web.Response(status=self.status, headers={"set-cookie": "session=x"})


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, Release]]:
    served, port = Receiver(), free_port()
    application = web.Application()
    application.router.add_post("/x", served)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    policy = Policy(webhooks=(Webhook(url=f"http://localhost:{port}/x"),))
    yield served, Release("r1", "digits", 2, 1, policy)
    await runner.cleanup()


async def test_no_cookie_is_kept(receiver: tuple[Receiver, Release]) -> None:
    served, release = receiver
    async with Hooks() as hooks:
        await hooks.tell(release, EVENTS)
    assert served.cookies == ["", "", ""]


async def test_after_a_missed_event_the_others_are_tried_once(
    receiver: tuple[Receiver, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_module, "PAUSE", 0.0)
    served, release = receiver
    served.status = 503
    async with Hooks() as hooks:
        await hooks.tell(release, EVENTS)
    assert len(served.cookies) == 3 + 1 + 1
