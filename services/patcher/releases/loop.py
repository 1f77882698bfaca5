"""The leader's releases: one query a tick finds everything unfinished, and each release has a pilot of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.releases.eyes import Eyes, RouteWatch
from services.patcher.releases.metrics import ReleaseMetrics
from services.patcher.releases.monitor import Monitor
from services.patcher.releases.news import News
from services.patcher.releases.orphans import Orphans
from services.patcher.releases.pilot import Desk, Pilot
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.state import Hold, Release
from services.patcher.releases.tools import Tools

log = structlog.get_logger(__name__)

TICK = 1.0
# Changes in Consul are looked at in bunches: evidence and commands do not come this way.
SHORTEST_TICK = 0.1
AFTER_DEFECT = 2.0


class ReleaseLoop:
    """Runs under the patcher's own lease, so that deployments and releases never have different leaders."""

    def __init__(
        self,
        records: ReleaseRecords,
        *,
        eyes: Eyes,
        routes: RouteWatch,
        monitor: Monitor,
        news: News,
        metrics: ReleaseMetrics,
        tools: Callable[[int], Tools],
        who: str,
    ) -> None:
        self._records = records
        self._eyes = eyes
        self._routes = routes
        self._monitor = monitor
        self._news = news
        self._metrics = metrics
        self._tools = tools
        self._who = who
        self._pilots: dict[str, tuple[Pilot, asyncio.Task[None]]] = {}
        self._not_before: dict[str, float] = {}
        self._read_of = (-1, 0.0)  # the commands that were known at the last query, and when that was
        routes.changed = self._routes_changed

    def live(self, release: str) -> tuple[bytes, Hold | None] | None:
        """The latest evidence and the present words of a release that this instance leads."""
        found = self._pilots.get(release)
        if found is None:
            return None
        pilot = found[0]
        return (pilot.evidence.raw if pilot.evidence else b"", pilot.stands)

    async def lead(self, fence: int) -> None:
        """Returns when another instance leads; what was begun is broken off then, and begun again by that one."""
        desk = Desk(self._records, self._tools(fence), self._eyes, self._monitor, self._news, self._metrics)
        orphans = Orphans(self._records, desk.tools, eyes=self._eyes, routes=self._routes, flown=self._flies)
        beside: list[asyncio.Task[None]] = []
        try:
            await self._begin(fence)
            beside.append(asyncio.create_task(orphans.run(), name="orphans"))
            self._read_of = (-1, 0.0)
            seen = -1
            while True:
                seen = await self._news.leader.wait(seen, TICK)
                self._eyes.forget()
                self._reap()
                if self._is_due():
                    await self._read(desk)
                for pilot, _ in self._pilots.values():
                    pilot.wake()
                await asyncio.sleep(SHORTEST_TICK)
        except DomainError as error:
            if error.reason is not Reason.NOT_LEADER:
                raise
            log.info("releases_deposed", fence=fence)
        finally:
            await self._land(beside)

    async def _begin(self, fence: int) -> None:
        while True:
            try:
                await self._records.lead(fence, self._who)
                return
            except DomainError as error:
                if error.reason is not Reason.STORE_UNAVAILABLE:
                    raise
                log.warning("releases_wait", message=error.message)
                await asyncio.sleep(TICK)

    def offer(self, release: Release) -> None:
        """What was just kept by a command; without a way round through the database."""
        if release.id in self._pilots:
            self._pilots[release.id][0].offer(release)

    def _is_due(self) -> bool:
        """Once a tick, as other instances write, too; at once after a command."""
        commands, now = self._news.commands, time.monotonic()
        if commands == self._read_of[0] and now - self._read_of[1] < TICK:
            return False
        self._read_of = (commands, now)
        return True

    async def _read(self, desk: Desk) -> None:
        try:
            unfinished = await self._records.unfinished()
        except Exception as error:
            # The pilots go on with what they know: a retreat does not wait for the store.
            log.warning("releases_not_read", error=str(error))
            await asyncio.sleep(TICK / 4)
            unfinished = []
        for release in unfinished:
            self._take(release, desk)
        self._metrics.flying(pilot.release for pilot, _ in self._pilots.values())

    def _take(self, release: Release, desk: Desk) -> None:
        if release.id in self._pilots:
            self._pilots[release.id][0].offer(release)
        elif time.monotonic() >= self._not_before.get(release.id, 0.0):
            pilot = Pilot(release, desk)
            self._pilots[release.id] = (pilot, asyncio.create_task(pilot.run(), name=f"release {release.id}"))

    def _reap(self) -> None:
        """Takes away the pilots that have ended; raises NOT_LEADER if that is why."""
        for name, (_, task) in list(self._pilots.items()):
            if not task.done():
                continue
            del self._pilots[name]
            error = task.exception()
            if error is None:
                continue
            if isinstance(error, DomainError) and error.reason is Reason.NOT_LEADER:
                raise error
            log.error("pilot_failed", release=name, exc_info=error)
            self._not_before[name] = time.monotonic() + AFTER_DEFECT

    def _flies(self, release: str) -> bool:
        return release in self._pilots

    async def _land(self, beside: list[asyncio.Task[None]]) -> None:
        tasks = [*beside, *(task for _, task in self._pilots.values())]
        self._pilots = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._metrics.flying([])

    def _routes_changed(self, models: frozenset[str]) -> None:
        for pilot, _ in self._pilots.values():
            if pilot.release.model in models:
                pilot.route_changed()
