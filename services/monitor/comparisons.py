"""All comparisons: what happens is told to the right one, looked at each second, kept, and told to who watches."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.kit.hub import Hub
from services.monitor.collector import Collector
from services.monitor.comparison import Comparison
from services.monitor.counters import Tally
from services.monitor.durations import histogram, percentiles
from services.monitor.infra_events import Disturbance, Kind
from services.monitor.intake.events import BadEvent
from services.monitor.judge.evidence import Arm
from services.monitor.judge.kinds import Side
from services.monitor.judge.slow import Histogram
from services.monitor.keeping import Keeper
from services.monitor.outcomes.model import OutcomeEvent
from services.monitor.requests import NewComparison
from services.monitor.world import World

log = structlog.get_logger(__name__)

# How often bad requests are looked for that have waited long enough.
RELEASE_SECONDS = 0.05


class Judged(Protocol):
    """Tells the gateways which models are judged."""

    async def set_judged(self, model: str, slow_ms: float | None) -> None:
        """Failed requests, and those of `slow_ms` and slower (0: none), are to be reported; None ends it."""
        ...


@dataclass(slots=True)
class Received:
    """Bad requests that gateways told of; for metrics."""

    judged: int = 0
    ignored: int = 0


class Comparisons:
    """One running comparison a model; the ended ones stay readable for a while."""

    def __init__(
        self,
        collector: Collector,
        world: World,
        judged: Judged,
        keeper: Keeper,
        *,
        period: float = 1.0,
        kept: int = 200,
    ) -> None:
        self._collector = collector
        self._world = world
        self._judged = judged
        self._keeper = keeper
        self._period = period
        self._kept = kept
        self._all: dict[str, Comparison] = {}
        self._running: dict[str, Comparison] = {}  # by model
        self._hubs: dict[str, Hub] = {}
        self._starting = asyncio.Lock()
        self.received = Received()

    # --- what is asked ---

    def get(self, name: str) -> Comparison:
        """Raises COMPARISON_NOT_FOUND."""
        found = self._all.get(name)
        if found is None:
            raise DomainError(
                Reason.COMPARISON_NOT_FOUND,
                f"there is no comparison '{name}'",
                hint="ListComparisons shows those that there are; an ended one is forgotten after many others.",
                metadata={"comparison": name},
            )
        return found

    def all(self) -> list[Comparison]:
        """The latest first."""
        return sorted(self._all.values(), key=lambda comparison: comparison.order, reverse=True)

    def running(self) -> Mapping[str, Comparison]:
        """By model."""
        return self._running

    async def traffic(self, model: str, version: int) -> Arm:
        """A version's weighted traffic since its comparison began; else since the gateways' Envoys started."""
        found = self._running.get(model)
        side = found.side(version) if found else None
        if found is not None and side is not None:
            return found.evidence.stable if side is Side.STABLE else found.evidence.candidate
        tally = (await self._collector.totals(model)).get(version) or Tally()
        p50, p99 = percentiles(tally.durations)
        return Arm(version, tally.requests, tally.errors, p50_ms=p50, p99_ms=p99)

    async def start(self, wanted: NewComparison) -> Comparison:
        """Begins it, or answers the one that judges the same; another one of the model ends with it."""
        async with self._starting:
            known = self._all.get(wanted.name)
            if known is not None:
                return _same(known, wanted)
            made = Comparison.begin(wanted, await self._before(wanted), time.time())
            earlier = self._running.get(made.model)
            if earlier is not None:
                log.warning("monitor.comparison_superseded", comparison=earlier.definition.name, by=wanted.name)
                self._end(earlier)
            self._add(made)
            self._collector.begin(made.model)
            self._world.follow(self._running)
            log.info("monitor.comparison_started", comparison=wanted.name, slow_ms=made.judge.slow_ms)
            await self._judged.set_judged(made.model, made.judge.slow_ms)
            await self.save()
            return made

    async def end(self, name: str) -> Comparison:
        """Its last evidence stays readable."""
        found = self.get(name)
        if found.ended is None:
            self._end(found)
            self._world.follow(self._running)
            if found.model not in self._running:
                await self._judged.set_judged(found.model, None)
            await self.save()
        return found

    async def watch(self, name: str) -> AsyncIterator[Comparison]:
        """Now, at every look, and at once when a limit is crossed; ends after the end."""
        found, hub = self.get(name), self._hubs[name]
        seen = hub.count
        yield found
        while found.ended is None:
            seen = await hub.wait(seen)
            yield found

    # --- what happens ---

    def bad(self, event: BadEvent) -> None:
        """One bad request that a gateway tells of."""
        comparison = self._running.get(event.model)
        if comparison is None or comparison.side(event.version) is None:
            self.received.ignored += 1
            return
        self.received.judged += 1
        with self._telling(comparison):
            comparison.bad(event)

    def outcome(self, event: OutcomeEvent) -> None:
        """What turned out of one request."""
        comparison = self._running.get(event.model)
        if comparison is not None:
            with self._telling(comparison):
                comparison.outcome(event, self._world.weights(event.model))

    def replayed(self, model: str, versions: tuple[int, int], compared: int, disagreed: int) -> None:
        """Totals of a whole replay to these versions, stable and candidate."""
        comparison = self._running.get(model)
        if comparison is not None and versions == (comparison.definition.stable, comparison.definition.candidate):
            with self._telling(comparison):
                comparison.judge.replayed(compared, disagreed)

    def disturbed(self, what: Disturbance) -> None:
        """Something happened to machines."""
        for comparison in self._running.values():
            with self._telling(comparison):
                comparison.disturbed(what)

    @contextlib.contextmanager
    def _telling(self, comparison: Comparison) -> Iterator[None]:
        """Who watches learns of a crossed limit without waiting for the next look.

        A defect in one comparison must not end the others: its evidence grows stale, on which nobody promotes.
        """
        before = comparison.rolled_back
        try:
            yield
        except Exception:
            log.exception("monitor.comparison_failed", comparison=comparison.definition.name)
            return
        if comparison.rolled_back and not before:
            comparison.refresh(time.time())
            name, said = comparison.definition.name, comparison.evidence
            log.warning("monitor.limit_crossed", comparison=name, reason=said.reason.value, message=said.message)
            self._hubs[name].notify()

    # --- time ---

    async def tell(self) -> None:
        """Tells the gateways what was restored; before anybody else writes what they are told."""
        for model, comparison in list(self._running.items()):
            await self._judged.set_judged(model, comparison.judge.slow_ms)

    async def run(self) -> None:
        """Looks each second, and judges bad requests as soon as that may be; for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_on())
            tasks.create_task(self._release_on())

    async def _release_on(self) -> None:
        while True:
            await asyncio.sleep(RELEASE_SECONDS)
            self.release(time.time())

    def release(self, now: float) -> None:
        """Judges the bad requests that have waited long enough."""
        for model, comparison in self._running.items():
            with self._telling(comparison):
                comparison.release(now, self._world.weights(model))

    async def _look_on(self) -> None:
        turn = time.monotonic()
        while True:
            await self.look()
            turn = max(turn + self._period, time.monotonic())
            await asyncio.sleep(turn - time.monotonic())

    async def look(self) -> None:
        """One look at all gateways, and what follows from it."""
        look = await self._collector.look(list(self._running))
        for what in look.disturbances:
            self.disturbed(what)
        for model, comparison in list(self._running.items()):
            with self._telling(comparison):
                comparison.counted(look, self._world.weights(model))
                comparison.refresh(time.time())
            self._hubs[comparison.definition.name].notify()
        await self.save()

    # --- what outlives the process ---

    def restore(self) -> None:
        """Takes over what an earlier leader kept here."""
        kept = self._keeper.load()
        for comparison in kept.comparisons:
            self._add(comparison)
        self._world.follow(self._running)
        if self._running:
            self._collector.restore(kept.counters)
            log.info("monitor.restored", running=len(self._running), away=round(kept.away, 1))
            message = f"the monitor was away for {kept.away:.0f} s"
            self.disturbed(Disturbance(time.time(), Kind.MONITOR_RESTARTED, message))

    async def save(self) -> None:
        """Keeps everything as it is now."""
        await self._keeper.save(self._all.values(), self._collector.to_json())

    # --- the inside ---

    def _add(self, comparison: Comparison) -> None:
        name = comparison.definition.name
        self._all[name] = comparison
        self._hubs[name] = Hub()
        if comparison.ended is None:
            self._running[comparison.model] = comparison

    def _end(self, comparison: Comparison) -> None:
        comparison.end(time.time())
        if self._running.get(comparison.model) is comparison:
            del self._running[comparison.model]
        self._hubs[comparison.definition.name].notify()
        log.info("monitor.comparison_ended", comparison=comparison.definition.name)
        over = [c for c in self.all() if c.ended is not None]
        for forgotten in over[self._kept :]:
            del self._all[forgotten.definition.name], self._hubs[forgotten.definition.name]

    async def _before(self, wanted: NewComparison) -> Histogram | None:
        """Durations of the stable version so far."""
        tally = (await self._collector.totals(wanted.model.model)).get(wanted.stable)
        return histogram(tally.durations) if tally else None


def _same(known: Comparison, wanted: NewComparison) -> Comparison:
    if known.definition == wanted:
        return known
    was = known.definition
    raise DomainError(
        Reason.COMPARISON_EXISTS,
        f"the comparison '{wanted.name}' judges {was.model} version {was.candidate} against {was.stable}, or by other "
        "limits",
        hint="Give the comparison another name; limits never change while one is judged by them.",
        metadata={"comparison": wanted.name},
    )
