"""One Triton for all tests of its backend; tests that stop or break a server start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.triton import Triton


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A server with an empty repository."""
    server = Triton(tmp_path_factory.mktemp("triton")).start(models=[])
    yield server
    server.stop()
