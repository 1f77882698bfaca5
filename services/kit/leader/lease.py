"""The time in which a process leads, and the Consul session that stands for it.

How long a dead leader's place stays empty: its check turns critical after CHECK_SECONDS, which ends the session and
frees the lock, and Consul grants the lock to nobody for another DELAY_SECONDS: about 11 s. A leader that cannot reach
Consul takes itself for lost after LEASE_SECONDS, before anybody else can lead.
(A session's own TTL would take twice its smallest value, 20 s; it remains for the loss of the whole Consul agent.)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from consul import Check
from consul.exceptions import NotFound

from services.kit.consul import Consul
from services.kit.consul.session import TTL_SECONDS
from services.kit.errors import DomainError

CHECK_SECONDS = 6
DELAY_SECONDS = 5
LEASE_SECONDS = 8.0
BEAT_SECONDS = 1.5
assert BEAT_SECONDS < CHECK_SECONDS < LEASE_SECONDS < CHECK_SECONDS + DELAY_SECONDS


class Lease:
    """Leadership until `lost` is set. `fence` goes into every write made under it (`fenced_put`)."""

    def __init__(self, fence: int) -> None:
        self.fence = fence
        self.lost = asyncio.Event()
        self._confirmed = time.monotonic()

    @property
    def valid(self) -> bool:
        """True while Consul confirmed the lease recently; right even in a process that was suspended a moment ago."""
        return not self.lost.is_set() and time.monotonic() - self._confirmed < LEASE_SECONDS

    def confirm(self, asked_at: float) -> None:
        """Consul answered what was asked at `asked_at`: the lease counts from the question, not from the answer."""
        self._confirmed = max(self._confirmed, asked_at)

    async def run(self, work: Coroutine[Any, Any, None]) -> bool:
        """Runs `work` and cancels it when the lease is lost. True if it ended by itself; its exception is raised."""
        task = asyncio.create_task(work)
        lost = asyncio.create_task(self.lost.wait())
        try:
            await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
                return True
            return False
        finally:
            for each in (task, lost):
                each.cancel()
            await asyncio.gather(task, lost, return_exceptions=True)


class LeaderSession:
    """A session bound to a heartbeat: a check with a TTL at the local agent."""

    def __init__(self, consul: Consul, name: str, holder: str) -> None:
        self._consul = consul
        self._name = name
        self._check = f"bmase-leader-{name}-{holder}"
        self.id = ""

    async def open(self) -> None:
        """Registers the check and makes the session that depends on it."""
        api, call = self._consul.transport.api, self._consul.transport.call
        await self._clear()
        check = {**Check.ttl(f"{CHECK_SECONDS}s"), "status": "passing"}
        await call(api.agent.check.register(f"leader {self._name}", check=check, check_id=self._check))
        self.id = await call(
            api.session.create(
                name=self._check, checks=[self._check], lock_delay=DELAY_SECONDS, behavior="release", ttl=TTL_SECONDS
            )
        )

    async def _clear(self) -> None:
        """Removes the checks of killed holders, which the agent would keep for ever."""
        api, call = self._consul.transport.api, self._consul.transport.call
        checks = await call(api.agent.checks())
        for check, about in (checks or {}).items():
            if check.startswith(f"bmase-leader-{self._name}-") and about["Status"] == "critical":
                await call(api.agent.check.deregister(check))

    async def beat(self) -> bool:
        """Keeps the session; False if Consul does not know it any more."""
        api, call = self._consul.transport.api, self._consul.transport.call

        async def renew() -> bool:
            try:
                await api.session.renew(self.id)
            except NotFound:
                return False
            return True

        await call(api.agent.check.ttl_pass(self._check), LEASE_SECONDS / 4)
        return bool(await call(renew(), LEASE_SECONDS / 4))

    async def close(self) -> None:
        """Ends the session as far as Consul can be reached."""
        api, call = self._consul.transport.api, self._consul.transport.call
        session, self.id = self.id, ""
        for request in ([api.session.destroy(session)] if session else []) + [api.agent.check.deregister(self._check)]:
            with contextlib.suppress(DomainError):
                await call(request, 1.0)
