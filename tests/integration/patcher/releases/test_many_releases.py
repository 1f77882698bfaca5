"""Many releases at once under one leader. Nodes are documents in Consul, and one port that says "ready" for all."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bmase.gateway.v1 import route_pb2

from infra.runtime.layout import CHECKOUT
from services.kit.consul import Consul
from services.kit.database import Database
from services.patcher.documents import Alive, DesiredFile, NodeInfo, Status, Step, node_alive, node_info, status_key
from services.patcher.records import Records
from services.patcher.releases.eyes import IS_READY, READY
from services.patcher.releases.policy import Policy
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.state import Phase, Release
from services.patcher.state import Deployment, LearnNode, Replica, RouteWish, Seat, Sit, applied
from tests.integration.patcher.bench import eventually
from tests.integration.patcher.releases.stage import E, LockedGateway, ScriptedMonitor
from tests.support.consul import Consul as ConsulServer
from tests.support.process import Process

pytestmark = pytest.mark.anyio
MODELS = 100
NODES = {1: "blue", 2: "green"}
POLICY = Policy.model_validate(
    {"steps": [{"percent": p, "min_requests": 1, "min_time": 0} for p in (5, 100)], "shadow_samples": -1}
)


class _Ready(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every version is ready."""

    def service(self, handler_call_details: Any) -> Any:
        async def ready(request: bytes, context: Any) -> bytes:
            return IS_READY

        return grpc.unary_unary_rpc_method_handler(ready) if handler_call_details.method == READY else None


@pytest.fixture
async def triton() -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Ready(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def _deployed(consul: Consul, database: Database, gateway: LockedGateway, triton: str) -> list[str]:
    """Both versions of each model are ready, and the first one has the traffic."""
    records, models = Records(database), [f"m{number}" for number in range(MODELS)]
    infos = [NodeInfo(name=name, grpc=triton, capacity_bytes=2**40) for name in NODES.values()]
    for info in infos:
        await consul.kv.put(node_info(info.name), info.encode())
        await consul.kv.put(node_alive(info.name), Alive(usable=True).encode())
    for model in models:
        for version, node in NODES.items():
            made = Deployment(model, version, f"d{version}", held=True, route=RouteWish.SETTLED, created=1.0)
            file = DesiredFile(path="model.onnx", digest="sha256:1", size_bytes=1)
            await records.create(made, (file,), ("", ""))
            ready = Status(model=model, version=version, digest=f"d{version}", state=Step.READY)
            await consul.kv.put(status_key(node, model), ready.encode())
        route = route_pb2.Route(name=f"routes/{model}", versions=[route_pb2.WeightedVersion(version=1, weight=100)])
        await gateway.UpdateRoute(route_pb2.UpdateRouteRequest(route=route, allow_missing=True), None)
    seats = [Sit(Replica(model, v, node, Seat.SERVING)) for model in models for v, node in NODES.items()]
    await records.change(lambda state: applied(state, [*map(LearnNode, infos), *seats]))
    return models


async def _calm(gateway: LockedGateway, seconds: float) -> bool:
    """Whether nothing was written meanwhile."""
    written = len(gateway.writes)
    await asyncio.sleep(seconds)
    return len(gateway.writes) == written


async def test_a_hundred_at_once(
    consul: Consul,
    consul_server: ConsulServer,
    gateway: LockedGateway,
    monitor: ScriptedMonitor,
    triton: str,
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'patcher.db'}"
    env = {
        "BMASE_CONSUL_URL": consul_server.url,
        "BMASE_PATCHER_DATA_DIR": str(tmp_path),
        "BMASE_PATCHER_DATABASE_URL": url,
        "BMASE_PATCHER_SETTLE_SECONDS": "1",
    }
    monitor.speaks_every = 1.0
    patcher = Process(
        [sys.executable, "-m", "services.patcher"], tmp_path / "patcher.log", name="patcher", env=env, cwd=CHECKOUT
    )
    async with Database(url) as database:
        await database.migrate("services.patcher")
        models = await _deployed(consul, database, gateway, triton)
        records = ReleaseRecords(database)
        for model in models:
            monitor.says(model, E.VERDICT_HOLD, "NO_DATA", grows=1)
            release = Release(f"r-{model}", model, 2, 1, POLICY, created=time.time(), created_by="test")
            await records.create(release, ("", ""), "from 1 to 2")

        async def all_in(phase: Phase, step: int) -> bool:
            kept = await records.listed("", False, None, 1000)
            return all(release.phase is phase and release.step == step for release in kept)

        patcher.start()
        try:
            await eventually(lambda: all_in(Phase.STEPPING, 0), "all at the first step", 60)
            await eventually(lambda: _calm(gateway, 3), "what is as it should be is not written again", 60)
            began = time.time()
            for model in models:
                monitor.bad(model)
            await eventually(lambda: all_in(Phase.ROLLED_BACK, 0), "all rolled back", 60)
            zeros = [
                next(write.at for write in gateway.of(model) if write.at >= began and write.percent.get(2) == 0)
                for model in models
            ]
            print(f"{MODELS} verdicts at once: last one at zero after {max(zeros) - began:.2f} s")
            assert max(zeros) - began < 30
        except AssertionError as error:
            raise AssertionError(f"{error}\n{patcher.tail(30)}") from None
        finally:
            await asyncio.to_thread(patcher.stop)
