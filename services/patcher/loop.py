"""The leader's loop: look, decide, keep, act. Everything it does may be done again by whoever leads next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.kit.leader import Leadership
from services.patcher import effects as fx
from services.patcher.claim import Claim
from services.patcher.decide import Rules, settle
from services.patcher.errands import Errand, Errands, Keep
from services.patcher.publish import Publisher, Written
from services.patcher.records import Records
from services.patcher.routes import Routes
from services.patcher.state import Deployment, Seat, State, Transition
from services.patcher.versions import Versions
from services.patcher.view import View

log = structlog.get_logger(__name__)

LONGEST_NAP = 1.0
SHORTEST_NAP = 0.02
ELECTION = "patcher"

# What else the leader does, under the same lease and fence.
Beside = Callable[[int], Coroutine[Any, Any, None]]


class Loop:
    """Leads whenever this instance is the leader, until cancelled."""

    def __init__(
        self,
        consul: Consul,
        records: Records,
        *,
        view: View,
        hub: Hub,
        versions: Versions,
        routes: Routes,
        rules: Rules,
        claim: Claim,
    ) -> None:
        self._consul = consul
        self._records = records
        self._view = view
        self._hub = hub
        self._versions = versions
        self._routes = routes
        self._rules = rules
        self._claim = claim
        self.beside: Beside | None = None
        self.state: State | None = None  # as it was read last, while this instance leads
        self.leading = False
        self._nap = LONGEST_NAP

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._claim.free()
            async with Leadership(self._consul, ELECTION, floor=self._records.fence) as leadership:
                async for lease in leadership:
                    self.leading = True
                    try:
                        await lease.run(self._lead(lease.fence))
                    finally:
                        self.leading, self.state = False, None
                    if self._claim.foreign:
                        break

    async def _lead(self, fence: int) -> None:
        """Both parts, until one of them is told that another instance leads, or fails."""
        if not await self._claim.made(fence):
            return
        works = [self._deployments(fence), *([self.beside(fence)] if self.beside else [])]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _deployments(self, fence: int) -> None:
        publisher = Publisher(self._consul, self._records, fence)
        errands = Errands(self._versions, self._routes, self._keeper(fence))
        seen = -1
        try:
            while True:
                seen = await self._hub.wait(seen, self._nap)
                if not await self._round(fence, publisher, errands):
                    return
        finally:
            await errands.stop()

    async def _round(self, fence: int, publisher: Publisher, errands: Errands) -> bool:
        """One round; False when another instance leads."""
        try:
            await self._tick(fence, publisher, errands)
        except DomainError as error:
            if error.reason is Reason.NOT_LEADER:
                return False
            log.warning("round_failed", reason=error.reason.value, message=error.message)
            await asyncio.sleep(LONGEST_NAP)
        return True

    async def _tick(self, fence: int, publisher: Publisher, errands: Errands) -> None:
        seen = self._view.observation()
        if seen is None:
            return
        self.state = state = await self._records.read()
        taken: list[Transition] = []
        if settle(state, seen, self._rules)[1]:

            def decide(now: State) -> State:
                nonlocal taken
                after, taken = settle(now, seen, self._rules)
                return after

            self.state = state = await self._records.change(decide, fence)
            log.info("decided", transitions=list(map(str, taken)))
            self._hub.notify()
        self._nap = nap(state, time.time())
        for effect in fx.effects(state, seen, self._rules):
            if isinstance(effect, Errand):
                errands.start(effect)
            else:
                await _published(publisher, effect)

    def _keeper(self, fence: int) -> Keep:
        async def keep(deployment: Deployment, settled: Callable[[Deployment], Transition]) -> None:
            def decide(state: State) -> State:
                now = state.deployments.get(deployment.key)
                same = now is not None and now.created == deployment.created
                return settled(now).apply(state) if now is not None and same else state

            await self._records.change(decide, fence)
            self._hub.notify()

        return keep


async def _published(publisher: Publisher, effect: Written) -> None:
    """One document that cannot be written must not keep the others from being written."""
    try:
        await publisher.publish(effect)
    except DomainError as error:
        if error.reason in (Reason.NOT_LEADER, Reason.COORDINATION_UNAVAILABLE, Reason.STORE_UNAVAILABLE):
            raise
        log.error("not_published", effect=str(effect), reason=error.reason.value, message=error.message)


def nap(state: State, now: float) -> float:
    """How long nothing can fall due: until the first drain ends, and never long, as other instances write, too."""
    ends = [replica.deadline - now for replica in state.replicas.values() if replica.seat is Seat.DRAINING]
    return max(SHORTEST_NAP, min([LONGEST_NAP, *ends]))
