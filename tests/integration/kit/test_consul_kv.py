"""The key-value store as services use it, on a real Consul."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from bmase.reasons import Reason

from services.kit.consul import Consul, KvOp
from services.kit.consul.kv import EPOCH_KEY
from services.kit.consul.model import Entry
from services.kit.errors import DomainError
from tests.support.consul import Consul as ConsulServer
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio


async def test_what_is_put_is_read_back(consul: Consul) -> None:
    await consul.kv.put("bmase/t1/a", {"b": [1, "ü"]})
    await consul.kv.put("bmase/t1/empty", b"")
    await consul.kv.put("bmase/t1/bytes", bytes(range(256)))

    entry = await consul.kv.get("bmase/t1/a")
    assert entry is not None
    assert entry.json() == {"b": [1, "ü"]}
    listing = await consul.kv.list("bmase/t1/")
    assert {key: entry.value for key, entry in listing.entries.items()} == {
        "bmase/t1/a": entry.value,
        "bmase/t1/empty": b"",
        "bmase/t1/bytes": bytes(range(256)),
    }
    assert await consul.kv.get("bmase/t1/nothing") is None


async def test_compare_and_set_lets_one_of_many_win(consul: Consul) -> None:
    key = "bmase/t2/race"
    created = await asyncio.gather(*(consul.kv.cas(key, str(n), 0) for n in range(20)))
    assert created.count(True) == 1
    entry = await consul.kv.get(key)
    assert entry is not None
    updated = await asyncio.gather(*(consul.kv.cas(key, f"update {n}", entry.modify_index) for n in range(20)))
    assert updated.count(True) == 1
    assert not await consul.kv.delete(key, modify_index=entry.modify_index)
    assert await consul.kv.delete(key)
    assert await consul.kv.get(key) is None


async def test_a_transaction_writes_all_or_nothing(consul: Consul) -> None:
    await consul.kv.put("bmase/t3/a", "1")
    entry = await consul.kv.get("bmase/t3/a")
    assert entry is not None
    both = [KvOp("cas", "bmase/t3/a", "2", index=entry.modify_index), KvOp("set", "bmase/t3/b", "2")]
    assert await consul.kv.txn(both)
    assert not await consul.kv.txn([KvOp("set", "bmase/t3/b", "3"), *both[:1]])
    listing = await consul.kv.list("bmase/t3/")
    assert [entry.value for entry in listing.entries.values()] == [b"2", b"2"]


async def test_a_value_up_to_the_limit_fits_and_one_byte_more_is_refused(consul: Consul) -> None:
    await consul.kv.put("bmase/t4/big", b"x" * 524_288)
    with pytest.raises(DomainError, match="524,289 bytes") as refused:
        await consul.kv.put("bmase/t4/big", b"x" * 524_289)
    assert refused.value.reason is Reason.REQUEST_TOO_LARGE


async def test_everybody_finds_the_same_epoch(consul: Consul) -> None:
    await consul.kv.delete(EPOCH_KEY)
    epochs = await asyncio.gather(*(consul.kv.epoch() for _ in range(20)))
    assert len(set(epochs)) == 1
    assert (await consul.kv.list("bmase/none/")).epoch == epochs[0]


async def test_a_stopped_consul_is_an_error_in_seconds(consul: Consul, consul_server: ConsulServer) -> None:
    await consul.kv.put("bmase/t6/a", "1")
    consul_server.process.suspend()
    started = time.monotonic()
    with pytest.raises(DomainError, match="no answer within 5 s") as hung:
        await consul.kv.get("bmase/t6/a")
    assert hung.value.reason is Reason.COORDINATION_UNAVAILABLE
    assert time.monotonic() - started < 20
    consul_server.process.resume()
    (answer,) = await _answers(consul, "bmase/t6/a", 1)  # the server may have to elect itself anew
    assert answer is not None


async def test_no_consul_at_all_is_an_error_at_once() -> None:
    async with Consul(f"http://127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(DomainError) as refused:
            await nobody.kv.put("bmase/a", "1")
    assert refused.value.reason is Reason.COORDINATION_UNAVAILABLE
    assert "Check that the Consul agent runs" in refused.value.hint


async def test_a_restarted_store_is_never_seen_as_it_was_long_ago(consul: Consul, consul_server: ConsulServer) -> None:
    """It reads its log back only after it has elected itself; what was written last comes last."""
    for batch in range(60):
        assert await consul.kv.txn([KvOp("set", f"bmase/t7/{batch}-{n}", b"x" * 200) for n in range(60)])
    await consul.kv.put("bmase/t7-last", "here")
    consul_server.kill()
    consul_server.process.start()
    assert None not in await _answers(consul, "bmase/t7-last", 20)


async def _answers(consul: Consul, key: str, count: int) -> list[Entry | None]:
    """So many answers, however often Consul has none yet."""
    answers: list[Entry | None] = []
    async with asyncio.timeout(30):
        while len(answers) < count:
            with contextlib.suppress(DomainError):
                answers.append(await consul.kv.get(key))
    return answers
