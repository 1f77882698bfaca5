"""A release holds the route whose traffic it moves."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from bmase.gateway.v1 import route_pb2 as pb
from bmase.gateway.v1 import route_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.gateway import Platform, weighted

RELEASE = "releases/lin-2"


@pytest.fixture
def routes(platform: Platform) -> Iterator[route_pb2_grpc.RouteServiceStub]:
    """A route that is free before and after."""
    with platform.gateway.routes(platform.gateway.address) as stub:
        yield stub
        document = platform.get("bmase/routes/lin")
        if document and document.get("release"):
            latest = time.time_ns() // 1_000_000
            stub.SetWeights(weights(release=document["release"], fence=latest, end_release=True), timeout=20)
    platform.delete("bmase/routes/lin")
    platform.gateway.set_route("lin", {1: 90, 2: 10})


def weights(first: int = 90, second: int = 10, **more: object) -> pb.SetWeightsRequest:
    return pb.SetWeightsRequest(name="routes/lin", versions=weighted({1: first, 2: second}), **more)  # type: ignore[arg-type]


def reason(call: object, request: object) -> tuple[str, str, str]:
    """Status, reason and hint of the refusal."""
    with pytest.raises(grpc.RpcError) as refused:
        call(request, timeout=20)  # type: ignore[operator]
    status = rpc_status.from_call(refused.value)
    assert status is not None
    info, hint = error_details_pb2.ErrorInfo(), error_details_pb2.LocalizedMessage()
    assert any(detail.Unpack(info) for detail in status.details)
    any(detail.Unpack(hint) for detail in status.details)
    return refused.value.code().name, info.reason, hint.message


def test_only_the_release_moves_the_traffic(platform: Platform, routes: route_pb2_grpc.RouteServiceStub) -> None:
    taken = routes.SetWeights(weights(99, 1, release=RELEASE, fence=5), timeout=20)
    assert (taken.release, taken.etag != "") == (RELEASE, True)
    assert routes.GetRoute(pb.GetRouteRequest(name="routes/lin"), timeout=20).release == RELEASE
    update = pb.UpdateRouteRequest(route=pb.Route(name="routes/lin", versions=weighted({1: 1})))
    for call, request in (
        (routes.SetWeights, weights()),
        (routes.SetWeights, weights(release="releases/other", fence=9)),
        (routes.UpdateRoute, update),
        (routes.DeleteRoute, pb.DeleteRouteRequest(name="routes/lin")),
    ):
        code, why, hint = reason(call, request)
        assert (code, why) == ("FAILED_PRECONDITION", "RELEASE_ACTIVE")
        assert "bmase release rollback lin-2" in hint
    after = routes.GetRoute(pb.GetRouteRequest(name="routes/lin"), timeout=20)
    assert {v.version: v.weight for v in after.versions} == {1: 99, 2: 1}


def test_the_release_gives_it_back(routes: route_pb2_grpc.RouteServiceStub) -> None:
    routes.SetWeights(weights(50, 50, release=RELEASE, fence=5), timeout=20)
    free = routes.SetWeights(weights(0, 100, release=RELEASE, fence=5, end_release=True), timeout=20)
    assert free.release == ""
    assert routes.SetWeights(weights(), timeout=20).release == ""


def test_update_takes_and_gives_back_too(routes: route_pb2_grpc.RouteServiceStub) -> None:
    route = pb.Route(name="routes/lin", versions=weighted({1: 90, 2: 10}), sticky=pb.Sticky(header="x-user"))
    taken = routes.UpdateRoute(pb.UpdateRouteRequest(route=route, release=RELEASE, fence=5), timeout=20)
    assert taken.release == RELEASE
    given = pb.UpdateRouteRequest(route=route, release=RELEASE, fence=6, end_release=True)
    assert routes.UpdateRoute(given, timeout=20).release == ""


def test_a_leader_that_was_replaced_is_refused(routes: route_pb2_grpc.RouteServiceStub) -> None:
    routes.SetWeights(weights(50, 50, release=RELEASE, fence=7), timeout=20)
    code, why, _ = reason(routes.SetWeights, weights(0, 100, release=RELEASE, fence=6))
    assert (code, why) == ("UNAVAILABLE", "NOT_LEADER")
    assert routes.SetWeights(weights(40, 60, release=RELEASE, fence=8), timeout=20).release == RELEASE
    routes.SetWeights(weights(release=RELEASE, fence=8, end_release=True), timeout=20)
    _, why, _ = reason(routes.SetWeights, weights(release=RELEASE, fence=7))
    assert why == "NOT_LEADER", "also after the release has ended"


def test_a_lock_survives_the_control_process(platform: Platform, routes: route_pb2_grpc.RouteServiceStub) -> None:
    routes.SetWeights(weights(50, 50, release=RELEASE, fence=5), timeout=20)
    platform.gateway.process.kill()
    platform.gateway.start_control()
    with platform.gateway.routes() as direct:
        assert reason(direct.SetWeights, weights())[1] == "RELEASE_ACTIVE"
        direct.SetWeights(weights(release=RELEASE, fence=5, end_release=True), timeout=20)
