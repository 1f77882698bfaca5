"""The leader of schedules and pipelines: look, decide, keep, act. All of it may be done again by whoever leads next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.kit.leader import Leadership
from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.decide import Effect, Hold, Move, decide, effects, settle
from services.trainer.pipelines.eyes import Eyes
from services.trainer.pipelines.hands import CREATING, PASSING, Hands
from services.trainer.pipelines.metrics import PipelineMetrics
from services.trainer.pipelines.observation import Seen
from services.trainer.pipelines.records import PipelineRecords
from services.trainer.pipelines.state import Pipeline

log = structlog.get_logger(__name__)

ELECTION = "trainer-pipelines"
TICK = 1.0
AT_ONCE = 16  # pipelines that are looked at, so that a slow answer about one holds up few others


@dataclass(frozen=True)
class Desk:
    """What a leader works with."""

    records: PipelineRecords
    eyes: Eyes
    hands: Hands
    metrics: PipelineMetrics
    news: Hub


class Pilot:
    """Takes one pipeline one round further."""

    def __init__(self, desk: Desk, fence: int) -> None:
        self._desk = desk
        self._fence = fence
        self._refused: dict[str, str] = {}  # pipeline -> what its creation is told at the moment

    async def round(self, pipeline: Pipeline) -> None:
        """Raises NOT_LEADER; everything else is one pipeline's own trouble and is tried again."""
        try:
            await self._round(pipeline)
        except DomainError as error:
            if error.reason is Reason.NOT_LEADER:
                raise
            log.warning("pipeline_round_failed", pipeline=pipeline.id, message=error.message)
        except Exception:
            log.exception("pipeline_round_failed", pipeline=pipeline.id)

    async def _round(self, pipeline: Pipeline) -> None:
        seen = await self._desk.eyes.look(pipeline, self._refused.get(pipeline.id, ""))
        after, moves = settle(pipeline, seen)
        after = waits(after, seen)
        if after != pipeline and not await self._keep(pipeline, after, moves):
            return
        if after.phase is not pipeline.phase:
            return  # what this stage depends on was not looked at; the next round, which comes at once, does
        for effect in effects(after, seen):
            await self._do(after, effect)

    async def _keep(self, before: Pipeline, after: Pipeline, moves: list[Move]) -> bool:
        if not await self._desk.records.decided(before, after, self._fence, [move.after for move in moves]):
            return False
        for move in moves:
            log.info("pipeline", pipeline=after.id, state=move.after.phase.value, message=move.sentence)
        self._told(before, after)
        return True

    async def _do(self, pipeline: Pipeline, effect: Effect) -> None:
        try:
            answer = await self._desk.hands.do(pipeline, effect)
        except DomainError as error:
            log.warning("pipeline_refused", pipeline=pipeline.id, act=effect.act.value, message=error.message)
            if effect.act not in CREATING or error.reason in PASSING:
                self._refused[pipeline.id] = error.message
                return
            answer = _given_up(pipeline, error)
        self._refused.pop(pipeline.id, None)
        if answer is not None:
            self._told(pipeline, await self._desk.records.change(pipeline.id, answer, self._fence))

    def _told(self, before: Pipeline, after: Pipeline) -> None:
        if after.final and not before.final:
            self._refused.pop(after.id, None)
            self._desk.metrics.ended(after)
        self._desk.news.notify()


def waits(pipeline: Pipeline, seen: Seen) -> Pipeline:
    """With what it waits for in words."""
    found = decide(pipeline, seen)
    return tr.waiting(pipeline, found.sentence) if isinstance(found, Hold) else pipeline


def _given_up(pipeline: Pipeline, error: DomainError) -> Callable[[Pipeline], Pipeline]:
    words = f"{error.message} ({error.hint})" if error.hint else error.message
    return lambda kept: tr.refused(kept, pipeline.phase, time.time(), error.reason.value, words)


class PipelineLoop:
    """Leads whenever this instance is the leader, until cancelled. `beside` runs under the same lease and fence."""

    def __init__(
        self, consul: Consul, desk: Desk, beside: Callable[[int], Awaitable[None]], tick: float = TICK
    ) -> None:
        self._consul = consul
        self._desk = desk
        self._beside = beside
        self._tick = tick

    async def run(self) -> None:
        """Until cancelled."""
        async with Leadership(self._consul, ELECTION, floor=self._desk.records.fence) as leadership:
            async for lease in leadership:
                await lease.run(self._lead(lease.fence))

    async def _lead(self, fence: int) -> None:
        """Both, until one of them is told that another instance leads, or fails."""
        works = [self._pipelines(fence), self._schedules(fence)]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._desk.metrics.running(())

    async def _schedules(self, fence: int) -> None:
        await self._beside(fence)

    async def _pipelines(self, fence: int) -> None:
        pilot, seen, led = Pilot(self._desk, fence), -1, False
        while True:
            try:
                if not led:  # so that an earlier leader is refused from now on
                    await self._desk.records.lead(fence)
                led = True
                unfinished = await self._desk.records.unfinished()
                self._desk.metrics.running(unfinished)
                await _few_at_once(pilot.round, unfinished)
            except DomainError as error:
                if error.reason is Reason.NOT_LEADER:
                    log.info("pipelines_deposed", fence=fence)
                    return
                log.warning("pipelines_wait", message=error.message)
                await asyncio.sleep(self._tick)
            seen = await self._desk.news.wait(seen, self._tick)


async def _few_at_once(work: Callable[[Pipeline], Awaitable[None]], pipelines: list[Pipeline]) -> None:
    """The first error, after all have ended."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(pipeline: Pipeline) -> None:
        async with room:
            await work(pipeline)

    for result in await asyncio.gather(*map(one, pipelines), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
