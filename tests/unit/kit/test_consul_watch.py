"""A watch against a scripted store: the moments that a real one hits once in a thousand times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from bmase.reasons import Reason

from services.kit.consul.kv import Epochs
from services.kit.consul.model import Entry, Listing
from services.kit.consul.pace import Backoff, Pace
from services.kit.consul.watch import EpochWatch, watch_prefix
from services.kit.errors import DomainError

pytestmark = pytest.mark.anyio

AWAY = DomainError(Reason.COORDINATION_UNAVAILABLE, "away")


class Store:
    """Stands for Kv: `content` and `epoch` may change at any await; a read with the present index blocks."""

    def __init__(self) -> None:
        self.epochs = Epochs()
        self.name = "first"
        self.index = 10
        self.content: dict[str, str] = {"p/a": "1"}
        self.changed = asyncio.Event()
        self.reads: list[int] = []
        self.failures: list[DomainError] = []
        self.expired = False
        self.before_answer: Callable[[], None] = lambda: None

    def write(self, index: int, **content: str) -> None:
        self.index = index
        self.content = {f"p/{key}": value for key, value in content.items()}
        self._wake()

    def expire(self) -> None:
        """The time of the waiting query is over."""
        self.expired = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def replace(self, epoch: str, index: int, **content: str) -> None:
        """Another store, in silence: who waits in it is not woken."""
        self.name, self.index = epoch, index
        self.content = {f"p/{key}": value for key, value in content.items()}

    async def epoch(self) -> str:
        self._fail()
        self.epochs.saw(self.name)
        return self.name

    async def read(
        self, prefix: str, *, recurse: bool = True, index: int = 0, known: Mapping[str, Entry] | None = None
    ) -> tuple[int, dict[str, Entry]]:
        self.reads.append(index)
        self._fail()
        while index and index >= self.index and not self.expired:
            await self.changed.wait()
            self._fail()
        self.expired = False
        answer = self.index, {key: self._entry(key, known or {}) for key in self.content}
        self.before_answer()
        return answer

    def _entry(self, key: str, known: Mapping[str, Entry]) -> Entry:
        entry = Entry(key, self.content[key].encode(), self.index)
        return known[key] if known.get(key) == entry else entry

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.consul.watch.LOOK_SECONDS", 0.02)
    monkeypatch.setattr(Backoff, "next", lambda self: 0.0)


async def collect(store: Store, seconds: float, *steps: Callable[[], Any]) -> list[Listing]:
    """What a watch delivers while the steps are taken, each when the watch has come to rest."""
    seen: list[Listing] = []

    async def watch() -> None:
        async for listing in watch_prefix(store, EpochWatch(store), "p/"):  # type: ignore[arg-type]
            seen.append(listing)

    task = asyncio.create_task(watch())
    for step in (lambda: None, *steps):
        step()
        await asyncio.sleep(seconds)
    assert not task.done(), task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return seen


def values(listings: list[Listing]) -> list[tuple[str, dict[str, bytes]]]:
    return [(each.epoch, {key: entry.value for key, entry in each.entries.items()}) for each in listings]


async def test_a_change_is_delivered_once() -> None:
    store = Store()
    seen = await collect(store, 0.05, lambda: store.write(11, a="2"), lambda: None)
    assert values(seen) == [("first", {"p/a": b"1"}), ("first", {"p/a": b"2"})]
    assert store.reads == [0, 10, 11]


async def test_a_store_replaced_in_silence_is_noticed_without_any_error_or_wake_up() -> None:
    store = Store()
    seen = await collect(store, 0.1, lambda: store.replace("second", 3))
    assert values(seen) == [("first", {"p/a": b"1"}), ("second", {})]


async def test_a_store_that_has_counted_past_the_awaited_index_is_not_taken_for_the_old_one() -> None:
    store = Store()

    def replaced() -> None:
        store.name = "second"
        store.write(500, b="1")

    seen = await collect(store, 0.1, replaced)
    assert values(seen) == [("first", {"p/a": b"1"}), ("second", {"p/b": b"1"})]


async def test_a_store_replaced_between_reading_and_naming_is_read_again() -> None:
    """The listing is the old store's, the epoch already the new one's: such a pair must never be delivered."""
    store = Store()

    def swap() -> None:
        store.before_answer = lambda: None
        store.replace("second", 4, c="1")

    def change() -> None:
        store.before_answer = swap
        store.write(11, a="2")

    seen = await collect(store, 0.1, change)
    assert values(seen) == [("first", {"p/a": b"1"}), ("second", {"p/c": b"1"})]


async def test_an_index_that_goes_back_in_the_same_store_starts_over_quietly() -> None:
    store = Store()

    def reaped() -> None:
        store.index = 6
        store.expire()

    seen = await collect(store, 0.1, reaped, lambda: store.write(7, a="1", b="1"))
    assert values(seen)[-1] == ("first", {"p/a": b"1", "p/b": b"1"})
    assert store.reads == [0, 10, 0, 6, 7]


async def test_a_query_whose_time_is_over_delivers_nothing() -> None:
    store = Store()
    seen = await collect(store, 0.05, store.expire, store.expire)
    assert len(seen) == 1
    assert store.reads == [0, 10, 10, 10]


async def test_errors_deliver_nothing_and_lose_nothing() -> None:
    store = Store()

    def away() -> None:
        store.failures.extend([AWAY] * 5)
        store.write(12, a="2")

    seen = await collect(store, 0.1, away)
    assert values(seen) == [("first", {"p/a": b"1"}), ("first", {"p/a": b"2"})]


async def test_an_epoch_without_any_key_is_delivered_because_owners_must_know() -> None:
    store = Store()
    store.content = {}
    seen = await collect(store, 0.1, lambda: store.replace("second", 1))
    assert values(seen) == [("first", {}), ("second", {})]


async def test_the_look_at_the_epoch_ends_with_the_last_watch() -> None:
    store = Store()
    await collect(store, 0.05)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "epoch of the coordination store" not in names


def test_waits_grow_to_a_ceiling_below_two_seconds_and_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    backoff = Backoff()
    waits = [backoff.next() for _ in range(40)]
    assert waits[0] <= 0.1
    assert all(0.6 <= wait <= 1.2 for wait in waits[5:])
    backoff.reset()
    assert backoff.next() <= 0.1


def test_a_pace_lets_a_burst_pass_and_then_its_rate() -> None:
    now = [0.0]
    pace = Pace(burst=3, rate=10.0, clock=lambda: now[0])
    waits = []
    for _ in range(8):
        wait = pace.wait()
        waits.append(round(wait, 6))
        now[0] += wait
    assert waits == [0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0.1]
    now[0] += 10
    assert [pace.wait() for _ in range(3)] == [0, 0, 0]
