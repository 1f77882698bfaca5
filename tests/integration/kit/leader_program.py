"""A process that contends for the lead and says so, one JSON line an event: the leader tests kill it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.leader import Leadership, Lease, fenced_put


def say(event: str, **details: object) -> None:
    print(json.dumps({"event": event, "at": time.time(), **details}), flush=True)


async def lead(consul: Consul, lease: Lease, name: str) -> None:
    """Writes under the fence as fast as a leader does, and says when a write was refused."""
    while True:
        try:
            await fenced_put(consul.kv, f"bmase/led/{name}", {"at": time.time()}, lease.fence)
        except DomainError as error:
            say("refused", reason=error.reason, fence=lease.fence)
        await asyncio.sleep(0.05)


async def main(url: str, name: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with Consul(url) as consul, Leadership(consul, name) as leadership:
        say("ready")
        async for lease in leadership:
            say("leads", fence=lease.fence)
            await lease.run(lead(consul, lease, name))
            say("lost", fence=lease.fence)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
