"""Envoy refuses what RouteService let pass: the caller gets Envoy's reason, and everything is as it was.

No request that keeps our bounds is known to do that, so the control process runs inside the test, with a defect in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1 import route_pb2_grpc

from services.gateway import app
from services.gateway.envoy import models
from services.gateway.envoy.snapshot import ModelRoute
from tests.support.gateway import Platform, weighted

pytestmark = pytest.mark.anyio
POISON = "x-poison"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Consul and Envoy; nodes that nobody needs to reach."""
    made = Platform(tmp_path, nodes=())
    made.put("bmase/nodes/blue/info", {"name": "blue", "grpc": "127.0.0.1:1", "http": "127.0.0.1:1"})
    made.put("bmase/placements/m", {"revision": 1, "versions": {"1": ["blue"]}})
    made.put("bmase/placements/n", {"revision": 1, "versions": {"1": ["blue"]}})
    made.gateway.start_envoy()
    yield made
    made.gateway.envoy.stop()
    made.consul.stop()


@pytest.fixture
async def routes(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[route_pb2_grpc.RouteServiceStub]:
    """The control process of this gateway, in this process, making routes that Envoy does not take."""
    for name, value in platform.gateway.process._env.items():
        if name.startswith("BMASE_"):
            monkeypatch.setenv(name, value)
    sound = models._forward

    def poisoned(route: ModelRoute, *rest: Any) -> dict[str, Any]:
        made = sound(route, *rest)
        return {**made, "timeout": "999999999999999s"} if route.sticky_header == POISON else made

    monkeypatch.setattr(models, "_forward", poisoned)
    async with AsyncExitStack() as stack:
        await app.build(stack)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(platform.gateway.control))
        yield route_pb2_grpc.RouteServiceStub(channel)


def update(model: str, **more: Any) -> pb.UpdateRouteRequest:
    route = pb.Route(name=f"routes/{model}", versions=weighted({1: 1}), **more)
    return pb.UpdateRouteRequest(route=route, allow_missing=True)


async def test_a_refused_change_is_taken_back(platform: Platform, routes: route_pb2_grpc.RouteServiceStub) -> None:
    before = await routes.UpdateRoute(update("m"), timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await routes.UpdateRoute(update("m", sticky=pb.Sticky(header=POISON)), timeout=30)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "Duration" in refused.value.details() or "duration" in refused.value.details()
    assert "ROUTE_REJECTED" in str(refused.value.trailing_metadata())
    after = await routes.GetRoute(pb.GetRouteRequest(name="routes/m"), timeout=10)
    assert after.etag == before.etag
    stored = platform.get("bmase/routes/m")
    assert stored is not None
    assert "sticky" not in stored


async def test_a_refused_new_route_leaves_nothing(platform: Platform, routes: route_pb2_grpc.RouteServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await routes.UpdateRoute(update("m", sticky=pb.Sticky(header=POISON)), timeout=30)
    assert "ROUTE_REJECTED" in str(refused.value.trailing_metadata())
    assert platform.get("bmase/routes/m") is None
    # The others are not held up by it.
    assert (await routes.UpdateRoute(update("n"), timeout=20)).name == "routes/n"
    assert platform.gateway.stat("http.gateway.rds.models.update_rejected") >= 1
