"""The document store, one a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.secantusdb import SecantusDB


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecantusDB]:
    with SecantusDB(tmp_path_factory.mktemp("secantusdb")) as server:
        yield server


@pytest.fixture
def server(shared_store: SecantusDB) -> Iterator[SecantusDB]:
    """Running at the start of every test, whatever the test before did to it."""
    if not shared_store.process.alive:
        shared_store.start()
    yield shared_store
    if shared_store.process.alive:
        shared_store.process.resume()
