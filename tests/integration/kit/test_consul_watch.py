"""Watches over a Consul that is killed, wiped, frozen and brought back under them."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.kit.consul import Consul, Listing
from services.kit.errors import DomainError
from tests.support.consul import Consul as ConsulServer
from tests.support.recorder import Recorder

pytestmark = pytest.mark.anyio

RECOVERY_SECONDS = 2.0


def holds(key: str, value: bytes):
    return lambda listing: key in listing.entries and listing.entries[key].value == value


async def test_every_change_and_nothing_else_is_delivered(consul: Consul) -> None:
    await consul.kv.put("bmase/w1/a", "1")
    async with Recorder(consul.watch("bmase/w1/")) as seen:
        await seen.until(holds("bmase/w1/a", b"1"))
        await consul.kv.put("bmase/w1/a", "2")
        await seen.until(holds("bmase/w1/a", b"2"))
        await consul.kv.put("bmase/other", "x")
        await consul.kv.delete("bmase/w1/a")
        await seen.until(lambda listing: not listing.entries)
        assert len(seen.items) == 3
        assert seen.items[2].changes_since(seen.items[1]).gone == {"bmase/w1/a"}


async def test_a_change_arrives_within_milliseconds(consul: Consul) -> None:
    async with Recorder(consul.watch("bmase/w2/")) as seen:
        await seen.until(lambda listing: True)
        for n in range(10):
            await asyncio.sleep(0.1)
            written = time.monotonic()
            await consul.kv.put("bmase/w2/a", str(n))
            await seen.until(holds("bmase/w2/a", str(n).encode()))
            assert seen.times[-1] - written < 5  # a watch that only polled would take its ten seconds


async def test_a_storm_of_changes_is_bunched_and_ends_complete(consul: Consul) -> None:
    async with Recorder(consul.watch("bmase/w3/")) as seen:
        await seen.until(lambda listing: True)
        started = time.monotonic()
        for n in range(400):
            await consul.kv.put(f"bmase/w3/{n % 7}", f"{n:04}")
        seconds = time.monotonic() - started
        await seen.until(
            lambda listing: sorted(int(e.value) for e in listing.entries.values()) == list(range(393, 400))
        )
        newest = [max((entry.value for entry in listing.entries.values()), default=b"") for listing in seen.items]
        assert newest == sorted(newest)
        assert len(seen.items) <= 25 + 21 * seconds


async def test_waiting_costs_no_requests(consul: Consul, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    call = consul.transport.call

    async def counted(*arguments):
        nonlocal calls
        calls += 1
        return await call(*arguments)

    async with Consul(consul.transport.url) as other:
        monkeypatch.setattr(consul.transport, "call", counted)
        async with Recorder(consul.watch("bmase/nothing-here/")), Recorder(consul.watch_service("nobody")):
            await asyncio.sleep(1)
            calls = 0
            await asyncio.sleep(3)
            assert calls <= 5  # the look at the epoch, once a second
            # Consul wakes the watcher of an empty prefix for every write anywhere: that must stay bounded too.
            for n in range(300):
                await other.kv.put("bmase/elsewhere", str(n))
            assert calls <= 280  # fewer than the writes


async def test_a_killed_consul_that_comes_back_with_its_data_changes_nothing(
    consul: Consul, consul_server: ConsulServer
) -> None:
    await consul.kv.put("bmase/w5/a", "1")
    async with Recorder(consul.watch("bmase/w5/")) as seen:
        first = await seen.until(holds("bmase/w5/a", b"1"))
        await asyncio.to_thread(consul_server.kill)
        await asyncio.sleep(3)
        await asyncio.to_thread(consul_server.start)
        back = time.monotonic()
        await put_when_possible(consul, "bmase/w5/a", "2")
        last = await seen.until(holds("bmase/w5/a", b"2"), RECOVERY_SECONDS)
        assert time.monotonic() - back < RECOVERY_SECONDS
        assert last.epoch == first.epoch
        assert len(seen.items) == 2


@pytest.mark.parametrize("refill", [0, 300])
async def test_a_wiped_consul_is_a_new_epoch_in_which_nothing_is_gone(
    consul: Consul, consul_server: ConsulServer, refill: int
) -> None:
    """Also when the new store has already counted past the index that the watcher waits for."""
    for key in ("a", "b"):
        await consul.kv.put(f"bmase/w6/{key}", "1")
    async with Recorder(consul.watch("bmase/w6/")) as seen:
        first = await seen.until(lambda listing: len(listing.entries) == 2)
        await asyncio.to_thread(consul_server.wipe)
        back = time.monotonic()
        for n in range(refill):
            await put_when_possible(consul, "bmase/elsewhere", str(n))
        await put_when_possible(consul, "bmase/w6/a", "1")
        last = await seen.until(lambda listing: listing.epoch != first.epoch and "bmase/w6/a" in listing.entries)
        assert time.monotonic() - back < RECOVERY_SECONDS + refill * 0.01
        for earlier, later in zip(seen.items, seen.items[1:], strict=False):
            assert not later.changes_since(earlier).gone
        assert last.changes_since(first).written.keys() == {"bmase/w6/a"}


async def test_a_frozen_consul_delivers_nothing_and_then_everything(
    consul: Consul, consul_server: ConsulServer
) -> None:
    await consul.kv.put("bmase/w7/a", "1")
    async with Recorder(consul.watch("bmase/w7/")) as seen:
        await seen.until(holds("bmase/w7/a", b"1"))
        consul_server.process.suspend()
        await asyncio.sleep(16)  # longer than a blocking query may take
        assert len(seen.items) == 1
        consul_server.process.resume()
        await put_when_possible(consul, "bmase/w7/a", "2")
        await seen.until(holds("bmase/w7/a", b"2"), RECOVERY_SECONDS)


async def test_many_watches_share_one_client(consul: Consul) -> None:
    """More than the hundred connections that the HTTP client would allow by itself."""
    recorders: list[Recorder[Listing]] = [Recorder(consul.watch(f"bmase/w8/{n}/")) for n in range(130)]
    async with asyncio.timeout(30):
        for recorder in recorders:
            await recorder.__aenter__()
        for recorder in recorders:
            await recorder.until(lambda listing: True)
        await consul.kv.put("bmase/w8/129/a", "1")
        await recorders[-1].until(holds("bmase/w8/129/a", b"1"))
    for recorder in recorders:
        await recorder.__aexit__(None)


async def put_when_possible(consul: Consul, key: str, value: str) -> None:
    """Consul answers some requests with errors in the second after its return."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await consul.kv.put(key, value)
            except DomainError:
                await asyncio.sleep(0.05)
