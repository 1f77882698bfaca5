"""The way into Consul for every service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from services.kit.config import ServiceSettings
from services.kit.consul.kv import Kv
from services.kit.consul.model import Instance, Listing
from services.kit.consul.transport import Transport
from services.kit.consul.watch import EpochWatch, watch_instances, watch_prefix


class Consul:
    """One connection pool to the local Consul agent. Create it inside the running event loop; close it last.

    `kv` calls raise COORDINATION_UNAVAILABLE within five seconds when Consul cannot answer; watches wait instead.
    """

    def __init__(
        self, url: str, token: str = "", *, ca: Path | None = None, cert: tuple[Path, Path] | None = None
    ) -> None:
        self.transport = Transport(url, token, ca, cert)
        self.kv = Kv(self.transport)
        self._epochs = EpochWatch(self.kv)

    @classmethod
    def of(cls, settings: ServiceSettings) -> Consul:
        """The connection that a program's settings ask for."""
        token = settings.consul_token.get_secret_value() if settings.consul_token else ""
        return cls(settings.consul_url, token, ca=settings.consul_ca)

    async def __aenter__(self) -> Consul:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.transport.close()

    def watch(self, prefix: str) -> AsyncIterator[Listing]:
        """The listing now and after every change; see `watch.watch_prefix`."""
        return watch_prefix(self.kv, self._epochs, prefix)

    def watch_service(self, name: str) -> AsyncIterator[list[Instance]]:
        """The passing instances now and after every change; see `watch.watch_instances`."""
        return watch_instances(self.kv, self._epochs, name)
