"""The writer never makes anybody wait: a store that is away costs samples, counted, and bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.monitor.samples import writer as writing
from services.monitor.samples.memory import MemoryStore
from services.monitor.samples.model import Batch, Query, Report, Rules, Sample, Shown, Told, new_id
from services.monitor.samples.writer import Writer

pytestmark = pytest.mark.anyio


class FlakyStore(MemoryStore):
    """A store in memory that can be away."""

    def __init__(self) -> None:
        super().__init__(1 << 30)
        self.away = False
        self.writes = 0

    async def write(self, batch: Batch) -> None:
        self.writes += 1
        if self.away:
            raise DomainError(Reason.STORE_UNAVAILABLE, "the store is away")
        await super().write(batch)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(writing, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(writing, "SWEEP_SECONDS", 0.05)


def sample(
    number: int = 0, *, model: str = "digits", at: float | None = None, inputs: tuple[Shown, ...] = ()
) -> Sample:
    moment = time.time() if at is None else at
    return Sample(new_id(moment), model, 1, moment, request_ids=(f"r-{number}",), raw=b"x" * 100, inputs=inputs)


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(holds: object) -> None:
    async with asyncio.timeout(5):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_samples_arrive_in_batches() -> None:
    store = FlakyStore()
    writer = Writer(store, lambda model: Rules())
    async with running(writer):
        for number in range(1000):
            writer.put(sample(number))
        await writer.flushed()
    assert writer.written == 1000
    assert store.writes <= 6
    assert await store.count(Query("digits", limit=5000)) == 1000


async def test_while_the_store_is_away_the_latest_wait_and_the_rest_is_counted() -> None:
    store = FlakyStore()
    store.away = True
    writer = Writer(store, lambda model: Rules(), max_samples=50)
    async with running(writer):
        for number in range(2000):
            writer.put(sample(number))
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: not writer.available)
        assert writer.queued <= 50
        store.away = False
        await writer.flushed()
    kept = await store.page(Query("digits", limit=1000))
    assert kept[0].request_id == "r-1999"
    assert writer.dropped["digits"] == 2000 - len(kept)
    assert writer.available


async def test_bytes_are_bounded_too() -> None:
    writer = Writer(FlakyStore(), lambda model: Rules(), max_bytes=10 * sample().weight())
    for number in range(100):
        writer.put(sample(number))
    assert writer.queued == 10


async def test_stricter_rules_hold_for_what_waits_and_for_what_is_kept() -> None:
    rules = [Rules()]
    store = FlakyStore()
    writer = Writer(store, lambda model: rules[0])
    holding = (Shown("patient", "BYTES", (1,), ("4711",)),)
    async with running(writer):
        writer.put(sample(1, inputs=holding))
        await writer.flushed()
        assert await store.count(Query("digits")) == 1
        rules[0] = Rules(redacted=("patient",))
        writer.put(sample(2, inputs=holding))
        writer.put(sample(3))
        writer.sweep()
        await writer.flushed()

        async def only_the_third() -> list[str]:
            return [found.request_id for found in await store.page(Query("digits"))]

        async with asyncio.timeout(5):
            while await only_the_third() != ["r-3"]:
                await asyncio.sleep(0.01)
        rules[0] = Rules(opt_out=True)
        writer.sweep()
        async with asyncio.timeout(5):
            while await store.count(Query("digits")):
                await asyncio.sleep(0.01)


async def test_an_outcome_finds_the_sample_of_its_own_batch() -> None:
    store = FlakyStore()
    writer = Writer(store, lambda model: Rules())
    writer.report(Report("digits", "r-1", Told("7", 0.0, 1.0, wrong=True)))
    writer.put(sample(1))
    async with running(writer):
        await writer.flushed()
    found = await store.page(Query("digits", wrong=True))
    assert [one.request_id for one in found] == ["r-1"]


class BrokenStore(MemoryStore):
    """A store with a defect that one sample meets."""

    async def write(self, batch: Batch) -> None:
        if any(one.request_id == "r-13" for one in batch.samples):
            raise ValueError("a defect")
        await super().write(batch)


async def test_a_defect_costs_its_batch_and_no_other() -> None:
    store = BrokenStore(1 << 30)
    writer = Writer(store, lambda model: Rules())
    async with running(writer):
        for number in (13, *range(100, 200)):
            writer.put(sample(number))
        await writer.flushed()
        writer.put(sample(14))
        await writer.flushed()
    assert [one.request_id for one in await store.page(Query("digits"))] == ["r-14"]
    assert writer.dropped["digits"] == 101


async def test_what_waits_when_it_is_stopped_is_written_last() -> None:
    store = FlakyStore()
    store.away = True
    writer = Writer(store, lambda model: Rules())
    async with running(writer):
        for number in range(300):
            writer.put(sample(number))
        writer.report(Report("digits", "r-1", Told("7", 0.0, 1.0, wrong=True)))
        await until(lambda: store.writes)
    store.away = False
    await writer.finish()
    assert await store.count(Query("digits", limit=1000)) == 300
    assert len(await store.page(Query("digits", wrong=True))) == 1
    store.away = True
    writer.put(sample(1))
    await writer.finish()
