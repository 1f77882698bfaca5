"""Leadership among real processes that are killed, frozen, and robbed of their store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.leader import Leadership, fenced_delete, fenced_put
from tests.support.consul import Consul as ConsulServer

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).with_name("leader_program.py")


class Contender:
    """One process of `leader_program` and what it said."""

    def __init__(self, url: str, name: str, folder: Path) -> None:
        self._log = folder / f"contender-{time.monotonic_ns()}.jsonl"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, url, name], stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": "."}
            )

    def said(self) -> list[dict[str, Any]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    @property
    def leads(self) -> bool:
        events = [said["event"] for said in self.said() if said["event"] in {"leads", "lost"}]
        return self.process.poll() is None and events[-1:] == ["leads"]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.process.wait(10)


class Contenders:
    def __init__(self, url: str, name: str, folder: Path) -> None:
        self.name = name
        self.all = [Contender(url, name, folder) for _ in range(3)]

    async def leader(self, timeout: float, but: Contender | None = None) -> Contender:
        await until(lambda: any(each.leads for each in self.all if each is not but), timeout)
        (one,) = [each for each in self.all if each.leads and each is not but]
        return one

    def leads_in_order(self) -> list[int]:
        said = sorted((s for each in self.all for s in each.said() if s["event"] == "leads"), key=lambda s: s["at"])
        return [s["fence"] for s in said]


async def until(true: Callable[[], bool], timeout: float) -> None:
    async with asyncio.timeout(timeout):
        while not true():
            await asyncio.sleep(0.05)


@pytest.fixture
def contenders(request: pytest.FixtureRequest, consul_server: ConsulServer, tmp_path: Path) -> Iterator[Contenders]:
    group = Contenders(consul_server.url, f"leader-{request.node.name.split('[')[0][-40:]}", tmp_path)
    yield group
    for each in group.all:
        each.process.kill()
        each.process.wait()


async def test_a_killed_leader_is_followed_by_exactly_one(contenders: Contenders, consul: Consul) -> None:
    first = await contenders.leader(60)
    first.signal(signal.SIGKILL)
    died = time.time()
    second = await contenders.leader(60)
    assert time.time() - died > 5  # not before the lock delay: the dead one may have written until then
    await asyncio.sleep(2)
    assert [each for each in contenders.all if each.leads] == [second]
    fences = contenders.leads_in_order()
    assert len(fences) == 2
    assert fences[0] < fences[1]
    checks = await consul.transport.call(consul.transport.api.agent.checks())
    assert len([check for check in checks if check.startswith(f"bmase-leader-{contenders.name}-")]) == 1


async def test_a_leader_that_ends_in_order_is_followed_at_once(contenders: Contenders) -> None:
    first = await contenders.leader(60)
    first.signal(signal.SIGTERM)
    await contenders.leader(60, but=first)


async def test_a_frozen_leader_is_replaced_and_writes_nothing_when_it_wakes(
    contenders: Contenders, consul: Consul
) -> None:
    first = await contenders.leader(60)
    first.signal(signal.SIGSTOP)
    second = await contenders.leader(60, but=first)
    first.signal(signal.SIGCONT)
    await until(lambda: not first.leads, 30)
    assert second.leads
    await asyncio.sleep(0.5)
    entry = await consul.kv.get(f"bmase/led/{contenders.name}")
    assert entry is not None
    assert entry.json()["fence"] == contenders.leads_in_order()[-1]


async def test_a_consul_that_restarts_with_its_data_leaves_one_leader(
    contenders: Contenders, consul_server: ConsulServer
) -> None:
    await contenders.leader(60)
    await asyncio.to_thread(consul_server.kill)
    await asyncio.to_thread(consul_server.start)
    await asyncio.sleep(3)
    await contenders.leader(60)
    fences = contenders.leads_in_order()
    assert fences == sorted(set(fences))


async def test_a_wiped_store_ends_the_lease_and_fences_still_grow(
    contenders: Contenders, consul_server: ConsulServer
) -> None:
    first = await contenders.leader(60)
    before = contenders.leads_in_order()
    await asyncio.to_thread(consul_server.wipe)
    await until(lambda: len(contenders.leads_in_order()) > len(before), 60)
    await asyncio.sleep(7)
    fences = contenders.leads_in_order()
    assert fences == sorted(set(fences))
    assert sum(each.leads for each in contenders.all) == 1
    assert [said["event"] for said in first.said() if said["event"] != "refused"][:3] == ["ready", "leads", "lost"]


async def test_without_consul_nobody_leads_and_then_one_does(
    contenders: Contenders, consul_server: ConsulServer
) -> None:
    await contenders.leader(60)
    await asyncio.to_thread(consul_server.process.suspend)
    await until(lambda: not any(each.leads for each in contenders.all), 60)
    await asyncio.to_thread(consul_server.process.resume)
    await contenders.leader(60)
    await asyncio.sleep(1)
    assert sum(each.leads for each in contenders.all) == 1


async def test_a_floor_lifts_the_fence(consul: Consul) -> None:
    floor = time.time_ns()

    async def stored() -> int:
        return floor

    async with Leadership(consul, "floored", floor=stored) as leadership:
        async for lease in leadership:
            assert lease.fence == floor + 1
            assert lease.valid
            break
    assert lease.lost.is_set()


async def test_leading_again_and_again_draws_growing_fences(consul: Consul) -> None:
    fences = []
    async with Leadership(consul, "again") as leadership, asyncio.timeout(60):
        async for lease in leadership:
            fences.append(lease.fence)
            if len(fences) == 5:
                break
    assert fences == sorted(set(fences))


async def test_work_is_cancelled_when_the_lease_is_lost_and_its_errors_are_raised(consul: Consul) -> None:
    async def fails() -> None:
        raise ValueError("broken work")

    async with Leadership(consul, "working") as leadership:
        async for lease in leadership:
            assert await lease.run(asyncio.sleep(0))
            with pytest.raises(ValueError, match="broken work"):
                await lease.run(fails())
            asyncio.get_running_loop().call_later(0.2, lease.lost.set)
            assert not await lease.run(asyncio.sleep(60))
            break


async def test_a_later_fence_shuts_out_an_earlier_one(consul: Consul) -> None:
    key = "bmase/fenced/a"
    await fenced_put(consul.kv, key, {"x": 1}, 10)
    await fenced_put(consul.kv, key, {"x": 2}, 10)
    await fenced_put(consul.kv, key, {"x": 3}, 11)
    for refused in (fenced_put(consul.kv, key, {"x": 4}, 10), fenced_delete(consul.kv, key, 10)):
        with pytest.raises(DomainError) as error:
            await refused
        assert error.value.reason is Reason.NOT_LEADER
    entry = await consul.kv.get(key)
    assert entry is not None
    assert entry.json() == {"x": 3, "fence": 11}
    await fenced_delete(consul.kv, key, 11)
    await fenced_delete(consul.kv, key, 1)
    assert await consul.kv.get(key) is None


async def test_racing_writers_leave_the_highest_fence(consul: Consul) -> None:
    key = "bmase/fenced/race"
    results = await asyncio.gather(
        *(fenced_put(consul.kv, key, {"n": n}, n) for n in range(30)), return_exceptions=True
    )
    entry = await consul.kv.get(key)
    assert entry is not None
    assert entry.json() == {"n": 29, "fence": 29}
    assert results[29] is None
