"""Answers of the other services as domain errors, for callers that go on without them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import grpc
from bmase.gateway.v1 import route_pb2
from bmase.gateway.v1.route_pb2_grpc import RouteServiceStub
from bmase.reasons import Reason

from services.kit.errors import DomainError, translated

CALL_SECONDS = 10.0
Answer = TypeVar("Answer")


async def answered(service: str, call: Awaitable[Answer]) -> Answer:
    """The answer; raises the other service's own error, or SERVICE_UNAVAILABLE when it does not answer."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise translated(error, service) from error


async def found(service: str, call: Awaitable[Answer], *missing: Reason) -> Answer | None:
    """As `answered`, and None for these reasons."""
    try:
        return await answered(service, call)
    except DomainError as error:
        if error.reason not in missing:
            raise
        return None


async def has_traffic(routes: RouteServiceStub, model: str) -> frozenset[int] | None:
    """Versions of the model that its route sends requests to; None: it has no route."""
    call = routes.GetRoute(route_pb2.GetRouteRequest(name=f"routes/{model}"), timeout=CALL_SECONDS)
    route = await found("gateway", call, Reason.ROUTE_NOT_FOUND)
    return None if route is None else frozenset(each.version for each in route.versions if each.weight)
