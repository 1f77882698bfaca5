"""Carries out one release's effects: each beside the others, one of a kind at a time, again later if it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc
import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError, translated
from services.patcher.releases import effects as fx
from services.patcher.releases.decide import done
from services.patcher.releases.observation import Answer, Shadowed, Trouble
from services.patcher.releases.records import Decide
from services.patcher.releases.state import Chore, Event, Kind, Move, Phase, Release, moved
from services.patcher.releases.tools import Tools

log = structlog.get_logger(__name__)

FIRST_RETRY = 0.1
LONGEST_RETRY = 5.0
ASK_AGAIN = 5.0
# The watch shows a write within milliseconds; until then it is not done again.
QUIET_SECONDS = 1.0

# Keeps what an effect has settled, on the release as it is kept then.
Keep = Callable[[Decide], Awaitable[None]]


class Hands:
    """One release's. What it learns (`shadow`, `answers`, `troubles`) is part of the next look."""

    def __init__(
        self, tools: Tools, keep: Keep, wake: Callable[[], None], written: Callable[[fx.SetWeights], None]
    ) -> None:
        self._tools = tools
        self._keep = keep
        self._wake = wake
        self._written = written
        self._running: dict[str, tuple[fx.Effect, asyncio.Task[None]]] = {}
        self._last: dict[str, tuple[fx.Effect, float]] = {}  # the last attempt of a kind, and when it may be made again
        self._failures: dict[str, int] = {}
        # Another leader has written, by the database's word: the fence of one route may be anybody's.
        self.deposed = False
        self.troubles: dict[str, Trouble] = {}
        self.shadow: Shadowed | None = None
        self.answers: dict[tuple[int, int], tuple[Answer, str]] = {}

    def start(self, wanted: list[fx.Effect], release: Release) -> None:
        """Begins what is wanted; what is not wanted any more is no trouble any more."""
        keys = {effect.key for effect in wanted}
        for key in self.troubles.keys() - keys:
            del self.troubles[key]
            self._failures.pop(key, None)
        for effect in wanted:
            self._begin(effect, release)

    def look_again(self, key: str) -> None:
        """What lies there has changed: if it is still not as wished, it is not the watch that is late."""
        if key not in self._failures:
            self._last.pop(key, None)

    def _begin(self, effect: fx.Effect, release: Release) -> None:
        """Another wish of the same kind replaces the one under way; the same one is left alone, or for a while."""
        running, last = self._running.get(effect.key), self._last.get(effect.key)
        if running is not None:
            if running[0] == effect:
                return
            running[1].cancel()
        elif last is not None and last[0] == effect and time.monotonic() < last[1]:
            return
        task = asyncio.create_task(self._run(effect, release))
        self._running[effect.key] = (effect, task)
        task.add_done_callback(lambda ended: self._ended(effect.key, ended))

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        running = self._running.get(key)
        if running is not None and running[1] is task:
            del self._running[key]

    async def stop(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, effect: fx.Effect, release: Release) -> None:
        try:
            await self._carry_out(effect, release)
        except (DomainError, grpc.aio.AioRpcError) as error:
            self._failed(effect, error if isinstance(error, DomainError) else translated(error, _PEERS[type(effect)]))
        except Exception as error:
            log.error("effect_defect", effect=str(effect), exc_info=error)
            self._failed(effect, DomainError(Reason.INTERNAL, "an internal error; the patcher's log says more"))
        else:
            self._failures.pop(effect.key, None)
            self.troubles.pop(effect.key, None)
            self._last[effect.key] = (effect, time.monotonic() + QUIET_SECONDS)
        self._wake()

    def _failed(self, effect: fx.Effect, error: DomainError) -> None:
        at_gateway = isinstance(effect, fx.SetWeights | fx.GiveBack)
        self.deposed = self.deposed or (error.reason is Reason.NOT_LEADER and not at_gateway)
        count = self._failures.get(effect.key, 0) + 1
        wait = min(FIRST_RETRY * 2 ** min(count - 1, 10), LONGEST_RETRY)
        self._failures[effect.key] = count
        self._last[effect.key] = (effect, time.monotonic() + wait)
        if effect.key not in self.troubles:
            log.warning("effect_waits", effect=str(effect), reason=error.reason.value, cause=error.message)
        self.troubles[effect.key] = Trouble(error.reason.value, error.message)
        asyncio.get_running_loop().call_later(wait + 0.01, self._wake)

    async def _carry_out(self, effect: fx.Effect, release: Release) -> None:
        match effect:
            case fx.SetWeights():
                await self._tools.set_weights(effect, release)
                self._written(effect)
            case fx.Deploy():
                await self._tools.deploy(effect, release)
            case fx.Replay():
                self.shadow = await self._tools.replay(effect)
            case fx.Ask():
                await self._ask(effect, release)
            case _:
                await self._keep(await self._settled(effect, release))

    async def _ask(self, effect: fx.Ask, release: Release) -> None:
        """The answer is shown at once; one that says "wait" is asked for again after a while."""
        self.answers[effect.step, effect.webhook] = answer = await self._tools.ask(effect, release)
        if answer[0] is Answer.WAIT:
            self._wake()
            await asyncio.sleep(ASK_AGAIN)

    async def _settled(self, effect: fx.Effect, release: Release) -> Decide:
        """Does it; what there is to keep afterwards."""
        match effect:
            case fx.GiveBack():
                await self._tools.give_back(effect, (release.stable, release.candidate))
                return lambda kept: [done(kept, Chore.GIVE_BACK_ROUTE)]
            case fx.Undeploy(chore=chore):
                note = await self._tools.undeploy(effect)
                return lambda kept: left(kept, chore, note)
            case fx.EndComparison():
                await self._tools.end_comparison(effect)
                return lambda kept: [done(kept, Chore.END_COMPARISON)]
            case fx.MoveAlias(version=version):
                await self._tools.move_alias(effect)
                return lambda kept: [Move(replace(kept, alias_told=version), what=f"alias at {version}")]
            case fx.Tell():
                told = await self._tools.tell(effect, release)
                return lambda kept: [Move(replace(kept, told=max(kept.told, told)), what=f"told up to {told}")]
        raise AssertionError(f"nothing is kept of {effect}")


def left(release: Release, chore: Chore, note: str) -> list[Move]:
    """The chore is done; with a note it is said why the version stays."""
    move = done(release, chore)
    if not note:
        return [move]
    kind = Kind.COMPLETED if release.phase is Phase.COMPLETED else Kind.ROLLBACK
    event = Event(kind, note, Reason.VERSION_IN_ROUTE)
    said = moved(move.release, event, time.time())
    return [Move(replace(said.release, reason=release.reason, message=release.message), said.event)]


_PEERS: dict[type[fx.Effect], str] = {
    fx.SetWeights: "gateway",
    fx.GiveBack: "gateway",
    fx.Deploy: "registry",
    fx.Undeploy: "gateway",
    fx.Replay: "monitor",
    fx.Ask: "webhook",
    fx.Tell: "webhook",
    fx.MoveAlias: "registry",
    fx.EndComparison: "monitor",
}
