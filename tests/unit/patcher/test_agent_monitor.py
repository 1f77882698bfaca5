"""The agent's eye on Triton, with a Triton that does what a test wants."""

from __future__ import annotations

import asyncio
import contextlib

from services.patcher.agent.monitor import Monitor


class Served:
    """Always answers; `ends` breaks the connection while nobody looks."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()
        self.live = True

    async def is_live(self) -> bool:
        return self.live

    async def index(self) -> dict[str, frozenset[int]]:
        return {"m": frozenset({1})}

    async def left(self) -> None:
        await self.ends.wait()
        self.ends.clear()

    def give_up(self) -> None:
        pass


async def test_a_restart_between_two_looks_is_a_new_life() -> None:
    triton, lives = Served(), []

    async def check() -> str:
        return ""

    monitor = Monitor(triton, check, lambda: lives.append((monitor.view.life, monitor.view.up)))  # type: ignore[arg-type]
    watching = asyncio.create_task(monitor.run())
    async with asyncio.timeout(5):
        while not monitor.view.usable:
            await asyncio.sleep(0)
        triton.ends.set()
        while monitor.view.life < 2 or not monitor.view.usable:
            await asyncio.sleep(0)
    assert (1, False) in lives
    assert monitor.view.loaded == {"m": frozenset({1})}
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def test_a_server_that_says_it_is_not_live_is_not_up() -> None:
    triton = Served()
    monitor = Monitor(triton, None, lambda: None)  # type: ignore[arg-type]
    await monitor.look()
    assert monitor.view.up
    triton.live = False
    for _ in range(2):
        await monitor.look()
    assert (monitor.view.up, monitor.view.gone) == (False, False), "what it has loaded is not known"
    assert monitor.message == "Triton says that it is not live"
    triton.live = True
    await monitor.look()
    assert (monitor.view.up, monitor.view.life) == (True, 2)
