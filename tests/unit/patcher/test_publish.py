"""What the leader writes into Consul, and what it does not write twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.patcher import effects as fx
from services.patcher import publish
from services.patcher.documents import DesiredFile
from services.patcher.publish import Publisher
from services.patcher.state import Deployment, Key

pytestmark = pytest.mark.anyio


class Store:
    """Consul's keys and the database's files, counted."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.read: list[Key] = []
        self.kv = self

    async def get(self, key: str) -> None:
        return None

    async def cas(self, key: str, value: dict[str, Any], modify_index: int) -> bool:
        self.written.append(key)
        return True

    async def files(self, key: Key) -> tuple[DesiredFile, ...]:
        self.read.append(key)
        return (DesiredFile(path="model.onnx", digest="sha256:1", size_bytes=5),)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(publish, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


async def test_what_was_done_a_moment_ago_costs_nothing(clock: list[float]) -> None:
    store = Store()
    publisher = Publisher(store, store, 7)  # type: ignore[arg-type]
    effect = fx.PutDesired("blue", Deployment("digits", 1))
    for _ in range(3):
        await publisher.publish(effect)
    assert (store.written, store.read) == (["bmase/nodes/blue/desired/digits"], [("digits", 1)])
    clock[0] += publish.QUIET_SECONDS
    await publisher.publish(effect)
    assert len(store.written) == 2


async def test_only_the_last_moment_is_remembered(clock: list[float]) -> None:
    store = Store()
    publisher = Publisher(store, store, 7)  # type: ignore[arg-type]
    for number in range(50):
        clock[0] += publish.QUIET_SECONDS / 10
        await publisher.publish(fx.PutSynced(f"node-{number}", "e1"))
    assert len(publisher._done) <= 11
