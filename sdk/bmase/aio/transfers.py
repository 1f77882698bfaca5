"""Transfers in a thread: reading, hashing and writing files would block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from bmase.errors import BmaseError
from bmase.progress import Listener
from bmase.settings import Settings
from bmase.sync.wire import Wire
from bmase.transfer import Transfer

Result = TypeVar("Result")


async def transfer(settings: Settings, listener: Listener, work: Callable[[Transfer], Result]) -> Result:
    """Runs `work` over a connection of its own; cancelling the task stops it, and what was transferred is kept."""
    wire = Wire(settings)
    running = Transfer(wire, listener)
    thread = asyncio.get_running_loop().run_in_executor(None, work, running)
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        running.cancel()
        with contextlib.suppress(BmaseError):
            await thread
        raise
    finally:
        wire.close()
