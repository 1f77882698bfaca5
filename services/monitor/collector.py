"""What came since the last look, from every gateway, and what disturbed the counting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.monitor.counters import Arm, Ledger, Page, Tally, tallies
from services.monitor.gateways import Gateways
from services.monitor.infra_events import Disturbance, Kind
from services.monitor.scrape import Scraper, Silent

log = structlog.get_logger(__name__)

# One late answer is a busy machine; so many in a row are a gateway that is away.
MISSES = 3
KNOWN_SECONDS = 2.0
# So long after the last page of a gateway that left it may come back and have lost nothing.
RETURN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Increment:
    """What one gateway counted between two moments."""

    gateway: str
    begin: float
    end: float
    tallies: Mapping[Arm, Tally]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all gateways."""

    time: float
    increments: tuple[Increment, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    answered: tuple[str, ...] = ()
    gateways: frozenset[str] = frozenset()  # all that were asked
    silent: frozenset[str] = frozenset()  # those that answered before, and do not now


@dataclass(slots=True)
class Health:
    """How reading the gateways goes; for metrics."""

    seconds: float = 0.0
    silent: dict[str, str] = field(default_factory=dict)  # gateway -> why
    failures: dict[str, int] = field(default_factory=dict)
    resets: int = 0


class Collector:
    """One ledger a gateway. A gateway that is not there for a while keeps its ledger, so that nothing is lost."""

    def __init__(self, scraper: Scraper, gateways: Gateways) -> None:
        self._scraper = scraper
        self._gateways = gateways
        self._ledgers: dict[str, Ledger] = {}
        self._read: dict[str, float] = {}
        self._misses: dict[str, int] = {}
        self.health = Health()

    async def look(self, models: Collection[str]) -> Look:
        """Reads all gateways; takes no longer than the scraper's timeout."""
        if not models:
            self._ledgers.clear()
            self._read.clear()
            return Look(time.time())
        begun, addresses = time.monotonic(), self._gateways.statistics()
        self._forget(addresses)
        increments: list[Increment] = []
        disturbances: list[Disturbance] = []
        answered = []
        for gateway, said in (await self._scraper.pages(addresses, models)).items():
            if isinstance(said, Silent):
                disturbances += self._silence(gateway, str(said))
                continue
            at, page = said
            self._heard(gateway)
            answered.append(gateway)
            taken = self._ledgers.setdefault(gateway, Ledger()).take(page, models, at)
            if taken.reset:
                disturbances.append(self._was_reset(gateway, at))
            increments.append(Increment(gateway, self._read.get(gateway, at), at, taken.increments))
            self._read[gateway] = at
        self.health.seconds = time.monotonic() - begun
        silent = frozenset(self.health.silent.keys() & self._ledgers.keys())
        return Look(time.time(), tuple(increments), tuple(disturbances), tuple(answered), frozenset(addresses), silent)

    def begin(self, model: str) -> None:
        """Counts the model from its next page on, also where it was counted before."""
        for ledger in self._ledgers.values():
            ledger.forget(model)

    async def totals(self, model: str) -> dict[int, Tally]:
        """Everything that the gateways counted of a model's weighted traffic since they started, by version.

        Waits a moment for gateways that are not known yet or do not answer at once.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KNOWN_SECONDS):
                await self._gateways.known.wait()
        said: dict[str, tuple[float, Page] | Silent] = {}
        for _ in range(MISSES):
            said = await self._scraper.pages(self._gateways.statistics(), [model])
            if not any(isinstance(page, Silent) for page in said.values()):
                break
        found: dict[int, Tally] = {}
        for page in said.values():
            if not isinstance(page, Silent):
                for (_, version), tally in tallies(page[1]).items():
                    found.setdefault(version, Tally()).add(tally)
        return found

    def _forget(self, present: Collection[str]) -> None:
        """Gateways that left are not silent, and after a while not remembered."""
        for gateway in self.health.silent.keys() - present:
            del self.health.silent[gateway]
        for gateway in self._read.keys() - present:
            if time.time() - self._read[gateway] > RETURN_SECONDS:
                del self._read[gateway], self._ledgers[gateway]

    def _silence(self, gateway: str, why: str) -> list[Disturbance]:
        """Told once when a gateway that answered does not any more; a gateway that never did is no news."""
        health = self.health
        health.failures[gateway] = health.failures.get(gateway, 0) + 1
        self._misses[gateway] = self._misses.get(gateway, 0) + 1
        if self._misses[gateway] < MISSES:
            return []
        told = gateway in health.silent or gateway not in self._ledgers
        health.silent[gateway] = why
        if told:
            return []
        log.warning("monitor.gateway_silent", gateway=gateway, reason=why)
        message = f"gateway {gateway} does not tell its counters: {why}"
        return [Disturbance(time.time(), Kind.GATEWAY_SILENT, message, gateway=gateway)]

    def _heard(self, gateway: str) -> None:
        self._misses.pop(gateway, None)
        if self.health.silent.pop(gateway, None) is not None:
            log.info("monitor.gateway_answers", gateway=gateway)

    def _was_reset(self, gateway: str, now: float) -> Disturbance:
        self.health.resets += 1
        log.warning("monitor.counters_reset", gateway=gateway)
        message = f"the counters of gateway {gateway} began anew, as after a restart"
        return Disturbance(now, Kind.COUNTERS_RESET, message, gateway=gateway)

    def to_json(self) -> dict[str, Any]:
        """What the next process needs to go on counting."""
        return {
            gateway: {"read": self._read.get(gateway, 0.0), **ledger.to_json()}
            for gateway, ledger in self._ledgers.items()
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from what `to_json` made; from anything else counting begins anew."""
        try:
            ledgers = {gateway: Ledger.from_json(ledger) for gateway, ledger in kept.items()}
            read = {gateway: float(ledger["read"]) for gateway, ledger in kept.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("monitor.counters_unreadable", reason=f"{type(error).__name__}: {error}")
            return
        self._ledgers.update(ledgers)
        self._read.update(read)
