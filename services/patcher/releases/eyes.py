"""What a release looks at: its two deployments, the route, and how far the gateways are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import grpc
from bmase.patcher.v1 import deployment_pb2 as pb

from services.kit.consul import Consul, Entry, Listing
from services.kit.consul.documents import ROUTES, read
from services.patcher.decide import Rules, awaited
from services.patcher.documents import GatewayReport, RouteDocument, Step
from services.patcher.observation import Observation
from services.patcher.releases.observation import Deployed, RouteSeen, Stand
from services.patcher.releases.state import Release
from services.patcher.report import of_replica, summarise
from services.patcher.state import Key, Phase, Replica, Seat, State
from services.patcher.view import View

OLDEST = 0.25  # seconds; one look serves every release that is looked at meanwhile
ASK_SECONDS = 1.0
READY = "/inference.GRPCInferenceService/ModelReady"
IS_READY = b"\x08\x01"


class HeldRoute(RouteDocument):
    """A route with whose it is."""

    release: str = ""
    fence: int = 0


class RouteWatch:
    """The routes as they lie in Consul. `changed` is told the models whose route is another one."""

    def __init__(self, consul: Consul) -> None:
        self._consul = consul
        self._listing: Listing | None = None
        self._parsed: dict[str, tuple[Entry, HeldRoute | None]] = {}
        self.changed: Callable[[frozenset[str]], None] = lambda models: None

    async def run(self) -> None:
        """Until cancelled."""
        async for listing in self._consul.watch(ROUTES):
            changes = listing.changes_since(self._listing)
            self._listing = listing
            for key in changes.gone:
                self._parsed.pop(key, None)
            self.changed(frozenset(key.removeprefix(ROUTES) for key in (*changes.written, *changes.gone)))

    def of(self, model: str) -> tuple[HeldRoute, int, str] | None:
        """The route, its index, and the epoch under which the index means something."""
        entry = self._listing.entries.get(ROUTES + model) if self._listing else None
        if entry is None or self._listing is None:
            return None
        known = self._parsed.get(entry.key)
        if known is None or known[0] is not entry:
            known = self._parsed[entry.key] = (entry, read(HeldRoute, entry.value))
        return (known[1], entry.modify_index, self._listing.epoch) if known[1] else None

    def held(self) -> dict[str, str]:
        """model -> the release that holds its route."""
        entries = self._listing.entries if self._listing else {}
        routes = {key.removeprefix(ROUTES): self.of(key.removeprefix(ROUTES)) for key in entries}
        return {model: found[0].release for model, found in routes.items() if found and found[0].release}


class Eyes:
    """One look at everything, and from it what concerns one release."""

    def __init__(self, view: View, routes: RouteWatch, rules: Rules, state: Callable[[], State | None]) -> None:
        self._view = view
        self._routes = routes
        self._rules = rules
        self._state = state
        self._seen: Observation | None = None
        self._seen_at = 0.0

    def look(self, release: Release) -> tuple[bool, Deployed, Deployed, RouteSeen | None] | None:
        """settled, stable, candidate, route; None before anything was seen."""
        seen, state = self._observation(), self._state()
        if seen is None or state is None:
            return None
        stable = deployed((release.model, release.stable), state, seen)
        candidate = deployed((release.model, release.candidate), state, seen)
        return seen.settled, stable, candidate, self._route(release.model, state, seen)

    def forget(self) -> None:
        """Something has changed: the next look is a new one."""
        self._seen_at = 0.0

    def settled(self) -> bool:
        """Whether something that is not to be seen is not there."""
        seen = self._observation()
        return seen is not None and seen.settled

    def unheard(self) -> tuple[str, ...]:
        """The gateways that have not spoken since the store is this one: what they serve may not lie there yet."""
        seen, state = self._observation(), self._state()
        if seen is None or state is None:
            return ()
        spoken = {name for name, report in seen.gateways.items() if report.epoch == seen.epoch}
        return tuple(sorted((awaited(state, seen, self._rules) | seen.registered) - spoken))

    async def stable_answers(self, release: Release) -> bool:
        """Asks the nodes themselves, as a session outlives its node for seconds."""
        seen, state = self._observation(), self._state()
        if seen is None or state is None:
            return False
        replicas = [r for r in state.replicas_of((release.model, release.stable)) if r.seat is Seat.SERVING]
        addresses = [state.nodes[r.node].info.grpc for r in replicas if r.node in state.nodes]
        return await any_ready(addresses, release.model, release.stable)

    def _observation(self) -> Observation | None:
        now = time.monotonic()
        if now - self._seen_at > OLDEST:
            self._seen, self._seen_at = self._view.observation(), now
        return self._seen

    def _route(self, model: str, state: State, seen: Observation) -> RouteSeen | None:
        found = self._routes.of(model)
        if found is None:
            return None
        route, index, epoch = found
        names = awaited(state, seen, self._rules) | seen.registered
        behind = sorted(name for name in names if not _applied(seen.gateways.get(name), model, index, epoch))
        weights = {entry.version: entry.weight for entry in route.versions}
        return RouteSeen(weights, route.release, route.fence, tuple(behind))


def _applied(report: GatewayReport | None, model: str, index: int, epoch: str) -> bool:
    if report is None or report.epoch != epoch or model in report.rejected:
        return False
    return report.routes_index >= index


def deployed(key: Key, state: State, seen: Observation) -> Deployed:
    """One version's deployment, as far as a release is concerned."""
    deployment = state.deployments.get(key)
    if deployment is None:
        return Deployed(message=f"version {key[1]} is not deployed")
    replicas = state.replicas_of(key)
    answers = any(_answers(replica, state, seen) for replica in replicas)
    if deployment.phase is not Phase.ACTIVE:
        words = f"version {key[1]} is being taken out of service"
        return Deployed(Stand.LEAVING, answers, deployment.replicas, message=words)
    summary = summarise(deployment, [of_replica(replica, state, seen) for replica in replicas])
    stand = _STANDS.get(summary.state, Stand.COMING)
    return Deployed(stand, answers, deployment.replicas, summary.reason, summary.message)


_STANDS: Mapping[int, Stand] = {
    pb.Deployment.STATE_READY: Stand.READY,
    pb.Deployment.STATE_FAILED: Stand.FAILED,
}


def _answers(replica: Replica, state: State, seen: Observation) -> bool:
    """Silence of its agent is not its Triton's: then the probes' word counts. Unsettled, nothing is concluded."""
    if replica.seat is not Seat.SERVING:
        return False
    node = seen.node(replica.node)
    if not node.alive:
        return not seen.settled or (node.answering and not node.mute)
    status = seen.status(replica.node, replica.model, replica.version, state.deployments[replica.key].digest)
    return node.usable and (status is None or status.state is Step.READY)


async def any_ready(addresses: Iterable[str], model: str, version: int) -> bool:
    """Whether one of these Tritons says that it has the version ready; the first one that does is enough."""
    asked = [asyncio.create_task(_ready(address, model, version)) for address in addresses]
    try:
        for answer in asyncio.as_completed(asked):
            if await answer:
                return True
        return False
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _ready(address: str, model: str, version: int) -> bool:
    channel = grpc.aio.insecure_channel(address)
    try:
        call = channel.unary_unary(READY)(_named(model, str(version)), timeout=ASK_SECONDS)
        return bool(await call == IS_READY)
    except grpc.aio.AioRpcError:
        return False
    finally:
        await channel.close()


def _named(model: str, version: str) -> bytes:
    """ModelReadyRequest{name = 1, version = 2}, spelled out so that the patcher needs no Triton client."""
    parts = [(b"\x0a", model.encode()), (b"\x12", version.encode())]
    return b"".join(tag + bytes([len(text)]) + text for tag, text in parts)
