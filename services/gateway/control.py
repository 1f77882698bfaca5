"""The control loop: what Consul says becomes what Envoy does, and is reported back.

One task publishes. Watches and calls only change the world and wake it; whoever needs to know when a change is in
effect waits for the route it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from bmase.reasons import Reason

from services.gateway.documents import GatewayReport
from services.gateway.durable import Durable
from services.gateway.envoy.publisher import Publisher, Rejected, Unconfirmed
from services.gateway.envoy.snapshot import ModelRoute, Snapshot
from services.gateway.news import News
from services.gateway.world import World
from services.kit.consul import Consul
from services.kit.consul.documents import GATEWAYS
from services.kit.errors import DomainError

log = structlog.get_logger(__name__)

# Changes that arrive together are published together.
GATHER_SECONDS = 0.01
AWAIT_ROUTE_SECONDS = 0.25  # with 10,000 models; less with fewer
RETRY_SECONDS = 1.0
# How long a new process waits for Consul's word before it publishes its own copy.
CONSUL_SECONDS = 5.0
TIDY_SECONDS = 0.3
SAVE_SECONDS = 2.0
SAVE_SHARE = 20  # of the time is not for saving
APPLY_SECONDS = 15.0
BUNCH_SECONDS = 0.2
MOST_EXPLAINED = 32

# Envoy's words about these models' routes together; empty when it would take them, None when nobody can be asked.
Explain = Callable[[Sequence[ModelRoute]], Awaitable[str | None]]


class Control:
    """Keeps one Envoy at what the world wants."""

    def __init__(self, world: World, publisher: Publisher, durable: Durable, explain: Explain) -> None:
        self._world = world
        self._publisher = publisher
        self._durable = durable
        self._explain = explain
        self._wake = asyncio.Event()
        self._doubt = ""
        self._waited = False
        self._published = Snapshot()
        self._pending: set[str] = set()
        self._structures = 0
        self.news = News()
        self.applied = GatewayReport()

    def changed(self) -> None:
        """The world is another one."""
        self._wake.set()

    async def run(self) -> None:
        """Publishes for ever. Envoy runs with what the last life told it; the own copy is for when Consul is away."""
        asyncio.get_running_loop().call_later(CONSUL_SECONDS, self._stop_waiting)
        while True:
            await self._gather()
            ready = self._world.current or (self._waited and self._world.complete)
            if ready and not await self._publish():
                await asyncio.sleep(RETRY_SECONDS)
                self.changed()

    async def _gather(self) -> None:
        """Returns when there is something to publish, and what belongs together has had a moment to arrive.

        A new model is placed and then given its route: where the table is large it is worth making it once for both.
        """
        await self._wake.wait()
        await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()
        pause = min(AWAIT_ROUTE_SECONDS, len(self._publisher.baked) * AWAIT_ROUTE_SECONDS / 10_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                while self._world.only_awaits_routes(self._publisher.baked):
                    await self._wake.wait()
                    self._wake.clear()

    def _stop_waiting(self) -> None:
        self._waited = True
        self.changed()

    async def weigh(self, model: str) -> None:
        """Puts the model's present weights into effect at once, when weights are all that changed."""
        self.changed()
        if not self._publisher.only_weights(model, self._world.model(model)):
            await self.in_effect(model)
            return
        try:
            await self._publisher.weigh(self._world.models(), [model])
        except Unconfirmed as doubt:
            raise _away(str(doubt)) from doubt

    async def in_effect(self, model: str) -> None:
        """Returns when Envoy does with the model what the world wants now.

        Raises ROUTE_REJECTED with Envoy's reason, or SERVICE_UNAVAILABLE when it does not confirm in time.
        """

        def settled() -> bool:
            # Asked anew each time: what was wanted at first may have been replaced before it was ever published.
            return self._publisher.in_effect(model, self._world.model(model)) or model in self._world.rejected

        if not await self.news.until(settled, APPLY_SECONDS):
            raise _away(self._doubt or "Envoy has not confirmed the route in time")
        if reason := self._world.rejected.get(model):
            raise DomainError(
                Reason.ROUTE_REJECTED,
                f"Envoy refused the route of '{model}': {reason}",
                hint="The last route that it took still serves.",
                metadata={"model": model},
            )

    async def _publish(self) -> bool:
        """False: to be tried again."""
        snapshot, changed = self._world.snapshot()
        self._pending |= changed
        seen = self._report_of()
        try:
            await self._put(snapshot)
        except Rejected as refusal:
            if not await self._refused(snapshot, str(refusal)):
                return self._doubted(str(refusal))
            self.changed()
            return True
        except Unconfirmed as doubt:
            return self._doubted(str(doubt))
        except OSError as error:
            return self._doubted(f"Envoy's files cannot be written: {error.strerror}")
        self._doubt, self.applied = "", seen
        await self.news.tell()
        return True

    def _doubted(self, reason: str) -> bool:
        if reason != self._doubt:
            log.warning("gateway.not_confirmed", reason=reason)
        self._doubt = reason
        return False

    async def _put(self, snapshot: Snapshot) -> None:
        if self._only_weights(snapshot):
            await self._publisher.weigh(snapshot.models, self._pending)
        else:
            await self._publisher.publish(snapshot)
            self._structures += 1
        self._published = snapshot
        self._pending.clear()

    def _only_weights(self, snapshot: Snapshot) -> bool:
        before = self._published
        return (
            not self._publisher.crowded
            and bool(self._publisher.baked)
            and (snapshot.nodes, snapshot.services) == (before.nodes, before.services)
            and snapshot.monitored == before.monitored
            and all(self._publisher.only_weights(name, snapshot.models.get(name)) for name in self._pending)
        )

    async def _refused(self, snapshot: Snapshot, refusal: str) -> bool:
        """Finds which of the changed models Envoy does not take, and leaves those as they were. False: none found."""
        good = self._publisher.baked
        changed = [route for model, route in snapshot.models.items() if good.get(model) != route]
        refused = await culprits(changed, self._explain)
        if refused is None:
            # Nobody says which: what came after the last good table is held back, and without one nothing is.
            refused = {route.model: refusal for route in changed} if good else {}
        for model, reason in refused.items():
            log.error("gateway.route_rejected", model=model, reason=reason)
            self._world.refuse(snapshot.models[model], reason, good.get(model))
        await self.news.tell()
        return bool(refused)

    def _report_of(self) -> GatewayReport:
        placements, routes = self._world.placements.listing, self._world.routes.listing
        captures = self._world.captures.listing
        same = placements.epoch == routes.epoch  # the indices of two stores do not go together
        return GatewayReport(
            epoch=routes.epoch if same else "",
            placements_index=placements.index if same else 0,
            routes_index=routes.index if same else 0,
            captures_index=captures.index if same and captures.epoch == routes.epoch else 0,
            routes=len(self._world.routes.documents),
            rejected=dict(self._world.rejected),
        )

    async def keep(self) -> None:
        """Saves the world after it changed; for ever."""
        last, seen = b"", 0
        while True:
            seen = await self.news.after(seen, 60)
            begun = time.monotonic()
            data = await asyncio.to_thread(self._durable.encode, self._world.saved())
            if data != last:
                try:
                    await asyncio.to_thread(self._durable.write, data)
                    last = data
                except OSError as error:
                    log.error("gateway.own_copy_not_written", error=error.strerror)
            await asyncio.sleep(max(SAVE_SECONDS, SAVE_SHARE * (time.monotonic() - begun)))

    async def tidy(self) -> None:
        """Does what can wait, once it has been quiet for a moment; for ever."""
        tidied, seen = 0, 0
        while True:
            seen = await self.news.after(seen, 60)
            await asyncio.sleep(TIDY_SECONDS)
            try:
                if self._structures != tidied or self._publisher.has_retired:
                    tidied = self._structures
                    await self._publisher.tidy()
            except (Rejected, Unconfirmed, OSError) as problem:
                log.warning("gateway.not_tidied", reason=str(problem))


class Reporter:
    """Writes to Consul how far this gateway is, and again after the store lost it."""

    def __init__(self, consul: Consul, name: str, address: str, statistics: str, control: Control) -> None:
        self._consul = consul
        self._key = GATEWAYS + name
        self._addresses = {"address": address, "statistics": statistics}
        self._control = control

    async def run(self) -> None:
        """Reports for ever: at once what the patcher waits for, the rest in bunches."""
        told, seen = GatewayReport(), 0
        while True:
            seen = await self._control.news.after(seen, 5)
            now = self._control.applied.model_copy(update=self._addresses)
            if not now.epoch or now == told:
                continue
            if await self._put(now):
                bunch = now.placements_index == told.placements_index and now.epoch == told.epoch
                told = now
                await asyncio.sleep(BUNCH_SECONDS if bunch else 0)

    async def _put(self, report: GatewayReport) -> bool:
        stamped = report.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
        try:
            await self._consul.kv.put(self._key, stamped.encode())
        except DomainError as error:
            log.warning("gateway.report_failed", error=str(error))
            return False
        return True


async def culprits(routes: Sequence[ModelRoute], explain: Explain) -> dict[str, str] | None:
    """Model -> reason of those that Envoy does not take, found by halves; None when nobody can be asked."""
    found: dict[str, str] = {}
    groups = [list(routes)]
    while groups and len(found) < MOST_EXPLAINED:
        group = groups.pop()
        reason = await explain(group) if group else ""
        if reason is None:
            return found or None
        if not reason:
            continue
        if len(group) == 1:
            found[group[0].model] = reason
        else:
            half = len(group) // 2
            groups += [group[half:], group[:half]]
    return found


def _away(reason: str) -> DomainError:
    return DomainError(
        Reason.SERVICE_UNAVAILABLE,
        f"the route is stored, but this gateway cannot say that it is in effect: {reason}",
        hint="It takes effect as soon as Envoy answers; look at it with GetRoute.",
    )
