"""Servers shared by the tests of the backend; tests that stop or break a server start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.triton import Triton


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A server with an empty repository that wants whole configurations, as the platform's own run."""
    server = Triton(tmp_path_factory.mktemp("triton"), extra=["--no-auto-complete"]).start(models=[])
    yield server
    server.kill()


@pytest.fixture(scope="session")
def completing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A server that completes configurations from the graph."""
    server = Triton(tmp_path_factory.mktemp("completing")).start(models=[])
    yield server
    server.kill()
