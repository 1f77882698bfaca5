from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable

import grpc
import pytest
from bmase.gateway.v1 import route_pb2
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2

from services.kit.errors import from_rpc_error
from tests.integration.patcher.bench import NodeBench, eventually
from tests.integration.patcher.platform import Gateway, Platform
from tests.support import onnx_models

pytestmark = pytest.mark.anyio
D = pb.Deployment


async def refused(call: Awaitable[object], reason: Reason, code: grpc.StatusCode) -> str:
    """The call is refused so; returns the words."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    assert error is not None, caught.value
    assert (error.reason, caught.value.code()) == (reason, code)
    return error.message


@pytest.fixture(autouse=True)
async def empty(platform: Platform, nodes: dict[str, NodeBench]) -> None:
    """Nothing is deployed, and everything runs."""
    for node in nodes.values():
        if not node.agent.alive:
            node.agent.start()
    await platform.clear()


async def test_from_the_registry_to_an_answer_and_out_again(
    platform: Platform, gateway: Gateway, nodes: dict[str, NodeBench]
) -> None:
    gateway.given.clear()
    one, two = await platform.push_affine("digits", 2), await platform.push_affine("digits", 3)
    began = time.monotonic()
    made = await platform.deploy("digits", one)
    assert made.state in (D.STATE_PENDING, D.STATE_DEPLOYING)
    ready = await platform.reaches("digits", one, D.STATE_READY)
    print(f"deployed in {time.monotonic() - began:.1f} s")
    [placement] = ready.placements
    assert (placement.state, ready.ready_replicas) == (pb.Placement.STATE_READY, 1)
    assert await nodes[placement.node].answer("digits", one) == [2.0] * 4

    await platform.deploy("digits", "latest")
    later = await platform.reaches("digits", two, D.STATE_READY)
    assert later.placements[0].node != placement.node
    assert await platform.placed("digits") == {str(one): (placement.node,), str(two): (later.placements[0].node,)}
    assert gateway.given == [("digits", {one: 100})], "only the first deployment is given the traffic"

    words = await refused(
        platform.undeploy("digits", one), Reason.VERSION_IN_ROUTE, grpc.StatusCode.FAILED_PRECONDITION
    )
    assert words == f"the route of digits sends requests to version {one}"

    began = time.monotonic()
    await platform.undeploy("digits", two)
    await platform.reaches("digits", two, D.STATE_GONE)
    print(f"undeployed in {time.monotonic() - began:.1f} s")
    assert await platform.placed("digits") == {str(one): (placement.node,)}
    assert not await _holds(platform, "digits", two)
    assert await _holds(platform, "digits", one) == [f"models/digits/deployments/{one}"]
    await platform.undeploy("digits", one, force=True)
    await platform.reaches("digits", one, D.STATE_GONE)
    assert await platform.placed("digits") == {}
    assert await platform.consul.kv.get("bmase/routes/digits") is None, "force takes the route with it"


async def _holds(platform: Platform, model: str, number: int) -> list[str]:
    name = f"models/{model}/versions/{number}"
    version = await platform.versions.GetVersion(registry_pb2.GetVersionRequest(name=name))
    return [hold.holder for hold in version.holds]


async def test_a_third_version_waits_for_a_seat(platform: Platform) -> None:
    versions = [await platform.push_affine("crowd", factor) for factor in (1, 2, 3)]
    for number in versions[:2]:
        await platform.deploy("crowd", number)
        await platform.reaches("crowd", number, D.STATE_READY)
    await platform.deploy("crowd", versions[2])

    async def explained() -> pb.Deployment | None:
        told = await platform.get("crowd", versions[2])
        return told if told.reason else None

    told = await eventually(explained, "a reason")
    assert (told.state, told.reason) == (D.STATE_PENDING, Reason.NO_CAPACITY)
    assert "2 running another version of the model; undeploy another version of the model" in told.message
    await platform.undeploy("crowd", versions[1])
    told = await platform.reaches("crowd", versions[2], D.STATE_READY)
    assert (told.reason, told.message) == ("", "")


async def test_scales_up_and_down(platform: Platform, nodes: dict[str, NodeBench]) -> None:
    number = await platform.push_affine("wide", 2)
    await platform.deploy("wide", number, replicas=2)
    told = await platform.reaches("wide", number, D.STATE_READY)
    assert {p.node for p in told.placements} == {"blue", "green"}
    await platform.scale("wide", number, 1)

    async def one_left() -> str | None:
        told = await platform.get("wide", number)
        return told.placements[0].node if len(told.placements) == 1 else None

    left = await eventually(one_left, "one replica")
    assert await platform.placed("wide") == {str(number): (left,)}
    assert await nodes[left].answer("wide") == [2.0] * 4
    await platform.scale("wide", number, 2)
    await platform.reaches("wide", number, D.STATE_READY)


async def test_waits_for_a_gateway_that_has_not_heard(
    platform: Platform, gateway: Gateway, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("calm", 2)
    await platform.deploy("calm", number, no_route=True)
    told = await platform.reaches("calm", number, D.STATE_READY)
    node = nodes[told.placements[0].node]
    gateway.deaf = True
    try:
        await platform.undeploy("calm", number)
        await asyncio.sleep(2)
        told = await platform.get("calm", number)
        assert told.placements[0].message == "waiting until the gateways have turned away: gw1"
        assert await node.answer("calm") == [2.0] * 4, "unloaded although a gateway still sends requests"
    finally:
        gateway.deaf = False
    await platform.reaches("calm", number, D.STATE_GONE)


async def test_weights_that_come_while_it_leaves_keep_it(
    platform: Platform, gateway: Gateway, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("needed", 2)
    await platform.deploy("needed", number, no_route=True)
    told = await platform.reaches("needed", number, D.STATE_READY)
    gateway.deaf = True
    try:
        await platform.undeploy("needed", number)

        async def withdrawn() -> bool:
            return not await platform.placed("needed")

        await eventually(withdrawn, "out of the placements")
        weighted = route_pb2.WeightedVersion(version=number, weight=100)
        route = route_pb2.Route(name="routes/needed", versions=[weighted])
        await gateway.UpdateRoute(route_pb2.UpdateRouteRequest(route=route), None)
    finally:
        gateway.deaf = False
    kept = await platform.reaches("needed", number, D.STATE_READY)
    assert (kept.reason, kept.ready_replicas) == (Reason.VERSION_IN_ROUTE, 1)
    assert kept.message == "the route of needed sends requests to it; it stays deployed"
    assert await platform.placed("needed") == {str(number): (told.placements[0].node,)}
    assert await nodes[told.placements[0].node].answer("needed") == [2.0] * 4


async def test_a_route_that_a_person_removed_is_not_made_again(platform: Platform, gateway: Gateway) -> None:
    number = await platform.push_affine("alone", 2)
    await platform.deploy("alone", number)
    await platform.reaches("alone", number, D.STATE_READY)

    async def routed() -> bool:
        return await platform.consul.kv.get("bmase/routes/alone") is not None

    await eventually(routed, "a route")
    await platform.consul.kv.delete("bmase/routes/alone")
    await platform.scale("alone", number, 2)
    await platform.reaches("alone", number, D.STATE_READY)
    await asyncio.sleep(1.5)
    assert not await routed()


async def test_the_reason_of_a_failure_reaches_the_caller(platform: Platform) -> None:
    wrong = onnx_models.affine(float("inf"), float("-inf")).SerializeToString()
    number = await platform.push("broken", wrong)
    await platform.deploy("broken", number)
    told = await platform.reaches("broken", number, D.STATE_FAILED)
    assert told.reason == Reason.WARMUP_FAILED
    assert "not finite" in told.message
    assert re.match(r"(blue|green): ", told.message)
    assert await platform.placed("broken") == {}
    assert await platform.consul.kv.get("bmase/routes/broken") is None
    await platform.undeploy("broken", number)
    await platform.reaches("broken", number, D.STATE_GONE)


async def test_repeated_and_reused_requests(platform: Platform) -> None:
    number = await platform.push_affine("again", 2)
    first = await platform.deploy("again", number, request_id="r-1")
    second = await platform.deploy("again", number, request_id="r-1")
    assert (first.name, first.create_time) == (second.name, second.create_time)
    exists, failed = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode
    await refused(platform.deploy("again", number), Reason.DEPLOYMENT_EXISTS, exists)
    await refused(
        platform.deploy("again", number, request_id="r-1", replicas=2), Reason.REQUEST_REUSED, failed.ALREADY_EXISTS
    )


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("models/nobody/deployments/1", {}, Reason.MODEL_NOT_FOUND),
        ("models/digits/deployments/999", {}, Reason.VERSION_NOT_FOUND),
        ("models/digits/deployments/0", {}, Reason.INVALID_FIELD),
        ("models/../deployments/1", {}, Reason.INVALID_FIELD),
        ("models/a/b/deployments/1", {}, Reason.INVALID_FIELD),
        (f"models/{'x' * 10_000}/deployments/1", {}, Reason.INVALID_FIELD),
        ("models/digits/deployments/1", {"replicas": -1}, Reason.INVALID_FIELD),
        ("models/digits/deployments/1", {"replicas": 101}, Reason.INVALID_FIELD),
        ("models/digits/deployments/1", {"pool": "../x"}, Reason.INVALID_FIELD),
        ("models/digits/deployments/1", {"memory_bytes": -5}, Reason.INVALID_FIELD),
        ("", {}, Reason.INVALID_FIELD),
    ],
)
async def test_bad_deployments_are_refused(
    platform: Platform, name: str, fields: dict[str, object], reason: Reason
) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):  # it is there since an earlier case
        await platform.push_affine("digits", 2)
    asked = pb.CreateDeploymentRequest(deployment=pb.Deployment(name=name, **fields))  # type: ignore[arg-type]
    code = grpc.StatusCode.NOT_FOUND if reason.value.endswith("NOT_FOUND") else grpc.StatusCode.INVALID_ARGUMENT
    words = await refused(platform.deployments.CreateDeployment(asked), reason, code)
    assert len(words) < 600
    assert not (await platform.deployments.ListDeployments(pb.ListDeploymentsRequest())).deployments


async def test_unknown_names(platform: Platform) -> None:
    missing = grpc.StatusCode.NOT_FOUND
    await refused(platform.get("nobody", 1), Reason.DEPLOYMENT_NOT_FOUND, missing)
    await refused(platform.undeploy("nobody", 1), Reason.DEPLOYMENT_NOT_FOUND, missing)
    await refused(platform.scale("nobody", 1, 2), Reason.DEPLOYMENT_NOT_FOUND, missing)
    cordon = platform.deployments.CordonNode(pb.CordonNodeRequest(name="nodes/nowhere"))
    await refused(cordon, Reason.NODE_NOT_FOUND, missing)
    page = platform.deployments.ListDeployments(pb.ListDeploymentsRequest(page_token="?"))
    await refused(page, Reason.PAGE_TOKEN_INVALID, grpc.StatusCode.INVALID_ARGUMENT)


async def test_nodes_can_be_cordoned_and_lists_turn_pages(platform: Platform) -> None:
    await platform.deployments.CordonNode(pb.CordonNodeRequest(name="nodes/blue"))
    try:
        for model in ("one", "two", "three"):
            await platform.deploy(model, await platform.push_affine(model, 2))
        for model in ("one", "two", "three"):
            told = await platform.reaches(model, 1, D.STATE_READY)
            assert told.placements[0].node == "green"
    finally:
        await platform.deployments.UncordonNode(pb.UncordonNodeRequest(name="nodes/blue"))
    nodes = {n.name: n for n in (await platform.deployments.ListNodes(pb.ListNodesRequest())).nodes}
    green = nodes["nodes/green"]
    assert (green.alive, green.usable, green.models, green.pool) == (True, True, 3, "default")
    assert {p.model for p in green.placements} == {"models/one", "models/two", "models/three"}
    assert 0 < green.memory_reserved_bytes < green.memory_capacity_bytes
    first = await platform.deployments.ListDeployments(pb.ListDeploymentsRequest(page_size=2))
    rest = await platform.deployments.ListDeployments(
        pb.ListDeploymentsRequest(page_size=2, page_token=first.next_page_token)
    )
    names = [d.name.split("/")[1] for page in (first, rest) for d in page.deployments]
    assert (names, rest.next_page_token) == (["one", "three", "two"], "")


async def test_a_node_that_dies_keeps_its_placements_and_comes_back(
    platform: Platform, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("steady", 2)
    await platform.deploy("steady", number)
    told = await platform.reaches("steady", number, D.STATE_READY)
    node = nodes[told.placements[0].node]
    node.agent.kill()
    node.triton.process.kill()
    told = await platform.reaches("steady", number, D.STATE_DEGRADED, timeout=60)
    assert told.placements[0].state == pb.Placement.STATE_LOST
    assert told.reason == Reason.SERVICE_UNAVAILABLE
    assert await platform.placed("steady") == {str(number): (node.name,)}
    await node.start()
    await platform.reaches("steady", number, D.STATE_READY)
    assert await node.answer("steady") == [2.0] * 4


async def test_what_somebody_else_wrote_into_consul_is_put_right(
    platform: Platform, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("tidy", 2)
    await platform.deploy("tidy", number)
    told = await platform.reaches("tidy", number, D.STATE_READY)
    node, kv = nodes[told.placements[0].node], platform.consul.kv
    before = await platform.placed("tidy")
    await kv.put(f"bmase/nodes/{node.name}/desired/tidy", b"{ broken")
    await kv.put("bmase/placements/tidy", b"[]")
    await kv.put(f"bmase/nodes/{node.name}/desired/stranger", b"{}")

    async def right() -> bool:
        desired = await kv.get(f"bmase/nodes/{node.name}/desired/tidy")
        return desired is not None and b'"version":1' in desired.value and await platform.placed("tidy") == before

    await eventually(right, "documents written again")
    assert await node.answer("tidy") == [2.0] * 4
