"""Blocking queries turned into streams of what is there now.

A watch ends only by being closed. While Consul is away it delivers nothing: its reader keeps the last good state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import structlog

from services.kit.consul.kv import CONSISTENT, WAIT_LIMIT, WAIT_SECONDS, Kv, answered
from services.kit.consul.model import Entry, Instance, Listing, checked_key, checked_name, decode_instance, next_index
from services.kit.consul.pace import Backoff, Pace
from services.kit.consul.transport import CALL_SECONDS, Transport
from services.kit.errors import DomainError

log = structlog.get_logger(__name__)

# After an interruption an agent may know none of its services (wiped) or hold all for critical (restarted): instances
# missing in that time are not gone yet. Registrations return within two seconds and gRPC checks run every second.
SETTLE_SECONDS = 6.0
SETTLE_LOOK_SECONDS = 0.25

LOOK_SECONDS = 1.0

Answer = TypeVar("Answer")


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


class EpochWatch:
    """One look a second at the epoch, shared by all watches of a client and running while there are any.

    A store can be replaced between two queries without any of them failing, and a query that waits for an index of the
    old store would wait out its time in the new one.
    """

    def __init__(self, kv: Kv) -> None:
        self._kv = kv
        self._watches = 0
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> EpochWatch:
        self._watches += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="epoch of the coordination store")
        return self

    def __exit__(self, *_: object) -> None:
        self._watches -= 1
        if self._watches == 0 and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(DomainError):
                await self._kv.epoch()

    async def during(self, epoch: str, query: Coroutine[Any, Any, Answer]) -> Answer | None:
        """The answer of `query`, or None when the epoch ended before it came."""
        tasks = asyncio.create_task(query), asyncio.create_task(self._kv.epochs.left(epoch))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return await tasks[0] if tasks[0].done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def watch_prefix(kv: Kv, epochs: EpochWatch, prefix: str) -> AsyncIterator[Listing]:
    """The listing of `prefix` now and after every change of its keys or of the store's epoch."""
    checked_key(prefix)
    outage, pace = Outage(f"watch of {prefix}"), Pace()
    delivered: Listing | None = None
    index = 0
    epoch = ""
    with epochs:
        while True:
            await asyncio.sleep(pace.wait())
            try:
                epoch = epoch or await kv.epoch()
                known = delivered.entries if delivered and delivered.epoch == epoch else {}
                answer = await epochs.during(epoch, kv.read(prefix, index=index, known=known))
                # What was read belongs to `epoch` only if the store still bears that name; names are never reused.
                after = await kv.epoch()
            except DomainError as error:
                await outage.failed(error)
                index, epoch = 0, ""
                continue
            outage.over()
            if answer is None or after != epoch:
                index, epoch = 0, after
                continue
            index, entries = next_index(index, answer[0]), answer[1]
            if delivered is None or delivered.epoch != epoch or not _same(entries, delivered.entries):
                delivered = Listing(answer[0], entries, epoch)
                yield delivered


def _same(entries: dict[str, Entry], earlier: dict[str, Entry]) -> bool:
    """Unchanged entries are the same objects (see decode_entries), so this costs no comparison of values."""
    return len(entries) == len(earlier) and all(earlier.get(key) is entry for key, entry in entries.items())


async def watch_instances(kv: Kv, epochs: EpochWatch, service: str) -> AsyncIterator[list[Instance]]:
    """The passing instances of `service` now and after every change, sorted by id."""
    checked_name(service)
    outage, pace, settling = Outage(f"instances of {service}"), Pace(), Settling()
    delivered: list[Instance] | None = None
    index = 0
    epoch = ""
    with epochs:
        while True:
            await asyncio.sleep(pace.wait())
            try:
                epoch = epoch or await kv.epoch()
                answer = await epochs.during(epoch, _instances(kv.transport, service, index))
            except DomainError as error:
                await outage.failed(error)
                index, epoch = 0, ""
                continue
            if outage.over() or answer is None:
                settling.begin()
            if answer is None:
                index, epoch = 0, ""
                continue
            index, found = next_index(index, answer[0]), answer[1]
            if delivered is not None and settling and (kept := _merged(delivered, found)) != found:
                # Asks again instead of waiting for a change: the end of the settling is none.
                found, index = kept, 0
                await asyncio.sleep(SETTLE_LOOK_SECONDS)
            if found != delivered:
                delivered = found
                yield found


class Settling:
    """True for a while after an interruption, in which instances may be missing that are not gone."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self) -> None:
        self._until = time.monotonic() + SETTLE_SECONDS

    def __bool__(self) -> bool:
        return time.monotonic() < self._until


def _merged(last: list[Instance], found: list[Instance]) -> list[Instance]:
    by_id = {instance.id: instance for instance in [*last, *found]}
    return sorted(by_id.values(), key=lambda instance: instance.id)


async def _instances(transport: Transport, service: str, index: int) -> tuple[int, list[Instance]]:
    params: list[tuple[str, object]] = [CONSISTENT, ("passing", "1")]
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
