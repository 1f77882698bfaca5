"""Routes that are held for nobody: by a release that ended, or by one that the database does not know.

That is what a take-over with an empty database leaves behind, or a write of a former leader that landed late; until the
route is given back, nobody can move its traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError, translated
from services.patcher.releases.effects import GiveBack
from services.patcher.releases.eyes import Eyes, RouteWatch
from services.patcher.releases.records import ReleaseRecords
from services.patcher.releases.state import Chore, Release
from services.patcher.releases.tools import Tools

log = structlog.get_logger(__name__)

EVERY = 10.0  # seconds; also how long a route stays with a release that has only just ended


class Orphans:
    """One leader's. `flown` tells the releases that have a pilot."""

    def __init__(
        self,
        records: ReleaseRecords,
        tools: Tools,
        *,
        eyes: Eyes,
        routes: RouteWatch,
        flown: Callable[[str], bool],
    ) -> None:
        self._records = records
        self._tools = tools
        self._eyes = eyes
        self._routes = routes
        self._flown = flown

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.free()
            except Exception as error:
                log.error("orphans_defect", exc_info=error)

    async def free(self) -> None:
        """Gives back what is held for nobody; what does not work is tried the next time."""
        if not self._eyes.settled():
            return
        for model, holder in self._routes.held().items():
            if self._flown(holder):
                continue
            try:
                await self._look_at(model, holder)
            except (DomainError, grpc.aio.AioRpcError) as error:
                refusal = error if isinstance(error, DomainError) else translated(error, "gateway")
                log.warning("route_not_freed", model=model, release=holder, message=refusal.message)

    async def _look_at(self, model: str, holder: str) -> None:
        release = await self._found(holder)
        if cared_for(release):
            return
        versions = (release.stable, release.candidate) if release else ()
        await self._tools.give_back(GiveBack(model, holder, self._tools.fence), versions)
        log.warning("route_freed", model=model, release=holder, known=release is not None)

    async def _found(self, holder: str) -> Release | None:
        try:
            return await self._records.get(holder)
        except DomainError as error:
            if error.reason is not Reason.RELEASE_NOT_FOUND:
                raise
            return None


def cared_for(release: Release | None) -> bool:
    """Whether the release gives the route back by itself."""
    return release is not None and (not release.final or Chore.GIVE_BACK_ROUTE in release.chores)
