"""`grpc.health.v1.Health`, with any number of watchers.

The servicer of grpcio-health-checking forgets all watchers of a service as soon as one of them leaves; the clients of
a draining server would then never hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The server as a whole (empty name) and each of its services; all of them serve or none does."""

    def __init__(self) -> None:
        self._status: dict[str, int] = {"": HealthCheckResponse.NOT_SERVING}
        # Replaced at every change: whoever holds the old one is woken.
        self._news = asyncio.Event()

    def serving(self, services: Iterable[str]) -> None:
        """Everything serves."""
        self._set(dict.fromkeys(("", *services), HealthCheckResponse.SERVING))

    def not_serving(self) -> None:
        """Nothing serves any more."""
        self._set(dict.fromkeys(self._status, HealthCheckResponse.NOT_SERVING))

    def _set(self, status: dict[str, int]) -> None:
        self._status = status
        self._news.set()
        self._news = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802 - the protocol's name
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: N802
        last: int | None = None
        while True:
            news = self._news
            status = self._status.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield HealthCheckResponse(status=status)
            await news.wait()
