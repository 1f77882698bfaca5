"""What a process owns in Consul comes back by itself: registrations and session keys."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.kit.consul import Consul, Registration, Session, tcp_check
from tests.support.consul import Consul as ConsulServer
from tests.support.recorder import Recorder

pytestmark = pytest.mark.anyio

RECOVERY_SECONDS = 2.5


@pytest.fixture
async def listening() -> AsyncIterator[int]:
    """A port that passes a TCP check."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def registration(consul: Consul, name: str, port: int, number: int = 1) -> Registration:
    meta = {"number": str(number)}
    return Registration(
        consul, name, f"{name}-{number}", "127.0.0.1", port, meta=meta, tags=["t"], check=tcp_check("127.0.0.1", port)
    )


def ids(*wanted: str):
    return lambda instances: [instance.id for instance in instances] == list(wanted)


async def test_an_instance_is_found_while_it_is_registered(consul: Consul, listening: int) -> None:
    async with Recorder(consul.watch_service("o1")) as seen:
        await seen.until(ids())
        async with registration(consul, "o1", listening) as entry:
            (instance,) = await seen.until(ids("o1-1"))
            assert entry.registered.is_set()
            assert instance.target == f"127.0.0.1:{listening}"
            assert (instance.meta, instance.tags) == ({"number": "1"}, ("t",))
            seen.items.clear()
        await seen.until(ids())


async def test_an_instance_that_fails_its_check_leaves(consul: Consul) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Recorder(consul.watch_service("o2")) as seen, registration(consul, "o2", port):
        await seen.until(ids("o2-1"))
        seen.items.clear()
        server.close()
        await seen.until(ids(), 4)


async def test_a_registration_survives_a_wiped_consul_unnoticed_by_its_clients(
    consul: Consul, consul_server: ConsulServer, listening: int
) -> None:
    async with Recorder(consul.watch_service("o3")) as seen, registration(consul, "o3", listening):
        await seen.until(ids("o3-1"))
        seen.items.clear()
        await asyncio.to_thread(consul_server.wipe)
        async with Consul(consul_server.url) as fresh, Recorder(fresh.watch_service("o3")) as seen_anew:
            await seen_anew.until(ids("o3-1"), RECOVERY_SECONDS)
        await asyncio.sleep(7)
        assert not seen.items


async def test_instances_stay_known_through_a_restart_and_leave_when_they_are_really_gone(
    consul: Consul, consul_server: ConsulServer, listening: int
) -> None:
    async with Recorder(consul.watch_service("o4")) as seen, registration(consul, "o4", listening, 1):
        async with registration(consul, "o4", listening, 2) as second:
            await seen.until(ids("o4-1", "o4-2"))
            seen.items.clear()
            await asyncio.to_thread(consul_server.kill)
            # Dies while Consul is away: nobody deregisters it, and after the wipe nobody knows it.
            second._task.cancel()
            second._task = None
            await asyncio.to_thread(consul_server.wipe)
        await seen.until(lambda instances: True, 12)
        assert ids("o4-1")(seen.items[0])


async def test_what_somebody_deregisters_by_mistake_is_registered_again(consul: Consul, listening: int) -> None:
    async with Recorder(consul.watch_service("o5")) as seen, registration(consul, "o5", listening):
        await seen.until(ids("o5-1"))
        seen.items.clear()
        await consul.transport.call(consul.transport.api.agent.service.deregister("o5-1"))
        await seen.until(ids())
        await seen.until(ids("o5-1"), RECOVERY_SECONDS)


async def test_registering_does_not_wait_for_a_consul_that_is_away(
    consul: Consul, consul_server: ConsulServer, listening: int
) -> None:
    await asyncio.to_thread(consul_server.stop)
    started = time.monotonic()
    async with registration(consul, "o6", listening) as entry:
        assert time.monotonic() - started < 0.1
        await asyncio.to_thread(consul_server.start)
        async with asyncio.timeout(RECOVERY_SECONDS):
            await entry.registered.wait()
        await asyncio.to_thread(consul_server.process.suspend)
        started = time.monotonic()
    assert time.monotonic() - started < 3


async def test_session_keys_live_as_long_as_the_session(consul: Consul) -> None:
    async with Recorder(consul.watch("bmase/s1/")) as seen:
        async with Session(consul, "s1") as session:
            await session.put("bmase/s1/a", {"state": "loading"})
            await session.put("bmase/s1/b", "1")
            await session.put("bmase/s1/a", {"state": "ready"})
            await session.delete("bmase/s1/b")
            listing = await seen.until(
                lambda x: list(x.entries) == ["bmase/s1/a"] and b"ready" in x.entries["bmase/s1/a"].value
            )
            assert listing.entries["bmase/s1/a"].session == session.id != ""
            seen.items.clear()
        await seen.until(lambda x: not x.entries)


async def test_session_keys_return_after_a_wipe(consul: Consul, consul_server: ConsulServer) -> None:
    async with Session(consul, "s2") as session, Recorder(consul.watch("bmase/s2/")) as seen:
        for n in range(20):
            await session.put(f"bmase/s2/{n}", str(n))
        first = await seen.until(lambda x: len(x.entries) == 20)
        await asyncio.to_thread(consul_server.wipe)
        back = time.monotonic()
        await seen.until(lambda x: x.epoch != first.epoch and len(x.entries) == 20)
        assert time.monotonic() - back < RECOVERY_SECONDS


async def test_what_is_put_while_consul_is_away_is_written_when_it_is_back(
    consul: Consul, consul_server: ConsulServer
) -> None:
    async with Session(consul, "s3") as session:
        await session.put("bmase/s3/a", "1")
        await session.put("bmase/s3/b", "1")
        await asyncio.to_thread(consul_server.kill)
        started = time.monotonic()
        assert not await session.put("bmase/s3/a", "2")
        assert not await session.delete("bmase/s3/b")
        assert time.monotonic() - started < 5
        await asyncio.to_thread(consul_server.start)
        async with Recorder(consul.watch("bmase/s3/")) as seen:
            await seen.until(
                lambda x: {k: e.value for k, e in x.entries.items()} == {"bmase/s3/a": b"2"}, RECOVERY_SECONDS
            )


async def test_a_successor_takes_over_without_the_key_vanishing(consul: Consul) -> None:
    async with Recorder(consul.watch("bmase/s4/")) as seen, abandoned(consul, "s4") as dead:
        await dead.put("bmase/s4/a", "1")
        await dead.put("bmase/s4/left", "1")
        await seen.until(lambda x: len(x.entries) == 2)
        dead._task.cancel()
        async with Session(consul, "s4") as session:
            started = time.monotonic()
            await session.put("bmase/s4/a", "2")
            await seen.until(lambda x: "bmase/s4/a" in x.entries and x.entries["bmase/s4/a"].value == b"2")
            assert time.monotonic() - started < 1
            # What the successor did not confirm goes with the old session, and only that.
            await seen.until(lambda x: list(x.entries) == ["bmase/s4/a"], 25)
            assert all("bmase/s4/a" in item.entries for item in seen.items if item.entries)


async def test_a_key_of_a_living_stranger_is_left_alone(consul: Consul) -> None:
    async with Session(consul, "s5-one") as one, Session(consul, "s5-two") as two:
        assert await one.put("bmase/s5/a", "one")
        assert not await two.put("bmase/s5/a", "two")
        entry = await consul.kv.get("bmase/s5/a")
        assert entry is not None
        assert entry.value == b"one"


OWNER = """
import asyncio, sys
from services.kit.consul import Consul, Session
async def main():
    async with Consul(sys.argv[1]) as consul, Session(consul, "s6") as session:
        await session.put("bmase/s6/a", "1")
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_keys_of_a_killed_process_vanish(consul: Consul, consul_server: ConsulServer, tmp_path: Path) -> None:
    async with Recorder(consul.watch("bmase/s6/")) as seen:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, consul_server.url)
        await seen.until(lambda x: len(x.entries) == 1, 60)
        seen.items.clear()
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await seen.until(lambda x: not x.entries, 60)


@asynccontextmanager
async def abandoned(consul: Consul, name: str) -> AsyncIterator[Session]:
    """A session whose process dies: its task ends without ending the session in Consul."""
    session = Session(consul, name)
    await session.__aenter__()
    yield session
