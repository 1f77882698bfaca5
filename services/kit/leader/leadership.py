"""Contending for the lead: `async for lease in leadership` yields each time this process is the leader."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import structlog

from services.kit.consul import Consul, Entry, KvOp
from services.kit.consul.model import checked_name
from services.kit.consul.watch import Outage
from services.kit.errors import DomainError
from services.kit.leader.fencing import draw_fence
from services.kit.leader.lease import BEAT_SECONDS, DELAY_SECONDS, LeaderSession, Lease

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5


async def _no_floor() -> int:
    return 0


class Leadership:
    """The place of the leader called `name`.

        async with Leadership(consul, "patcher", floor=highest_fence_in_the_database) as leadership:
            async for lease in leadership:
                await lease.run(lead(lease.fence))

    Coming to the end of the loop's body gives the lead away and contends again; leaving the `async with` gives it away
    at once, so a successor leads within a second. `floor` tells the highest fence that the caller ever stored.
    """

    def __init__(
        self, consul: Consul, name: str, *, holder: str = "", floor: Callable[[], Awaitable[int]] = _no_floor
    ) -> None:
        self._consul = consul
        self._name = checked_name(name)
        self._holder = checked_name(holder or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
        self._floor = floor
        self._key = f"bmase/leaders/{name}"
        self._fence_key = f"bmase/fences/{name}"
        self._outage = Outage(f"leadership {name}")
        self._leases: AsyncGenerator[Lease, None] | None = None
        # The epoch in which somebody else was seen to lead, as long as nobody was seen to stop.
        self._led_epoch = ""

    async def __aenter__(self) -> Leadership:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._leases is not None:
            await self._leases.aclose()
            self._leases = None

    def __aiter__(self) -> AsyncIterator[Lease]:
        self._leases = self._contend()
        return self._leases

    async def _contend(self) -> AsyncGenerator[Lease, None]:
        while True:
            try:
                await self._vacant()
                session = LeaderSession(self._consul, self._name, self._holder)
                async with contextlib.AsyncExitStack() as stack:
                    stack.push_async_callback(session.close)
                    lease = await self._acquire(session)
                    if lease is None:
                        continue
                    self._outage.over()
                    stack.push_async_callback(self._unlock, session)
                    keeping = asyncio.create_task(self._keep(lease, session), name=f"lease {self._name}")
                    stack.push_async_callback(_cancelled, keeping)
                    stack.callback(self._ended, lease)
                    log.info("leading", name=self._name, fence=lease.fence)
                    yield lease
            except DomainError as error:
                await self._outage.failed(error)

    async def _vacant(self) -> None:
        """Returns when nobody holds the lock; if the store was wiped under a leader, after it had time to see that."""
        listings = self._consul.watch(self._key)
        async with contextlib.aclosing(listings):  # type: ignore[type-var]
            async for listing in listings:
                entry = listing.entries.get(self._key)
                if _held(entry):
                    self._led_epoch = listing.epoch
                    continue
                if self._led_epoch not in {"", listing.epoch}:
                    await asyncio.sleep(DELAY_SECONDS)
                self._led_epoch = ""
                return

    async def _acquire(self, session: LeaderSession) -> Lease | None:
        """The lease, or None when somebody else was faster. Consul's lock delay is waited out here."""
        await session.open()
        while True:
            asked_at = time.monotonic()
            if await self._consul.kv.txn([KvOp("lock", self._key, {"holder": self._holder}, session=session.id)]):
                return await self._lease(asked_at)
            if _held(await self._consul.kv.get(self._key)) or not await session.beat():
                return None
            await asyncio.sleep(RETRY_SECONDS)

    async def _lease(self, asked_at: float) -> Lease:
        fence = await draw_fence(self._consul.kv, self._fence_key, await self._floor())
        lease = Lease(fence)
        lease.confirm(asked_at)
        return lease

    async def _keep(self, lease: Lease, session: LeaderSession) -> None:
        """Sets `lost` as soon as the lease is known to be lost or can no longer be known to be held."""
        tasks = [asyncio.create_task(self._beat(lease, session)), asyncio.create_task(self._watch_lock(lease, session))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lease.lost.set()
            for task in tasks:
                await _cancelled(task)

    def _ended(self, lease: Lease) -> None:
        lease.lost.set()
        log.info("not_leading", name=self._name, fence=lease.fence)

    async def _beat(self, lease: Lease, session: LeaderSession) -> None:
        while lease.valid:
            asked_at = time.monotonic()
            try:
                if not await session.beat():
                    break
                lease.confirm(asked_at)
            except DomainError as error:
                log.warning("lease_unconfirmed", name=self._name, error=str(error))
            await asyncio.sleep(max(0.2, BEAT_SECONDS - (time.monotonic() - asked_at)))

    async def _watch_lock(self, lease: Lease, session: LeaderSession) -> None:
        async for listing in self._consul.watch(self._key):
            entry = listing.entries.get(self._key)
            if entry is None or entry.session != session.id:
                break

    async def _unlock(self, session: LeaderSession) -> None:
        # A lock that is given back is free at once; one whose session ends stays closed for the lock delay.
        with contextlib.suppress(DomainError):
            await self._consul.kv.txn([KvOp("unlock", self._key, {"holder": ""}, session=session.id)])


def _held(entry: Entry | None) -> bool:
    return entry is not None and bool(entry.session)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
