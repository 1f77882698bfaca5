"""What all tests with a real binary share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest


@pytest.fixture(scope="session", autouse=True)
async def one_loop(anyio_backend: str) -> AsyncIterator[None]:
    """One event loop for all asynchronous tests of a worker.

    grpc.aio has one poller a process: an event of a cancelled call that comes after its loop was closed raises in the
    loop that runs by then, and fails a test that has nothing to do with it.
    """
    yield  # noqa: PT022 -- returning would close the loop
