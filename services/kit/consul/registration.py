"""A service's entry in Consul, kept alive: written again whenever the agent does not know it any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consul import Check

from services.kit.consul.model import checked_name
from services.kit.consul.watch import Outage
from services.kit.errors import DomainError

if TYPE_CHECKING:
    from services.kit.consul.client import Consul

# Bounds how long a wiped agent goes without this service.
LOOK_SECONDS = 0.7
LEAVE_SECONDS = 2.0


def grpc_check(target: str, service: str = "", *, interval: str = "1s", tls: bool = False) -> dict[str, Any]:
    """Consul asks the gRPC health service at `target` for `service`; ten minutes critical drop the instance."""
    url = f"{target}/{service}" if service else target
    check: dict[str, Any] = Check.grpc(url, interval, timeout="1s", deregister="10m")
    # py-consul's own `use_tls` writes a key that Consul refuses. Consul asks only whether the service lives, so it need
    # not know our authority.
    return {**check, "GRPCUseTLS": True, "TLSSkipVerify": True} if tls else check


def http_check(url: str, *, interval: str = "1s") -> dict[str, Any]:
    return Check.http(url, interval, timeout="1s", deregister="10m")


def tcp_check(host: str, port: int, *, interval: str = "1s") -> dict[str, Any]:
    return Check.tcp(host, port, interval, timeout="1s", deregister="10m")


@dataclass
class Registration:
    """`async with Registration(...)` registers, keeps registered, and deregisters.

    Entering never waits for Consul: the service works without it and is registered as soon as it answers
    (`registered` tells when).
    """

    consul: Consul
    name: str
    id: str
    address: str
    port: int
    meta: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    check: Mapping[str, Any] | None = None
    registered: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def __aenter__(self) -> Registration:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        checked_name(self.name)
        checked_name(self.id)
        self._task = asyncio.create_task(self._keep(), name=f"registration {self.id}")

    async def stop(self) -> None:
        """Stops and leaves Consul; returns within two seconds even if Consul does not answer."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        self.registered.clear()
        agent = self.consul.transport.api.agent
        with contextlib.suppress(DomainError):
            await self.consul.transport.call(agent.service.deregister(self.id), LEAVE_SECONDS)

    async def _keep(self) -> None:
        outage = Outage(f"registration {self.id}")
        # What the agent may still hold under this id is of an earlier process, so the first thing is to overwrite it.
        known = False
        while True:
            try:
                known = known and await self._known()
                if not known:
                    await self._register(again=self.registered.is_set())
                    known = True
            except DomainError as error:
                await outage.failed(error)
                continue
            outage.over()
            self.registered.set()
            await asyncio.sleep(LOOK_SECONDS)

    async def _known(self) -> bool:
        transport = self.consul.transport
        return await transport.call(transport.api.agent.service_definition(self.id)) is not None

    async def _register(self, again: bool) -> None:
        # An agent that forgot a living service need not hide it until its first check has run.
        check = {**self.check, **({"status": "passing"} if again else {})} if self.check else None
        transport = self.consul.transport
        await transport.call(
            transport.api.agent.service.register(
                self.name,
                service_id=self.id,
                address=self.address,
                port=self.port,
                tags=list(self.tags),
                meta=dict(self.meta),
                check=check,
                replace_existing_checks=True,
            )
        )
