"""The patcher's decision: from what is kept and what is seen to what changes. Pure; the loop persists, and then acts.

`decide` gives the next transitions; `settle` repeats it until nothing changes. Consul's content is not decided here at
all: it is computed from the settled state (`effects.py`), so a wiped store or a new leader needs no special case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bmase.reasons import Reason

from services.patcher.documents import Step
from services.patcher.observation import Observation
from services.patcher.placement import Demand, Room, Verdict, place
from services.patcher.state import (
    RUNNING,
    Deployment,
    ForgetGateway,
    LearnNode,
    Leave,
    Mark,
    Phase,
    Publish,
    Published,
    Replica,
    Seat,
    SeeGateway,
    Sit,
    State,
    Transition,
    applied,
)

MAX_ROUNDS = 20
SEEN_EVERY = 30.0  # seconds between two notes that a gateway is still registered


@dataclass(frozen=True, slots=True)
class Rules:
    """The times that decide, in seconds."""

    drain: float = 2.0  # requests under way may finish after the last gateway has turned away
    replace_after: float = 300.0  # a silent node that does not answer either is given up
    forget_gateway: float = 600.0  # nobody waits for a gateway without a registration for longer
    unload_patience: float = 30.0  # how long a silent node keeps a seat that it was told to leave


class UnsettledError(RuntimeError):
    """The decision does not come to rest: a defect in the rules."""


def settle(state: State, seen: Observation, rules: Rules) -> tuple[State, list[Transition]]:
    """The state at rest, and the transitions that led there."""
    taken: list[Transition] = []
    for _ in range(MAX_ROUNDS):
        found = decide(state, seen, rules)
        if not found:
            return state, taken
        state = applied(state, found)
        taken += found
    raise UnsettledError("; ".join(map(str, taken[-10:])))


def decide(state: State, seen: Observation, rules: Rules) -> list[Transition]:
    """The first kind of change that is due; later kinds wait for the next round and see its result."""
    for step in (_learn, _gateways, _seats, _place, _publish, _release):
        if found := list(step(state, seen, rules)):
            return found
    return []


def _learn(state: State, seen: Observation, _: Rules) -> Iterator[Transition]:
    for name, info in sorted(seen.infos.items()):
        known = state.nodes.get(name)
        if known is None or known.info != info:
            yield LearnNode(info)


def _gateways(state: State, seen: Observation, rules: Rules) -> Iterator[Transition]:
    for name in sorted(seen.registered | seen.gateways.keys()):
        if name not in state.gateways or (name in seen.registered and seen.now - state.gateways[name] >= SEEN_EVERY):
            yield SeeGateway(name, seen.now)
    for name in sorted(state.gateways.keys() - awaited(state, seen, rules) - seen.gateways.keys()):
        yield ForgetGateway(name)


def awaited(state: State, seen: Observation, rules: Rules) -> set[str]:
    """The gateways whose word is needed before a node may unload. When in doubt, all that were ever seen."""
    if not seen.settled:
        return set(state.gateways)
    recent = {name for name, at in state.gateways.items() if seen.now - at < rules.forget_gateway}
    return recent | (state.gateways.keys() & seen.registered)


def _seats(state: State, seen: Observation, rules: Rules) -> Iterator[Transition]:
    for replica in state.replicas.values():
        if _may_move(replica, state, seen, rules):
            yield _moved(replica, seen.now, rules)


def _may_move(replica: Replica, state: State, seen: Observation, rules: Rules) -> bool:
    if replica.seat is Seat.ASSIGNED:
        return _says(replica, state, seen, Step.READY)
    if replica.seat is Seat.SERVING:
        return _is_spare_and_failed(replica, state, seen)
    if replica.seat is Seat.WITHDRAWN:
        return _is_withdrawn(replica, state, seen, rules)
    if replica.seat is Seat.DRAINING:
        return seen.now >= replica.deadline
    return replica.seat is Seat.UNLOADING and _has_left(replica, seen, rules)


def _moved(replica: Replica, now: float, rules: Rules) -> Transition:
    if replica.seat is Seat.ASSIGNED:
        return Sit(replace(replica, seat=Seat.SERVING, since=now))
    if replica.seat is Seat.SERVING:
        return Sit(replace(replica, seat=Seat.ASSIGNED, since=now))
    if replica.seat is Seat.WITHDRAWN:
        return Sit(replace(replica, seat=Seat.DRAINING, deadline=now + rules.drain, since=now))
    if replica.seat is Seat.DRAINING:
        return Sit(replace(replica, seat=Seat.UNLOADING, since=now))
    return Leave(replica)


def _says(replica: Replica, state: State, seen: Observation, step: Step) -> bool:
    digest = state.deployments[replica.key].digest
    status = seen.status(replica.node, replica.model, replica.version, digest)
    return status is not None and status.state is step


def _is_spare_and_failed(replica: Replica, state: State, seen: Observation) -> bool:
    """Its own node says that it does not serve the version, and another one does: gateways need not try it."""
    others = [r for r in state.replicas_of(replica.key) if r.seat is Seat.SERVING and r.node != replica.node]
    serves = any(_says(other, state, seen, Step.READY) for other in others)
    return serves and _says(replica, state, seen, Step.FAILED)


def _is_withdrawn(replica: Replica, state: State, seen: Observation, rules: Rules) -> bool:
    """Only what lies in Consul now counts, under the epoch of now: an index of a store that is gone says nothing."""
    lying, published = seen.placements.get(replica.model), state.published.get(replica.model)
    if lying is None or published is None or lying.document.revision < published.revision:
        return False
    if replica.node in lying.document.versions.get(str(replica.version), ()):
        return False
    return not seen.behind(awaited(state, seen, rules), replica.model, lying.index)


def _has_left(replica: Replica, seen: Observation, rules: Rules) -> bool:
    """The node has confirmed by taking its status back; a silent node reads on its return that it has to unload."""
    wanted = seen.desired.get((replica.node, replica.model))
    if wanted is not None and wanted.version == replica.version:
        return False
    if not seen.node(replica.node).alive:
        return seen.settled and seen.now - replica.since >= rules.unload_patience
    status = seen.statuses.get((replica.node, replica.model))
    return status is None or status.version != replica.version


def _place(state: State, seen: Observation, rules: Rules) -> Iterator[Transition]:
    ordered = sorted(state.deployments.values(), key=lambda d: (d.created, d.key))
    verdicts = place([_demand(d, state, seen) for d in ordered], _rooms(state, seen, rules))
    for deployment in ordered:
        yield from _follow(deployment, verdicts[deployment.key], state, seen.now)


def _demand(deployment: Deployment, state: State, seen: Observation) -> Demand:
    replicas = state.replicas_of(deployment.key)
    running = [r.node for r in replicas if r.seat in RUNNING]
    return Demand(
        model=deployment.model,
        version=deployment.version,
        replicas=_wanted(deployment, len(running)),
        pool=deployment.pool,
        backend=deployment.backend,
        memory_bytes=deployment.memory_bytes,
        running=tuple(running),
        leaving=tuple(r.node for r in replicas if r.seat not in RUNNING),
        serving=frozenset(r.node for r in replicas if r.seat is Seat.SERVING),
        failed=frozenset(node for node in running if _failed(deployment, node, seen)),
    )


def _wanted(deployment: Deployment, running: int) -> int:
    if deployment.phase is Phase.ACTIVE:
        return deployment.replicas if deployment.held else 0
    return running if deployment.phase is Phase.LEAVING else 0  # first the route lets go of it


def _failed(deployment: Deployment, node: str, seen: Observation) -> bool:
    status = seen.status(node, deployment.model, deployment.version, deployment.digest)
    return status is not None and status.state is Step.FAILED


def _rooms(state: State, seen: Observation, rules: Rules) -> list[Room]:
    return [_room(name, state, seen, rules) for name in sorted(state.nodes)]


def _room(name: str, state: State, seen: Observation, rules: Rules) -> Room:
    record, view = state.nodes[name], seen.node(name)
    return Room(
        name=name,
        pool=record.info.pool,
        capacity_bytes=record.info.capacity_bytes,
        backends=frozenset(record.info.backends),
        open=view.alive and view.usable and not record.cordoned,
        gone=seen.settled and not view.answering and view.silent_for >= rules.replace_after,
    )


def _follow(deployment: Deployment, verdict: Verdict, state: State, now: float) -> Iterator[Transition]:
    for node in verdict.add:
        yield Sit(Replica(deployment.model, deployment.version, node, Seat.ASSIGNED, since=now))
    for node in verdict.remove:
        yield Sit(_retired(state.replicas[(*deployment.key, node)], now))
    if verdict.missing and deployment.message != verdict.why:
        yield Mark(replace(deployment, reason=Reason.NO_CAPACITY.value, message=verdict.why), "no room for")
    elif not verdict.missing and deployment.reason == Reason.NO_CAPACITY:
        yield Mark(replace(deployment, reason="", message=""), "room for")


def _retired(replica: Replica, now: float) -> Replica:
    """Gateways never heard of a replica that did not serve, so there is nothing to withdraw."""
    return replace(replica, seat=Seat.WITHDRAWN if replica.seat is Seat.SERVING else Seat.UNLOADING, since=now)


def _publish(state: State, seen: Observation, rules: Rules) -> Iterator[Transition]:
    for model in sorted({replica.model for replica in state.replicas.values()} | state.published.keys()):
        serving, before = state.serving(model), state.published.get(model)
        if serving != (dict(before.versions) if before else {}):
            yield Publish(model, Published(before.revision + 1 if before else 1, serving))


def _release(state: State, seen: Observation, rules: Rules) -> Iterator[Transition]:
    for deployment in state.deployments.values():
        if deployment.phase is Phase.DRAINING and not state.replicas_of(deployment.key):
            yield Mark(replace(deployment, phase=Phase.RELEASING), "release")
