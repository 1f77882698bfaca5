"""RouteService and what it does to real traffic."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from bmase.gateway.v1 import route_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.gateway import Platform, ask, eventually, weighted


@pytest.fixture(autouse=True)
def _as_before(platform: Platform) -> Iterator[None]:
    yield
    platform.gateway.set_route("lin", {1: 90, 2: 10})


def split(client: triton_grpc.InferenceServerClient, requests_: int = 400, **options: Any) -> dict[int, float]:
    """The share of each version."""
    counted = Counter(ask(client, "lin", **options) for _ in range(requests_))
    return {version: count / requests_ for version, count in counted.items()}


def reason_of(error: grpc.RpcError) -> tuple[str, str]:
    """Status and reason of a refused call."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None, error
    assert any(detail.Unpack(info) for detail in status.details)
    return error.code().name, info.reason


def test_weights_are_what_happens(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    platform.gateway.set_weights("lin", {1: 70, 2: 30})
    assert abs(split(client, 1000)[2] - 0.3) < 0.07
    platform.gateway.set_weights("lin", {2: 1})
    assert split(client, 100) == {2: 1}
    platform.gateway.set_weights("lin", {1: 1, 2: 0})
    assert split(client, 100) == {1: 1}


def test_http_obeys_the_same_weights(platform: Platform) -> None:
    given = triton_http.InferInput("x", [1, 1], "FP32")
    given.set_data_from_numpy(np.ones((1, 1), np.float32))
    platform.gateway.set_weights("lin", {1: 50, 2: 50})
    with triton_http.InferenceServerClient(platform.gateway.address) as client:
        counted = Counter(int(client.infer("lin", [given]).as_numpy("version")[0, 0]) for _ in range(300))
        assert 90 < counted[1] < 210
        platform.gateway.set_weights("lin", {2: 1})
        assert {int(client.infer("lin", [given]).as_numpy("version")[0, 0]) for _ in range(50)} == {2}


def test_a_sticky_client_moves_only_when_it_must(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    def versions(second: int) -> dict[str, int]:
        platform.gateway.set_route("lin", {1: 100 - second, 2: second}, sticky=pb.Sticky(header="x-user"))
        return {user: ask(client, "lin", headers={"x-user": user}) for user in users}

    users = [f"user-{i}" for i in range(150)]
    before = versions(10)
    assert before == versions(10)
    assert 0 < sum(v == 2 for v in before.values()) < 50
    for second in (30, 60, 100):
        after = versions(second)
        assert all(after[user] == 2 for user in users if before[user] == 2)
        before = after
    assert set(before.values()) == {2}


def test_sticky_by_origin(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    platform.gateway.set_route("lin", {1: 50, 2: 50}, sticky=pb.Sticky(source_ip=True))
    assert len(split(client, 60)) == 1


def test_overrides_win_over_weights_and_a_named_version_over_overrides(
    platform: Platform, client: triton_grpc.InferenceServerClient
) -> None:
    overrides = [pb.Override(header="x-tester", value="yes", version=2), pb.Override(header="x-any", version=2)]
    platform.gateway.set_route("lin", {1: 1}, overrides=overrides)
    assert split(client, 50, headers={"x-tester": "yes"}) == {2: 1}
    assert split(client, 50, headers={"x-any": "whatever"}) == {2: 1}
    assert split(client, 50, headers={"x-tester": "no"}) == {1: 1}
    assert split(client, 50, headers={"x-tester": "yes"}, model_version="1") == {1: 1}


def test_a_mirror_gets_copies_and_nobody_sees_its_answers(
    platform: Platform, client: triton_grpc.InferenceServerClient
) -> None:
    def seen_by_green() -> int:
        with platform.nodes["green"].client() as green:
            return int(green.get_inference_statistics("lin").model_stats[0].inference_count)

    platform.gateway.set_route("lin", {1: 1}, mirror=pb.Mirror(version=2, percent=50))
    before = seen_by_green()
    assert split(client, 200) == {1: 1}
    eventually(lambda: seen_by_green() - before > 50, "copies arrive")
    assert seen_by_green() - before < 150


def test_a_timeout_ends_the_request_and_not_a_stream(
    platform: Platform, client: triton_grpc.InferenceServerClient
) -> None:
    platform.gateway.set_route("lin", {1: 1}, timeout=Duration(nanos=300_000_000))
    with pytest.raises(triton_grpc.InferenceServerException) as late:
        ask(client, "lin", value=-1.0)
    assert late.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    answers: list[Any] = []
    client.start_stream(lambda result, error: answers.append(error or result))
    tensor = triton_grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[-1.0]], np.float32))
    client.async_stream_infer("lin", [tensor])
    eventually(lambda: answers, "the stream's answer", timeout=5)
    client.stop_stream()
    assert answers[0].as_numpy("y")[0, 0] == -1


def test_rest_does_the_same(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    base = f"http://{platform.gateway.address}/api/v1"
    route = requests.get(f"{base}/routes/lin", timeout=10).json()
    assert [int(v["version"]) for v in route["versions"]] == [1, 2]
    body = {"versions": [{"version": 2, "weight": 1}]}
    changed = requests.post(f"{base}/routes/lin:setWeights", json=body, timeout=10)
    assert changed.status_code == 200, changed.text
    assert split(client, 50) == {2: 1}
    stale = requests.post(f"{base}/routes/lin:setWeights", json={**body, "etag": route["etag"]}, timeout=10)
    assert (stale.status_code, stale.json()["details"][0]["reason"]) == (409, "ETAG_MISMATCH")
    unknown = requests.get(f"{base}/routes/nobody", timeout=10)
    assert (unknown.status_code, unknown.json()["details"][0]["reason"]) == (404, "ROUTE_NOT_FOUND")
    broken = requests.post(f"{base}/routes/lin:setWeights", json={"versions": []}, timeout=10)
    assert broken.status_code == 400
    assert "versions" in broken.text


def test_what_cannot_be_is_refused(platform: Platform) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        platform.gateway.set_weights("lin", {9: 1})
    assert reason_of(refused.value) == ("FAILED_PRECONDITION", "VERSION_NOT_DEPLOYED")
    with pytest.raises(grpc.RpcError) as refused:
        platform.gateway.set_weights("lin", {1: 0})
    assert reason_of(refused.value) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    with pytest.raises(grpc.RpcError) as refused:
        platform.gateway.set_weights("nobody", {1: 1})
    assert refused.value.code().name in {"NOT_FOUND", "FAILED_PRECONDITION"}
    with pytest.raises(grpc.RpcError) as refused:
        platform.gateway.set_route("nobody", {1: 1})
    assert reason_of(refused.value)[1] == "VERSION_NOT_DEPLOYED"


def test_an_etag_guards_against_lost_updates(platform: Platform) -> None:
    with platform.gateway.routes() as stub:
        read = stub.GetRoute(pb.GetRouteRequest(name="routes/lin"), timeout=10)
        ok = pb.SetWeightsRequest(name="routes/lin", versions=weighted({1: 1, 2: 1}), etag=read.etag)
        assert stub.SetWeights(ok, timeout=10).etag != read.etag
        with pytest.raises(grpc.RpcError) as refused:
            stub.SetWeights(ok, timeout=10)
        assert reason_of(refused.value) == ("ABORTED", "ETAG_MISMATCH")


def test_routes_come_and_go(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    platform.place("brief", {4: ["green"]})
    platform.gateway.set_route("brief", {4: 1})
    assert ask(client, "brief") == 4
    with platform.gateway.routes() as stub:
        names = [r.name for r in stub.ListRoutes(pb.ListRoutesRequest(page_size=1000), timeout=10).routes]
        assert names == sorted(names)
        assert "routes/brief" in names
        first = stub.ListRoutes(pb.ListRoutesRequest(page_size=1), timeout=10)
        second = stub.ListRoutes(pb.ListRoutesRequest(page_size=1, page_token=first.next_page_token), timeout=10)
        assert [first.routes[0].name, second.routes[0].name] == names[:2]
        watch = stub.WatchRoutes(pb.WatchRoutesRequest(name="routes/brief"), timeout=20)
        assert next(watch).route.versions[0].version == 4
        stub.DeleteRoute(pb.DeleteRouteRequest(name="routes/brief"), timeout=10)
        assert next(watch).deleted
        watch.cancel()
    with pytest.raises(triton_grpc.InferenceServerException, match="has no route"):
        ask(client, "brief")
    assert ask(client, "brief", model_version="4") == 4


def test_a_withdrawn_placement_is_reported_as_applied(
    platform: Platform, client: triton_grpc.InferenceServerClient
) -> None:
    """What the patcher waits for before a node may unload."""
    platform.place("leaving", {1: ["blue"]})
    platform.gateway.set_route("leaving", {1: 1})
    assert ask(client, "leaving") == 1
    platform.place("leaving", {}, load=False)
    withdrawn = platform.get("bmase/placements/leaving")
    assert withdrawn is not None

    def applied() -> bool:
        report = platform.get("bmase/gateways/gw")
        return report is not None and report["placements_index"] >= withdrawn["_index"]

    eventually(applied, "the report", timeout=5)
    with pytest.raises(triton_grpc.InferenceServerException, match="none of its versions"):
        ask(client, "leaving")
    with urllib.request.urlopen(f"{platform.consul.url}/v1/kv/bmase/epoch?raw") as epoch:
        assert platform.get("bmase/gateways/gw")["epoch"] == epoch.read().decode()  # type: ignore[index]


def test_gateways_say_how_far_they_are(platform: Platform) -> None:
    with platform.gateway.routes(platform.gateway.address) as stub:

        def in_sync() -> bool:
            listed = stub.ListGateways(pb.ListGatewaysRequest(), timeout=10).gateways
            return [(g.name, g.address, g.in_sync) for g in listed] == [("gw", platform.gateway.address, True)]

        eventually(in_sync, "one gateway in sync")
        route = stub.GetRoute(pb.GetRouteRequest(name="routes/lin"), timeout=10)
        assert [(s.gateway, s.applied) for s in route.gateways] == [("gw", True)]
