"""The patcher killed at every boundary of a release, doubled, cut off from Consul, from its database, on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bmase.patcher.v1 import deployment_pb2
from bmase.reasons import Reason

from tests.integration.patcher.bench import eventually
from tests.integration.patcher.platform import Platform
from tests.integration.patcher.releases.flight import ELECTION_SECONDS, Flight, R, policy, steady
from tests.integration.patcher.releases.stage import E, Write, shares
from tests.support.consul import Consul as ConsulServer
from tests.support.mariadb import MariaDB
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio
D = deployment_pb2.Deployment


async def _killed(platform: Platform) -> None:
    platform.patcher.kill()
    platform.patcher.start()
    await platform.reachable()


async def test_killed_at_every_boundary_and_never_jumps(flight: Flight) -> None:
    model, platform = "mortal", flight.platform
    _, two = await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    made = await flight.start(model, policy=policy(5, 50, 100, keep=600, shadow_samples=10))
    flight.monitor.replays.total, flight.monitor.replay_seconds = 10, 2.0
    await _killed(platform)  # deploying
    await flight.reaches(made.name, R.STATE_SHADOW, timeout=ELECTION_SECONDS)
    await _killed(platform)  # while samples are replayed
    await flight.reaches(made.name, R.STATE_STEPPING, 0, ELECTION_SECONDS)
    await _killed(platform)  # at 5 %
    flight.monitor.good(model)
    await flight.reaches(made.name, R.STATE_STEPPING, 1, ELECTION_SECONDS)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    await _killed(platform)  # at 50 %

    async def led_again() -> bool:
        return len([event for event in await flight.events(made.name) if event.kind == "leader"]) >= 4

    await eventually(led_again, "a leader", ELECTION_SECONDS)
    assert (await flight.get(made.name)).step == 1
    flight.monitor.good(model)
    await flight.reaches(made.name, R.STATE_PROMOTED, timeout=ELECTION_SECONDS)
    await _killed(platform)  # with all of the traffic
    await flight.rollback(made.name, "after all")
    await _killed(platform)  # rolling back, or about to
    await flight.reaches(made.name, R.STATE_ROLLED_BACK, timeout=ELECTION_SECONDS)
    await flight.settled(model)
    writes = flight.gateway.of(model)
    assert shares(writes, two) == [0, 5, 50, 100, 0]
    fences = [write.fence for write in writes]
    assert fences[1:] == sorted(fences[1:])
    assert len(set(fences[1:])) >= 4
    await platform.reaches(model, two, D.STATE_GONE)


async def test_the_write_of_a_paused_loser_is_refused(flight: Flight) -> None:
    """Its call is under way when it is frozen, and arrives after the next leader has rolled back."""
    model, platform, gateway = "double", flight.platform, flight.gateway
    _, two = await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    made = await flight.start(model)
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    loser = gateway.of(model)[-1].fence
    late, arrived = asyncio.Event(), asyncio.Event()

    async def hold_back(write: Write) -> None:
        if write.fence == loser and write.percent.get(two) == 50:
            arrived.set()
            await late.wait()

    gateway.before = hold_back
    address = f"127.0.0.1:{free_port()}"
    standby = platform.another(address)
    standby.start()
    try:
        async with platform.through(address):
            pass  # it answers
        flight.monitor.good(model)
        await asyncio.wait_for(arrived.wait(), 20)
        platform.patcher.suspend()
        flight.monitor.bad(model)

        async def rolled_back() -> bool:
            writes = [write for write in gateway.of(model) if write.fence > loser and not write.refused]
            return bool(writes) and writes[-1].percent.get(two, 0) == 0

        await eventually(rolled_back, "the standby rolls back", ELECTION_SECONDS)
        late.set()

        async def refused() -> bool:
            return any(write.refused and write.fence == loser for write in gateway.of(model))

        await eventually(refused, "the loser's write refused")
        platform.patcher.resume()
        await flight.reaches(made.name, R.STATE_ROLLED_BACK)
        await asyncio.sleep(2)
        assert {entry.version for entry in (await gateway.stored(model)).versions if entry.weight} == {1}
        reasons = {write.refused for write in gateway.of(model) if write.refused}
        assert reasons <= {Reason.NOT_LEADER.value, Reason.RELEASE_ACTIVE.value}
        landed = [write for write in gateway.of(model) if write.fence == loser and not write.refused]
        assert max(write.percent.get(two, 0) for write in landed) == 5
    finally:
        gateway.before = None
        platform.patcher.resume()
        await asyncio.to_thread(standby.stop)


async def test_without_consul_it_holds_and_then_goes_on(flight: Flight, consul_server: ConsulServer) -> None:
    model = "adrift"
    _, two = await flight.ready(model)
    flight.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
    made = await flight.start(model)
    await flight.reaches(made.name, R.STATE_STEPPING, 0)
    consul_server.kill()
    try:

        async def holds() -> bool:
            said = await flight.get(made.name)
            return (said.state, said.step) == (R.STATE_STEPPING, 0)

        await asyncio.sleep(4)
        written = len(flight.gateway.of(model))
        flight.monitor.good(model)
        await steady(holds, 8)
        assert len(flight.gateway.of(model)) == written
    finally:
        consul_server.start()
    await flight.reaches(made.name, R.STATE_PROMOTED, timeout=ELECTION_SECONDS + 20)
    assert shares(flight.gateway.of(model), two) == [0, 5, 50, 100]


@pytest.fixture
async def mariadb(tmp_path: Path) -> AsyncIterator[MariaDB]:
    server = MariaDB(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.close)


async def test_a_retreat_does_not_wait_for_the_database(flight: Flight, mariadb: MariaDB) -> None:
    """On MariaDB, which goes away: nothing goes on without memory but the way back."""
    model, platform = "forgetful", flight.platform
    await asyncio.to_thread(platform.patcher.stop)
    address = f"127.0.0.1:{free_port()}"
    patcher = platform.another(address, await mariadb.fresh_database())
    patcher.start()
    try:
        async with platform.through(address), Flight(platform, flight.gateway, flight.monitor) as here:
            await here.through(address)
            _, two = await here.ready(model)
            here.monitor.says(model, E.VERDICT_HOLD, "NO_DATA")
            made = await here.start(model)
            await here.reaches(made.name, R.STATE_STEPPING, 0)
            mariadb.kill()
            here.monitor.good(model)
            await asyncio.sleep(3)
            assert here.gateway.of(model)[-1].percent[two] == 5
            here.monitor.bad(model)

            async def at_zero() -> bool:
                return here.gateway.of(model)[-1].percent.get(two) == 0

            await eventually(at_zero, "the candidate at zero", 20)
            await asyncio.to_thread(mariadb.start)
            said = await here.reaches(made.name, R.STATE_ROLLED_BACK)
            assert said.reason == "BAD_ERRORS"
            await here.land()
    finally:
        await asyncio.to_thread(patcher.stop)
        platform.patcher.start()
        await platform.reachable()
