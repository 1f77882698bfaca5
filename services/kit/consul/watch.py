"""Blocking queries turned into streams of what is there now.

A watch ends only by being closed. While Consul is away it delivers nothing: its reader keeps the last good state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import structlog

from services.kit.consul.kv import WAIT_LIMIT, WAIT_SECONDS, Kv, answered
from services.kit.consul.model import Entry, Instance, Listing, checked_key, checked_name, decode_instance, next_index
from services.kit.consul.pace import Backoff, Pace
from services.kit.consul.transport import CALL_SECONDS, Transport
from services.kit.errors import DomainError

log = structlog.get_logger(__name__)

# After an interruption an agent may know none of its services (wiped) or hold all for critical (restarted): instances
# missing in that time are not gone yet. Registrations return within two seconds and gRPC checks run every second.
SETTLE_SECONDS = 6.0


class Outage:
    """One line when Consul goes, one when it is back, and the waits in between."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._backoff = Backoff()
        self._since: float | None = None

    async def failed(self, error: DomainError) -> None:
        if self._since is None:
            self._since = time.monotonic()
            log.warning("consul_lost", what=self._what, error=str(error))
        await asyncio.sleep(self._backoff.next())

    def over(self) -> bool:
        """Marks success; True if there was an outage."""
        if self._since is None:
            return False
        log.info("consul_back", what=self._what, seconds=round(time.monotonic() - self._since, 1))
        self._since = None
        self._backoff.reset()
        return True


async def watch_prefix(kv: Kv, prefix: str) -> AsyncIterator[Listing]:
    """The listing of `prefix` now and after every change of its keys or of the store's epoch."""
    checked_key(prefix)
    outage, pace = Outage(f"watch of {prefix}"), Pace()
    delivered: Listing | None = None
    index = 0
    epoch = ""
    while True:
        await asyncio.sleep(pace.wait())
        try:
            epoch = epoch or await kv.epoch()
            known = delivered.entries if delivered and delivered.epoch == epoch else {}
            answer, entries = await kv.read(prefix, index=index, known=known)
            # The read belongs to `epoch` only if the store still bears that name afterwards; names are never reused.
            after = await kv.epoch()
        except DomainError as error:
            await outage.failed(error)
            index, epoch = 0, ""
            continue
        outage.over()
        if after != epoch:
            index, epoch = 0, after
            continue
        index = next_index(index, answer)
        if delivered is None or delivered.epoch != epoch or not _same(entries, delivered.entries):
            delivered = Listing(answer, entries, epoch)
            yield delivered


def _same(entries: dict[str, Entry], earlier: dict[str, Entry]) -> bool:
    """Unchanged entries are the same objects (see decode_entries), so this costs no comparison of values."""
    return len(entries) == len(earlier) and all(earlier.get(key) is entry for key, entry in entries.items())


async def watch_instances(transport: Transport, service: str) -> AsyncIterator[list[Instance]]:
    """The passing instances of `service` now and after every change, sorted by id."""
    outage, pace = Outage(f"instances of {service}"), Pace()
    delivered: list[Instance] | None = None
    settled_at = 0.0
    index = 0
    while True:
        await asyncio.sleep(pace.wait())
        try:
            answer, found = await _instances(transport, service, index)
        except DomainError as error:
            await outage.failed(error)
            index = 0
            continue
        restarted = next_index(index, answer) == 0
        if outage.over() or restarted:
            settled_at = time.monotonic() + SETTLE_SECONDS
        index = next_index(index, answer)
        if delivered is not None and time.monotonic() < settled_at:
            merged = _merged(delivered, found)
            index = 0 if merged != found else index
        else:
            merged = found
        if merged != delivered:
            delivered = merged
            yield merged
        if index == 0 and not restarted:
            await asyncio.sleep(0.5)


def _merged(last: list[Instance], found: list[Instance]) -> list[Instance]:
    by_id = {instance.id: instance for instance in [*last, *found]}
    return sorted(by_id.values(), key=lambda instance: instance.id)


async def _instances(transport: Transport, service: str, index: int) -> tuple[int, list[Instance]]:
    params: list[tuple[str, object]] = [("passing", "1")]
    if index:
        params += [("index", index), ("wait", f"{WAIT_SECONDS:g}s")]
    api = transport.api
    request = api.http.get(
        lambda response: answered(response, lambda items: [decode_instance(item) for item in items or []]),
        f"/v1/health/service/{checked_name(service)}",
        params,
        api.prepare_headers(),
    )
    answer, found = await transport.call(request, WAIT_LIMIT if index else CALL_SECONDS)
    return answer, sorted(found, key=lambda instance: instance.id)
