"""The leader's loop: look, decide, keep, act. Whatever it does may be done again by whoever leads next."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.kit.leader import Leadership
from services.trainer.engine.engine import Engine
from services.trainer.jobs.decide import Act, Decision, Seen, Wait, decide
from services.trainer.jobs.quotas import Quotas
from services.trainer.jobs.records import LEADER, JobRecords

log = structlog.get_logger(__name__)

NAP = 1.0
CALM = 0.3  # between two rounds: what a driver says comes often, and a round costs CPU of the trainings


class Loop:
    """Leads whenever this instance is the leader, until cancelled."""

    def __init__(
        self, consul: Consul, records: JobRecords, hub: Hub, *, engine: Callable[[], Engine], quotas: Quotas
    ) -> None:
        self._consul, self._records, self._hub = consul, records, hub
        self._engine, self._quotas = engine, quotas
        self._claimed = False  # the fence, in the store
        self.leading = False
        self.waits: Mapping[str, Wait] = {}  # why jobs do not start; known to the leader
        self.phases: Mapping[str, int] = {}  # how many jobs are in each

    async def run(self) -> None:
        """Until cancelled."""
        async with Leadership(self._consul, LEADER, floor=self._records.fence) as leadership:
            async for lease in leadership:
                self.leading = True
                try:
                    await lease.run(self._lead(lease.fence))
                finally:
                    self.leading, self.waits, self.phases = False, {}, {}

    async def _lead(self, fence: int) -> None:
        engine, since, seen = self._engine(), time.time(), -1
        self._claimed = False
        try:
            await engine.open()
            while await self._round(engine, fence, since):
                await asyncio.sleep(CALM)
                seen = await self._hub.wait(seen, NAP)
        finally:
            await engine.close()

    async def _round(self, engine: Engine, fence: int, since: float) -> bool:
        """False when another instance leads."""
        try:
            await self._claim(fence)
            jobs = await self._records.unfinished()
            seen = Seen(time.time(), engine.nodes(), engine.alive(), since, engine.silence)
            plan = decide(jobs, seen, self._quotas)
            self.waits, self.phases = plan.waits, Counter(job.phase.value for job in jobs)
            for decision in plan.decisions:
                await self._carry_out(decision, engine, fence)
        except DomainError as error:
            if error.reason is Reason.NOT_LEADER:
                return False
            log.warning("round_failed", reason=error.reason.value, message=error.message)
            await asyncio.sleep(NAP)
        return True

    async def _claim(self, fence: int) -> None:
        """Once, before anything is read: from here on, earlier leaders are refused."""
        if not self._claimed:
            await self._records.lead(fence)
            self._claimed = True

    async def _carry_out(self, decision: Decision, engine: Engine, fence: int) -> None:
        kept = decision.after == decision.before or await self._records.decided(decision.before, decision.after, fence)
        if not kept:
            return  # it has changed meanwhile: the next round decides anew
        if decision.after != decision.before:
            log.info("decided", job=decision.before.id, act=decision.act.value, why=decision.sentence)
        match decision.act:
            case Act.START | Act.RESUME:
                engine.start(decision.after, fence)
            case Act.STOP:
                engine.stop(decision.after)
