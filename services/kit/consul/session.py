"""A Consul session that is renewed, replaced when lost, and carries keys that live and die with this process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from consul.exceptions import NotFound

from services.kit.consul.model import KvOp, Value, checked_key, checked_name, encode
from services.kit.consul.watch import Outage
from services.kit.errors import DomainError

if TYPE_CHECKING:
    from services.kit.consul.client import Consul

log = structlog.get_logger(__name__)

# Consul's smallest; it ends a session that is not renewed only after twice that time.
TTL_SECONDS = 10
# Bounds how long keys are missing from a store that was wiped.
RENEW_SECONDS = 1.5
LEAVE_SECONDS = 2.0
# How long `put` and `delete` wait for the answer of a Consul that may be away.
PATIENCE_SECONDS = 2.0


class Session:
    """Keys bound to the life of this process.

    `name` must be unique among living processes and the same after a restart (the instance's name): a successor takes
    over the keys of a predecessor that died, at once and without the keys vanishing in between.
    The keys are deleted when this process leaves or stays silent for about twenty seconds.
    """

    def __init__(self, consul: Consul, name: str) -> None:
        self._consul = consul
        self._name = checked_name(name)
        self._id = ""
        self._wanted: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}
        self._wake = asyncio.Event()
        self._turn = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The present session, empty while there is none."""
        return self._id

    async def __aenter__(self) -> Session:
        self._task = asyncio.create_task(self._keep(), name=f"session {self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def put(self, key: str, value: Value) -> bool:
        """Wants `key` to hold `value`. True: it does. False: Consul is away, the value is written when it is back."""
        self._wanted[checked_key(key)] = encode(key, value)
        return await self._done(key)

    async def delete(self, key: str) -> bool:
        """No longer wants `key`. True: it is gone. False: it is deleted when Consul is back."""
        self._wanted.pop(key, None)
        return await self._done(key)

    async def stop(self) -> None:
        """Ends the session, which deletes its keys; returns within two seconds even if Consul does not answer."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if self._id:
            transport = self._consul.transport
            with contextlib.suppress(DomainError):
                await transport.call(transport.api.session.destroy(self._id), LEAVE_SECONDS)
        self._id = ""
        self._written.clear()

    async def _done(self, key: str) -> bool:
        """Wakes the one task that writes and waits for it, but not for Consul."""
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._written.get(key) != self._wanted.get(key):
                    await self._turn.wait()
        return self._written.get(key) == self._wanted.get(key)

    async def _keep(self) -> None:
        outage = Outage(f"session {self._name}")
        while True:
            self._wake.clear()
            try:
                await self._renew_or_create()
                await self._write()
            except DomainError as error:
                await outage.failed(error)
                continue
            outage.over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._wake.wait()

    async def _renew_or_create(self) -> None:
        transport = self._consul.transport
        if self._id and await self._renewed():
            return
        self._written.clear()
        self._id = await transport.call(
            # Checks are left out: a node that gossip loses for a moment must not take its keys with it.
            transport.api.session.create(name=self._name, checks=[], lock_delay=0, behavior="delete", ttl=TTL_SECONDS)
        )

    async def _renewed(self) -> bool:
        transport = self._consul.transport

        async def renew() -> bool:
            try:
                await transport.api.session.renew(self._id)
            except NotFound:
                return False
            return True

        return bool(await transport.call(renew()))

    async def _write(self) -> None:
        for key in self._written.keys() - self._wanted.keys():
            await self._consul.kv.delete(key)
            del self._written[key]
            self._tell()
        for key, value in list(self._wanted.items()):
            if self._written.get(key) != value and await self._acquire(key, value):
                self._written[key] = value
                self._tell()

    def _tell(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()

    async def _acquire(self, key: str, value: bytes) -> bool:
        lock = KvOp("lock", key, value, session=self._id)
        if await self._consul.kv.txn([lock]):
            return True
        entry = await self._consul.kv.get(key)
        if entry is None or not entry.session:
            return False
        if await self._name_of(entry.session) != self._name:
            log.warning("session_key_held", key=key, holder=await self._name_of(entry.session))
            return False
        # Our predecessor's: handed over in one transaction.
        return await self._consul.kv.txn([KvOp("unlock", key, value, session=entry.session), lock])

    async def _name_of(self, session: str) -> str:
        transport = self._consul.transport
        _, info = await transport.call(transport.api.session.info(session, consistency="consistent"))
        return info["Name"] if info else ""
