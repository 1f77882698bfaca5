"""The gateways that there are, by what they report in Consul."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from services.kit.consul import Consul, Listing
from services.kit.consul.documents import GATEWAYS, read
from services.monitor.documents import GatewayReport

# How long a gateway may take to report again to a Consul that lost everything.
RETURN_SECONDS = 60.0


class Gateways:
    """Reports by gateway. One that vanished together with everything else in Consul is still there."""

    def __init__(self, consul: Consul, changed: Callable[[], None]) -> None:
        self._consul = consul
        self._changed = changed
        self._epoch = ""
        self._carried: dict[str, GatewayReport] = {}
        self._carried_until = 0.0
        self.reports: dict[str, GatewayReport] = {}
        self.known = asyncio.Event()  # whether Consul was read at all

    async def run(self) -> None:
        """Follows for ever."""
        async for listing in self._consul.watch(GATEWAYS):
            self.see(listing, time.monotonic())
            self._changed()

    def see(self, listing: Listing, now: float) -> None:
        """Takes over the reports; `now` only has to grow."""
        if self._epoch and listing.epoch != self._epoch:
            self._carried, self._carried_until = self.reports, now + RETURN_SECONDS
        self._epoch = listing.epoch
        found = {
            key.removeprefix(GATEWAYS): report
            for key, entry in listing.entries.items()
            if (report := read(GatewayReport, entry.value)) is not None
        }
        self.reports = {**(self._carried if now < self._carried_until else {}), **found}
        self.known.set()

    def statistics(self) -> dict[str, str]:
        """`host:port` of the counters of each gateway that tells it."""
        return {name: report.statistics for name, report in self.reports.items() if report.statistics}
