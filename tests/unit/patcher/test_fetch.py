"""Fetching beside a neighbour, from a registry that is plain data."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bmase.registry.v1 import registry_pb2 as pb

from services.patcher.agent import store as store_module
from services.patcher.agent.fetch import Fetcher
from services.patcher.agent.store import Store
from services.patcher.documents import DesiredFile
from tests.unit.patcher.test_node_disk import digest_of

pytestmark = pytest.mark.anyio


class Channel:
    """Serves the contents; `between` happens whenever a file is asked for."""

    def __init__(self, *contents: bytes, between: Callable[[], None]) -> None:
        self._contents = {digest_of(content): content for content in contents}
        self._between = between

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        return lambda path, *_, **__: self._read

    async def _read(self, request: pb.ReadArtefactRequest, timeout: float) -> AsyncIterator[pb.ReadArtefactResponse]:
        self._between()
        yield pb.ReadArtefactResponse(data=self._contents[request.digest][request.offset :])


def file(content: bytes) -> DesiredFile:
    return DesiredFile(path="f", digest=digest_of(content), size_bytes=len(content))


async def test_a_transfer_that_began_meanwhile_survives(tmp_path: Path) -> None:
    store, neighbour, wanted = Store(tmp_path, budget=1000), file(b"neighbour"), set()

    def another_is_wanted() -> None:
        wanted.add(neighbour.digest)
        store.partial(neighbour.digest).write_bytes(b"neigh")

    fetcher = Fetcher(Channel(b"first", b"second", between=another_is_wanted), store)  # type: ignore[arg-type]
    files = [file(b"first"), file(b"second")]
    wanted |= {each.digest for each in files}
    await fetcher.fetch(files, lambda: set(wanted), lambda size: None)
    assert all(store.has(each.digest, each.size_bytes) for each in files)
    assert store.partial(neighbour.digest).read_bytes() == b"neigh"


async def test_the_disk_is_not_waited_for_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[threading.Thread] = []
    monkeypatch.setattr(store_module.os, "fsync", lambda handle: synced.append(threading.current_thread()))
    fetcher = Fetcher(Channel(b"first", between=lambda: None), Store(tmp_path, budget=1000))  # type: ignore[arg-type]
    await fetcher.fetch([file(b"first")], lambda: (), lambda size: None)
    assert synced
    assert threading.main_thread() not in synced
