"""One unfinished release under one leader: look, decide, keep, act. It sleeps until something is new.

From the monitor's word to the gateway's there is no polling: evidence wakes the pilot, and the pilot keeps its decision
in one transaction and sends the weights.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.releases.decide import settle, standing
from services.patcher.releases.effects import SetWeights, effects, follows, weights_of
from services.patcher.releases.eyes import Eyes
from services.patcher.releases.hands import Hands
from services.patcher.releases.metrics import ReleaseMetrics
from services.patcher.releases.monitor import Monitor
from services.patcher.releases.news import News
from services.patcher.releases.observation import Deployed, Evidence, Seen, Trouble
from services.patcher.releases.records import Decide, ReleaseRecords
from services.patcher.releases.retreat import needs_stable
from services.patcher.releases.state import Hold, Move, Phase, Release
from services.patcher.releases.tools import Tools

log = structlog.get_logger(__name__)

NAP = 1.0  # time passes, too: minimums, keeping, and other instances' writes
FOLLOW_AGAIN = 0.5
STORE_SECONDS = 1.0  # a retreat waits no longer for a store that hangs
# Longer than the session of an agent that died: if it still says "ready", its node is only out of our own reach.
AGENT_IS_RIGHT = 25.0
LONGEST_FOLLOW_AGAIN = 5.0


@dataclass(frozen=True)
class Desk:
    """What all pilots of a leader share."""

    records: ReleaseRecords
    tools: Tools
    eyes: Eyes
    monitor: Monitor
    news: News
    metrics: ReleaseMetrics


class Pilot:
    """`run` ends when nothing is left to do; NOT_LEADER when another instance leads."""

    def __init__(self, release: Release, desk: Desk) -> None:
        self.release = release
        self.evidence: Evidence | None = None
        self.stands: Hold | None = None
        self._desk = desk
        self._news = asyncio.Event()
        self._hands = Hands(desk.tools, self._keep, self.wake, self._written)
        self._following: asyncio.Task[None] | None = None
        self._deaf: Trouble | None = None
        self._unanswered_since = 0.0  # stable did not answer us itself; monotonic

    def wake(self) -> None:
        """Something may be new."""
        self._news.set()

    def route_changed(self) -> None:
        """By us or by somebody else; a call of ours that was overtaken may land late."""
        self._hands.look_again("route")
        self._desk.eyes.forget()
        self.wake()

    def offer(self, release: Release) -> None:
        """The release as it was read from the database, which others write, too."""
        if release.revision > self.release.revision:
            self.release = release
        self.wake()

    async def run(self) -> None:
        """Until nothing is left to do."""
        try:
            while self.release.open:
                self._news.clear()
                await self._turn()
                await self._nap()
        finally:
            self._follow(False)
            await self._hands.stop()

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(NAP):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _turn(self) -> None:
        if self._hands.deposed:
            raise DomainError(Reason.NOT_LEADER, "a later leader has written")
        seen = await self._look()
        if seen is None:
            return
        after, moves = settle(self.release, seen)
        if moves and not await self._kept(after, seen):
            return
        self.stands = standing(self.release, seen)
        self._hands.start(effects(self.release, seen), self.release)
        self._follow(follows(self.release))

    async def _look(self) -> Seen | None:
        found = self._desk.eyes.look(self.release)
        if found is None:
            return None
        settled, stable, candidate, route = found
        if not candidate.answers:
            self._hands.shadow = None  # what was replayed to a lost node says nothing
        troubles = {**self._hands.troubles, **({"comparison": self._deaf} if self._deaf else {})}
        seen = Seen(
            now=time.time(),
            fence=self._desk.tools.fence,
            settled=settled,
            stable=stable,
            candidate=candidate,
            route=route,
            unheard=self._desk.eyes.unheard(),
            evidence=self.evidence,
            shadow=self._hands.shadow,
            answers=dict(self._hands.answers),
            troubles=troubles,
        )
        if not needs_stable(self.release, seen):
            return seen
        return replace(seen, stable=replace(stable, answers=await self._answers(stable)))

    async def _answers(self, stable: Deployed) -> bool:
        """Whether stable answers at this moment: it is asked, and its agent is believed only after a while."""
        now = time.monotonic()
        if await self._desk.eyes.stable_answers(self.release):
            self._unanswered_since = 0.0
            return True
        self._unanswered_since = self._unanswered_since or now
        return stable.answers and now - self._unanswered_since > AGENT_IS_RIGHT

    async def _kept(self, after: Release, seen: Seen) -> bool:
        """Keeps what was decided, on the release as it is kept: others may have changed it.

        A store that refuses or hangs stops everything but a retreat: taking traffic away needs no memory, as whoever
        leads next is told by the same evidence.
        """
        back = after if after.percent < self.release.percent else None
        keeping = asyncio.create_task(self._change(lambda kept: settle(kept, seen)[1]))
        try:
            while not (await asyncio.wait({keeping}, timeout=STORE_SECONDS))[0]:
                back = back or await self._back()
                self._send(back)
            await keeping
        except DomainError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            log.warning("not_kept", release=self.release.id, message=error.message)
            self._send(back)
            await asyncio.sleep(FOLLOW_AGAIN)
            self.wake()
            return False
        finally:
            keeping.cancel()
        return True

    async def _back(self) -> Release | None:
        """What is known by now may be worse than what is being kept."""
        seen = await self._look()
        after = settle(self.release, seen)[0] if seen else self.release
        return after if after.percent < self.release.percent else None

    def _send(self, back: Release | None) -> None:
        if back is not None:
            self._hands.start([weights_of(back, self._desk.tools.fence)], back)

    async def _keep(self, decide: Decide) -> None:
        await self._change(decide)

    async def _change(self, decide: Decide) -> None:
        before = self.release
        self.release, moves = await self._desk.records.change(before.id, decide, self._desk.tools.fence)
        if moves:
            self._said(before, moves)
            self._desk.news.kept()

    def _said(self, before: Release, moves: list[Move]) -> None:
        for move in moves:
            log.info("release", release=before.id, move=str(move))
            self._desk.metrics.decided(move)
        if before.phase is Phase.ROLLING_BACK and self.release.phase is Phase.ROLLED_BACK:
            self._desk.metrics.rolled_back("applied", time.time() - self.release.turned)

    def _written(self, effect: SetWeights) -> None:
        self._desk.eyes.forget()
        if self.release.phase is Phase.ROLLING_BACK and self.release.turned:
            self._desk.metrics.rolled_back("written", time.time() - self.release.turned)

    # --- the monitor's stream

    def _follow(self, wanted: bool) -> None:
        if wanted and self._following is None:
            self._following = asyncio.create_task(self._listen(), name=f"evidence of {self.release.id}")
        elif not wanted and self._following is not None:
            self._following.cancel()
            self._following = None
            self._deaf = None

    async def _listen(self) -> None:
        """All that is said, over every loss of the stream; what was heard last grows old meanwhile."""
        failures = 0
        while True:
            try:
                async for evidence in self._desk.monitor.evidence(self.release):
                    self.evidence, self._deaf, failures = evidence, None, 0
                    self.wake()
            except DomainError as error:
                self._deaf = Trouble(error.reason.value, error.message)
            except Exception as error:
                log.error("evidence_defect", release=self.release.id, exc_info=error)
                self._deaf = Trouble(Reason.INTERNAL.value, "an internal error; the patcher's log says more")
            else:
                self._deaf = Trouble(Reason.SERVICE_UNAVAILABLE.value, "the monitor has ended the comparison")
            self.wake()
            failures += 1
            await asyncio.sleep(min(FOLLOW_AGAIN * 2 ** min(failures - 1, 5), LONGEST_FOLLOW_AGAIN))
