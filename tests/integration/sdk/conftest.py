"""A real registry for the SDK's tests, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bmase import Client

from tests.support.registry import Registry


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One for all tests that do it no harm."""
    registry = Registry(tmp_path_factory.mktemp("registry"))
    try:
        yield registry.start()
    finally:
        registry.close()


@pytest.fixture
def own_registry(tmp_path: Path) -> Iterator[Registry]:
    """One for a test that kills it."""
    registry = Registry(tmp_path)
    try:
        yield registry.start()
    finally:
        registry.close()


@pytest.fixture
def client(shared_registry: Registry) -> Iterator[Client]:
    """A client of the shared registry."""
    with shared_registry.client() as made:
        yield made
