"""The patcher killed at every step, doubled, without Consul, on MariaDB: its state is in SQL, and that is enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.patcher.v1.deployment_pb2_grpc import DeploymentServiceStub
from bmase.reasons import Reason
from bmase.registry.v1 import registry_pb2

from services.kit.consul import Consul
from services.kit.errors import from_rpc_error
from tests.integration.patcher.bench import NodeBench, eventually
from tests.integration.patcher.platform import Gateway, Platform
from tests.support.consul import Consul as ConsulServer
from tests.support.mariadb import MariaDB
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio
D = pb.Deployment
ELECTION_SECONDS = 60  # a leader that was killed keeps its place for eleven seconds


@pytest.fixture(autouse=True)
async def empty(platform: Platform) -> None:
    if not platform.patcher.alive:
        platform.patcher.start()
    await platform.reachable()
    await platform.clear()


async def _restart(platform: Platform) -> None:
    platform.patcher.kill()
    platform.patcher.start()
    await platform.reachable()


async def test_killed_at_every_step_of_a_life(platform: Platform, nodes: dict[str, NodeBench]) -> None:
    number = await platform.push_affine("mortal", 2)
    kv = platform.consul.kv

    async def desired() -> bool:
        return any([await kv.get(f"bmase/nodes/{node}/desired/mortal") for node in nodes])

    async def placed() -> bool:
        return bool(await platform.placed("mortal"))

    async def withdrawn() -> bool:
        return not await placed()

    async def undesired() -> bool:
        return not await desired()

    await platform.deploy("mortal", number)
    await _restart(platform)
    await eventually(desired, "desired", ELECTION_SECONDS)
    await _restart(platform)
    await eventually(placed, "placements", ELECTION_SECONDS)
    await _restart(platform)
    told = await platform.reaches("mortal", number, D.STATE_READY, ELECTION_SECONDS)
    node = nodes[told.placements[0].node]
    assert await node.answer("mortal") == [2.0] * 4
    await eventually(lambda: _entry(kv.get, "bmase/routes/mortal"), "a route", ELECTION_SECONDS)

    await platform.undeploy("mortal", number, force=True)
    await _restart(platform)
    await eventually(withdrawn, "no placements", ELECTION_SECONDS)
    await _restart(platform)
    await eventually(undesired, "nothing desired", ELECTION_SECONDS)
    await _restart(platform)
    await platform.reaches("mortal", number, D.STATE_GONE, ELECTION_SECONDS)
    version = await platform.versions.GetVersion(
        registry_pb2.GetVersionRequest(name=f"models/mortal/versions/{number}")
    )
    assert not version.holds
    assert await node.status("mortal") is None


async def _entry(get: Callable[[str], Awaitable[object]], key: str) -> bool:
    return await get(key) is not None


async def test_a_standby_answers_and_takes_over(platform: Platform, nodes: dict[str, NodeBench]) -> None:
    number = await platform.push_affine("double", 2)
    address = f"127.0.0.1:{free_port()}"
    standby = platform.another(address)
    standby.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 60)
            deployments = DeploymentServiceStub(channel)
            asked = pb.Deployment(name=f"models/double/deployments/{number}", replicas=1)
            await deployments.CreateDeployment(pb.CreateDeploymentRequest(deployment=asked))
            await platform.reaches("double", number, D.STATE_READY)

            async def seen_there() -> bool:
                told = await deployments.GetDeployment(pb.GetDeploymentRequest(name=asked.name))
                return bool(told.state == D.STATE_READY)

            await eventually(seen_there, "the standby sees it ready")
            platform.patcher.kill()
            await deployments.ScaleDeployment(pb.ScaleDeploymentRequest(name=asked.name, replicas=2))

            async def scaled() -> bool:
                told = await deployments.GetDeployment(pb.GetDeploymentRequest(name=asked.name))
                return bool(told.ready_replicas == 2)

            await eventually(scaled, "the standby leads", ELECTION_SECONDS + 10)
    finally:
        await asyncio.to_thread(standby.stop)
    platform.patcher.start()
    await platform.reachable()
    assert len((await platform.placed("double"))[str(number)]) == 2


async def test_a_wiped_consul_is_written_again_and_nobody_notices(
    platform: Platform, consul_server: ConsulServer, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("constant", 2)
    await platform.deploy("constant", number)
    told = await platform.reaches("constant", number, D.STATE_READY)
    node, before = nodes[told.placements[0].node], await platform.placed("constant")
    answers: list[list[float]] = []
    asking = asyncio.create_task(_keep_asking(node, answers))
    await asyncio.to_thread(consul_server.wipe)

    async def published() -> bool:
        return await platform.placed("constant") == before

    await eventually(published, "placements again", ELECTION_SECONDS)
    await platform.reaches("constant", number, D.STATE_READY)
    await asyncio.sleep(4)  # beyond the time in which absence says nothing
    told = await platform.get("constant", number)
    asking.cancel()
    assert told.state == D.STATE_READY
    assert told.placements[0].node == node.name
    assert len(answers) > 20
    assert all(answer == [2.0] * 4 for answer in answers)
    await platform.undeploy("constant", number, force=True)
    await platform.reaches("constant", number, D.STATE_GONE, ELECTION_SECONDS)


async def _keep_asking(node: NodeBench, answers: list[list[float]]) -> None:
    while True:
        answers.append(await node.answer("constant"))
        await asyncio.sleep(0.05)


async def test_without_consul_it_reads_and_keeps_wishes(
    platform: Platform, consul_server: ConsulServer, nodes: dict[str, NodeBench]
) -> None:
    number = await platform.push_affine("later", 2)
    await platform.deploy("later", number)
    await platform.reaches("later", number, D.STATE_READY)
    consul_server.kill()
    try:
        assert (await platform.get("later", number)).version == number
        await platform.scale("later", number, 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await platform.undeploy("later", number)
        error = from_rpc_error(caught.value)
        assert error is not None
        assert error.reason is Reason.COORDINATION_UNAVAILABLE
    finally:
        consul_server.start()

    async def scaled() -> bool:
        return (await platform.get("later", number)).ready_replicas == 2

    await eventually(scaled, "two replicas", ELECTION_SECONDS + 10)


async def test_without_the_registry_deployments_wait(platform: Platform) -> None:
    number = await platform.push_affine("patient", 2)
    await platform.deploy("patient", number)
    await platform.reaches("patient", number, D.STATE_READY)
    await asyncio.to_thread(platform.registry.stop)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await platform.deploy("patient", number + 1)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await platform.undeploy("patient", number, force=True)

        async def out() -> bool:
            return not await platform.placed("patient")

        await eventually(out, "out of the placements")

        async def explained() -> bool:
            told = await platform.get("patient", number)
            return told.message.startswith("waits for the registry to take back its hold: the registry does not answer")

        await eventually(explained, "words about what it waits for")
    finally:
        platform.registry.start()
    await platform.reaches("patient", number, D.STATE_GONE)


async def test_another_database_takes_nothing_down_until_somebody_says_so(
    platform: Platform, nodes: dict[str, NodeBench], tmp_path: Path
) -> None:
    number = await platform.push_affine("owned", 2)
    await platform.deploy("owned", number)
    told = await platform.reaches("owned", number, D.STATE_READY)
    node, before = nodes[told.placements[0].node], await platform.placed("owned")
    await asyncio.to_thread(platform.patcher.stop)
    address, empty = f"127.0.0.1:{free_port()}", f"sqlite:///{tmp_path / 'empty.db'}"
    other = platform.another(address, empty)
    other.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 60)
            deployments = DeploymentServiceStub(channel)

            async def refuses() -> str:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await deployments.ListNodes(pb.ListNodesRequest())
                    return ""
                return await _refusal(deployments.ListDeployments(pb.ListDeploymentsRequest()))

            assert "not the one that the deployments in Consul were written from" in await eventually(refuses, "words")
        await asyncio.sleep(3)  # it would have been enough to lead, and to delete
        assert await platform.placed("owned") == before
        assert await node.answer("owned") == [2.0] * 4
        assert "foreign_database" in other.tail(400)

        await asyncio.to_thread(other.stop)
        other = platform.another(address, empty, {**platform.common, "BMASE_PATCHER_TAKE_OVER": "true"})
        other.start()

        async def taken_over() -> bool:
            return not await platform.placed("owned")

        await eventually(taken_over, "nothing placed", ELECTION_SECONDS)
    finally:
        await asyncio.to_thread(other.stop)
    platform.patcher.start()
    await platform.reaches("owned", number, D.STATE_READY, ELECTION_SECONDS + 10)


async def _refusal(call: Awaitable[object]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    assert error is not None
    assert error.reason is Reason.STORE_UNAVAILABLE
    return error.message


@pytest.fixture
async def mariadb(tmp_path: Path) -> AsyncIterator[MariaDB]:
    server = MariaDB(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.close)


async def test_on_mariadb_which_goes_away_for_a_while(
    platform: Platform,
    consul: Consul,
    consul_server: ConsulServer,
    gateway: Gateway,
    nodes: dict[str, NodeBench],
    mariadb: MariaDB,
) -> None:
    await asyncio.to_thread(platform.patcher.stop)
    address = f"127.0.0.1:{free_port()}"
    patcher = platform.another(address, await mariadb.fresh_database())
    patcher.start()
    try:
        async with platform.through(address):
            number = await platform.push_affine("mysql", 2)
            await platform.deploy("mysql", number, replicas=2)
            await platform.reaches("mysql", number, D.STATE_READY)
            mariadb.kill()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await platform.scale("mysql", number, 1)
            error = from_rpc_error(caught.value)
            assert error is not None
            assert error.reason is Reason.STORE_UNAVAILABLE
            assert await nodes["blue"].answer("mysql") == [2.0] * 4
            await asyncio.to_thread(mariadb.start)
            await platform.scale("mysql", number, 1)
            await platform.reaches("mysql", number, D.STATE_READY)
            await platform.clear()
    finally:
        await asyncio.to_thread(patcher.stop)
