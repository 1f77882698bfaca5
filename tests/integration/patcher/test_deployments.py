from __future__ import annotations

import time
from collections.abc import AsyncIterator

import grpc
import pytest
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2

from services.kit.consul import Consul
from services.kit.errors import from_rpc_error
from tests.integration.patcher.bench import NodeBench, affine_sample
from tests.integration.patcher.platform import Gateway, Platform
from tests.support import onnx_models
from tests.support.consul import Consul as ConsulServer

pytestmark = pytest.mark.anyio
D = pb.Deployment


@pytest.fixture(scope="module")
async def gateway(consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with Gateway(consul_server.url, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def nodes(
    consul: Consul, consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, NodeBench]]:
    folder = tmp_path_factory.mktemp("nodes")
    benches = {name: NodeBench(folder / name, consul, consul_server.url, name=name) for name in ("blue", "green")}
    try:
        for bench in benches.values():
            await bench.start()
        yield benches
    finally:
        for bench in benches.values():
            await bench.stop()


@pytest.fixture(scope="module")
async def platform(
    consul: Consul,
    consul_server: ConsulServer,
    gateway: Gateway,
    nodes: dict[str, NodeBench],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    async with Platform(tmp_path_factory.mktemp("platform"), consul_server.url, consul) as platform:
        yield platform


async def _push(platform: Platform, model: str, factor: float) -> int:
    content = onnx_models.affine(factor, 0).SerializeToString()
    return await platform.push(model, content, [affine_sample(factor, 0)])


async def test_from_the_registry_to_an_answer_and_out_again(
    platform: Platform, gateway: Gateway, nodes: dict[str, NodeBench]
) -> None:
    one, two = await _push(platform, "digits", 2), await _push(platform, "digits", 3)
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

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await platform.undeploy("digits", one)
    error = from_rpc_error(refused.value)
    assert error is not None
    assert error.reason is Reason.VERSION_IN_ROUTE

    began = time.monotonic()
    await platform.undeploy("digits", two)
    await platform.reaches("digits", two, D.STATE_GONE)
    print(f"undeployed in {time.monotonic() - began:.1f} s")
    assert await platform.placed("digits") == {str(one): (placement.node,)}
    version = await platform.versions.GetVersion(registry_pb2.GetVersionRequest(name=f"models/digits/versions/{two}"))
    assert not version.holds
    await platform.undeploy("digits", one, force=True)
    await platform.reaches("digits", one, D.STATE_GONE)
    assert await platform.placed("digits") == {}
