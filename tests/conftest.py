"""What all tests share."""

from __future__ import annotations

import signal

import pytest

# Where tests run in the background of a shell, interrupts are ignored, which programs that they start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, which grpc.aio is bound to."""
    return "asyncio"
