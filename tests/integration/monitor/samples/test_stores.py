"""The promises of a store, kept by both: in memory, and in a real document store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from services.monitor.samples.model import Batch, Query, Report, Rules, Sample, Shown, Told, new_id
from services.monitor.samples.store import SampleStore, open_store
from tests.support.secantusdb import SecantusDB

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "mongodb"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SampleStore]:
    url = "memory:" if request.param == "memory" else request.getfixturevalue("server").url()
    opened = open_store(url)
    yield opened
    await opened.close()


def sample(request_id: str = "r", *, ago: float = 0.0, **more: object) -> Sample:
    moment = time.time() - ago
    found: dict[str, object] = {"model": "digits", "version": 1, "raw": b"x" * 100, **more}
    return Sample(new_id(moment), time=moment, request_ids=(request_id,), **found)  # type: ignore[arg-type]


async def write(
    store: SampleStore, samples: Iterable[Sample], reports: Iterable[Report] = (), life: float = 3600
) -> None:
    made = tuple(samples)
    await store.write(Batch(made, tuple(reports), {one.id: one.time + life for one in made}))


def names(samples: Iterable[Sample]) -> list[str]:
    return [one.request_id for one in samples]


async def test_a_sample_comes_back_as_it_was(store: SampleStore) -> None:
    kept = sample(
        client="client-1",
        status="OK",
        duration_ms=1.5,
        protocol="http",
        via="version",
        inputs=(Shown("x", "FP32", (1, 2), ("1", "2"), True), Shown("secret", redacted=True)),
        outputs=(Shown("y", "BYTES", (1,), ("größer",)),),
        prediction="7",
        raw=b"\x00\xff{}",
    )
    kept = replace(kept, request_ids=("own", "header"), told=Told("7", 0.5, 12.5, wrong=False))
    await write(store, [kept])
    assert await store.page(Query("digits", raw=True)) == [kept]
    assert (await store.page(Query("digits")))[0] == replace(kept, raw=b"")
    assert (await store.find("digits", ["header", "other"])) == {
        "header": replace(kept, raw=b"", inputs=(), outputs=())
    }


async def test_pages_go_on_after_the_last_one_seen_while_others_come_and_go(store: SampleStore) -> None:
    await write(store, [sample(f"r-{n}", ago=100 - n) for n in range(100)])
    first = await store.page(Query("digits", limit=30, raw=True))
    assert names(first) == [f"r-{n}" for n in range(99, 69, -1)]
    await write(store, [sample(f"new-{n}") for n in range(50)])
    await store.enforce("digits", Rules(max_bytes=sum(one.weight() for one in first) * 4))
    second = await store.page(Query("digits", before=first[-1].id, limit=30))
    assert names(second) == [f"r-{n}" for n in range(69, 39, -1)]


async def test_queries_leave_out_what_was_not_asked_for(store: SampleStore) -> None:
    wrong, right = (Told("3", 0.0, 1.0, wrong=verdict) for verdict in (True, False))
    await write(
        store,
        [
            sample("a", version=1, told=wrong),
            sample("b", version=2, told=right),
            sample("c", version=2, raw=b""),
            sample("d", model="other"),
        ],
    )
    assert names(await store.page(Query("digits", version=2))) == ["c", "b"]
    assert names(await store.page(Query("digits", wrong=True))) == ["a"]
    assert names(await store.page(Query("digits", replayable=True))) == ["b", "a"]
    assert await store.count(Query("digits", replayable=True)) == 2
    assert await store.count(Query("digits", limit=1)) == 1
    assert await store.page(Query("none")) == []


async def test_writing_again_changes_nothing(store: SampleStore) -> None:
    samples = [sample(f"r-{n}") for n in range(10)]
    await write(store, samples[:6])
    await write(store, samples)
    assert await store.count(Query("digits", limit=100)) == 10


async def test_the_first_outcome_stays(store: SampleStore) -> None:
    await write(store, [sample("a"), sample("b")])
    for label in ("3", "7"):
        await write(store, [], [Report("digits", "a", Told(label, 0.0, 1.0, wrong=True))])
    await write(store, [], [Report("digits", "nobody", Told("1", 0.0, 1.0, wrong=True))])
    found = await store.find("digits", ["a", "b"])
    assert found["a"].told == Told("3", 0.0, 1.0, wrong=True)
    assert found["b"].told is None
    assert names(await store.page(Query("digits", wrong=True))) == ["a"]


async def test_of_requests_with_one_name_the_latest_counts(store: SampleStore) -> None:
    old, new = sample("same", ago=10, version=1), sample("same", version=2)
    await write(store, [new, old])
    assert (await store.find("digits", ["same"]))["same"].version == 2


async def test_a_thousand_requests_are_found_at_once(store: SampleStore) -> None:
    await write(store, [sample(f"r-{n}") for n in range(2000)])
    begun = time.monotonic()
    found = await store.find("digits", [f"r-{n}" for n in range(1500, 2500)])
    assert sorted(found) == sorted(f"r-{n}" for n in range(1500, 2000))
    assert time.monotonic() - begun < 4, "0.3 s on a quiet machine"


async def test_what_is_too_old_is_not_shown_and_goes(store: SampleStore) -> None:
    await write(store, [sample("old", ago=100)], life=50)
    await write(store, [sample("new")])
    assert names(await store.page(Query("digits"))) == ["new"]
    assert await store.count(Query("digits")) == 1
    assert await store.find("digits", ["old"]) == {}
    assert await store.enforce("digits", Rules()) == (await store.page(Query("digits", raw=True)))[0].weight()


async def test_rules_remove_what_they_no_longer_allow(store: SampleStore) -> None:
    secret = (Shown("patient", "BYTES", (1,), ("4711",)),)
    hidden = (Shown("patient", redacted=True),)
    await write(store, [sample("a", inputs=secret), sample("b", outputs=secret), sample("c", inputs=hidden)])
    await write(store, [sample("d", ago=1000), sample("e", model="other", inputs=secret)])
    await store.enforce("digits", Rules(retention=500))
    assert names(await store.page(Query("digits"))) == ["c", "b", "a"]
    await store.enforce("digits", Rules(redacted=("patient",)))
    assert names(await store.page(Query("digits"))) == ["c"]
    assert await store.enforce("digits", Rules(opt_out=True)) == 0
    assert names(await store.page(Query("other"))) == ["e"]


async def test_the_oldest_goes_when_a_model_has_too_much(store: SampleStore) -> None:
    await write(store, [sample(f"r-{n}", ago=1000 - n, raw=b"x" * 1000) for n in range(700)])
    await write(store, [sample("other", model="other", raw=b"x" * 100_000)])
    size = (await store.sizes())["digits"]
    assert await store.enforce("digits", Rules(max_bytes=size // 10)) == size // 10
    kept = await store.page(Query("digits", limit=1000))
    assert names(kept) == [f"r-{n}" for n in range(699, 629, -1)]
    sizes = await store.sizes()
    assert sizes["digits"] == size // 10
    assert sizes["other"] > 100_000


async def test_memory_is_bounded_over_all_models() -> None:
    store = open_store("memory:", memory_bytes=100_000)
    for model in ("small", "large"):
        await write(
            store, [sample(f"r-{n}", model=model, raw=b"x" * 100) for n in range(10 if model == "small" else 500)]
        )
    sizes = await store.sizes()
    assert sum(sizes.values()) <= 100_000
    assert await store.count(Query("small")) == 10
    assert names(await store.page(Query("large", limit=1))) == ["r-499"]


async def test_the_store_itself_removes_what_expired(server: SecantusDB) -> None:
    """A TTL index, so that data go even when no monitor runs."""
    from pymongo import AsyncMongoClient  # noqa: PLC0415

    url = server.url()
    store = open_store(url)
    await write(store, [sample("old")], life=1)
    await write(store, [sample("new")])
    await store.close()
    async with AsyncMongoClient(url) as client:
        documents = client.get_default_database()["samples"]
        indexes = await documents.index_information()
        assert any(found.get("expireAfterSeconds") == 0 for found in indexes.values())
        deadline = time.monotonic() + 90
        while await documents.count_documents({}) > 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert [one["requests"] async for one in documents.find()] == [["new"]]
