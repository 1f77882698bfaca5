"""A release at a real gateway (Envoy and its control), on real nodes; only the monitor is scripted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import tritonclient.grpc as tc
from bmase.gateway.v1 import route_pb2 as pb
from bmase.reasons import Reason

from services.kit.errors import from_rpc_error
from tests.integration.patcher.bench import ONES, eventually
from tests.integration.patcher.platform import Platform
from tests.integration.patcher.releases.flight import ELECTION_SECONDS, Flight, R, policy
from tests.integration.patcher.releases.stage import E, ScriptedMonitor
from tests.support.consul import Consul as ConsulServer
from tests.support.gateway import Gateway

pytestmark = pytest.mark.anyio
STABLE, CANDIDATE = 2.0, 3.0  # what the versions answer to ones


@pytest.fixture(scope="module")
def gateway(consul_server: ConsulServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """In place of the scripted one."""
    gateway = Gateway(tmp_path_factory.mktemp("envoy"), consul_server)
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
async def flight(platform: Platform, gateway: Gateway, monitor: ScriptedMonitor) -> AsyncIterator[Flight]:
    await platform.reachable()
    async with Flight(platform, None, monitor) as flight:
        yield flight
        await flight.land()


class Clients:
    """Somebody who keeps asking, through Envoy; `answers` are times and values."""

    def __init__(self, address: str, model: str) -> None:
        self.answers: list[tuple[float, float]] = []
        self.errors: list[Exception] = []
        self._address, self._model = address, model

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self._some)

    def _some(self) -> None:
        with tc.InferenceServerClient(self._address) as client:
            for _ in range(50):
                x = tc.InferInput("x", [1, 4], "FP32")
                x.set_data_from_numpy(ONES)
                try:
                    value = float(np.asarray(client.infer(self._model, [x], client_timeout=5).as_numpy("y"))[0, 0])
                    self.answers.append((time.time(), value))
                except Exception as error:
                    self.errors.append(error)

    def share(self, since: float) -> float:
        """Of the candidate."""
        values = [value for at, value in self.answers if at >= since]
        return values.count(CANDIDATE) / max(len(values), 1)


async def test_traffic_follows_the_release_and_comes_back(flight: Flight, gateway: Gateway) -> None:
    model = "carried"
    one, two = await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    clients = Clients(gateway.address, model)
    asking = asyncio.create_task(clients.run())
    try:
        made = await flight.start(model, policy=policy(20, 50, 100, keep=600))
        await flight.reaches(made.name, R.STATE_STEPPING, 0)
        began = time.time()
        await asyncio.sleep(3)
        assert 0.1 < clients.share(began) < 0.3

        with pytest.raises(Exception, match="moves the traffic") as held:
            await asyncio.to_thread(gateway.set_weights, model, {one: 100})
        error = from_rpc_error(held.value)  # type: ignore[arg-type]
        assert error is not None
        assert error.reason is Reason.RELEASE_ACTIVE

        flight.platform.patcher.kill()
        flight.platform.patcher.start()
        await flight.platform.reachable()
        flight.monitor.good(model)
        await flight.reaches(made.name, R.STATE_STEPPING, 1, ELECTION_SECONDS)
        flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
        mood = flight.monitor.bad(model)
        await flight.reaches(made.name, R.STATE_ROLLED_BACK)
        await asyncio.sleep(1)
        last = max(at for at, value in clients.answers if value == CANDIDATE)
        print(f"last answer of the candidate {1000 * (last - mood.said_at):.0f} ms after the monitor's word")
        assert last - mood.said_at < 2
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    assert not clients.errors
    assert {value for _, value in clients.answers} == {STABLE, CANDIDATE}

    async def free() -> bool:
        await asyncio.to_thread(gateway.set_weights, model, {one: 100})
        return True

    await flight.settled(model)
    await eventually(free, "the route is anybody's again")
    assert two not in await asyncio.to_thread(_versions, gateway, model)


def _versions(gateway: Gateway, model: str) -> set[int]:
    with gateway.routes() as stub:
        return {entry.version for entry in stub.GetRoute(pb.GetRouteRequest(name=f"routes/{model}")).versions}


async def test_promoted_and_the_old_version_leaves_without_an_error(flight: Flight, gateway: Gateway) -> None:
    model = "handed"
    one, _ = await flight.ready(model)
    flight.monitor.good(model)
    clients = Clients(gateway.address, model)
    asking = asyncio.create_task(clients.run())
    try:
        made = await flight.start(model, policy=policy(10, 50, 100, keep=0.5))
        await flight.reaches(made.name, R.STATE_COMPLETED, timeout=60)
        await flight.settled(model)

        async def gone() -> bool:
            return str(one) not in await flight.platform.placed(model)

        await eventually(gone, "the old version is out")
        since = time.time()
        await asyncio.sleep(3)
        assert clients.share(since) == 1.0
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    assert not clients.errors
