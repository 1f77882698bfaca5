"""The instances of one service as one gRPC channel that is replaced when they change."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
from collections.abc import Callable, Iterable

import grpc
import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul, Instance
from services.kit.errors import STATUS_DETAILS_KEY, DomainError, code_of, to_status

log = structlog.get_logger(__name__)

Dial = Callable[[str], grpc.aio.Channel]

# How long the first calls of a process wait for Consul's first answer.
FIRST_ANSWER_SECONDS = 5.0


class Endpoint:
    """Follows the instances of a service; `current` is the channel for the next call.

    A channel that was replaced is closed when its last call has ended: a watch or an upload on an instance that is
    still there must not be cut because another instance came or went.
    """

    def __init__(self, name: str, consul: Consul, dial: Dial) -> None:
        self.name = name
        self._consul = consul
        self._dial = dial
        self._targets: tuple[str, ...] = ()
        self._channel: grpc.aio.Channel | None = None
        self._known = asyncio.Event()
        self._retired: set[asyncio.Task[None]] = set()
        self._watch = asyncio.create_task(self._follow(), name=f"instances of {name}")

    @property
    def loopback(self) -> bool:
        """Whether every known instance is on this machine."""
        return all(ipaddress.ip_address(_host(target)).is_loopback for target in self._targets)

    @property
    def present(self) -> grpc.aio.Channel | None:
        """The channel as far as instances are known."""
        return self._channel

    async def current(self, timeout: float | None) -> grpc.aio.Channel:
        """The channel to use now; waits for the first answer of Consul only, then raises UNAVAILABLE."""
        if self._channel is None:
            limit = FIRST_ANSWER_SECONDS if timeout is None else min(timeout, FIRST_ANSWER_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._known.wait()
        if self._channel is None:
            raise _unavailable(self.name)
        return self._channel

    async def close(self) -> None:
        """Cancels the calls that are still running."""
        tasks = [self._watch, *self._retired]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _follow(self) -> None:
        async for instances in self._consul.watch_service(self.name):
            targets = await resolve(instances)
            if targets and targets != self._targets:
                self._use(targets)

    def _use(self, targets: tuple[str, ...]) -> None:
        log.info("client.instances", service=self.name, targets=targets)
        old, self._channel, self._targets = self._channel, self._dial(uri(targets)), targets
        self._known.set()
        if old is not None:
            task = asyncio.create_task(_retire(old))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


async def _retire(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(grace=math.inf)
    except asyncio.CancelledError:
        await channel.close()
        raise


def uri(targets: Iterable[str]) -> str:
    """Addresses of one family as a target for gRPC: `ipv4:10.0.0.1:1,10.0.0.2:2`."""
    listed = tuple(targets)
    family = "ipv6" if listed[0].startswith("[") else "ipv4"
    return f"{family}:{','.join(listed)}"


async def resolve(instances: Iterable[Instance]) -> tuple[str, ...]:
    """The instances as sorted `ip:port` of one family; gRPC takes no list of host names. Unknown names are left out."""
    found = await asyncio.gather(*(_address(instance) for instance in instances))
    v4 = sorted({target for target in found if target and not target.startswith("[")})
    v6 = sorted({target for target in found if target.startswith("[")})
    return tuple(v4 or v6)


async def _address(instance: Instance) -> str:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(instance.address, instance.port, type=socket.SOCK_STREAM)
    except OSError as error:
        log.warning("client.unknown_host", instance=instance.id, host=instance.address, error=str(error))
        return ""
    host = str(min(infos, key=lambda info: info[0] != socket.AF_INET)[4][0])
    return f"[{host}]:{instance.port}" if ":" in host else f"{host}:{instance.port}"


def _host(target: str) -> str:
    return target.rpartition(":")[0].strip("[]")


def _unavailable(name: str) -> grpc.aio.AioRpcError:
    error = DomainError(
        Reason.SERVICE_UNAVAILABLE,
        f"Consul knows no healthy instance of the service {name!r}",
        hint="see `bmase status`; the service or Consul may still be starting",
    )
    trailing = grpc.aio.Metadata((STATUS_DETAILS_KEY, to_status(error).SerializeToString()))
    return grpc.aio.AioRpcError(code_of(error), grpc.aio.Metadata(), trailing, error.message)
