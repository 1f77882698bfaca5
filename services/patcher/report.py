"""What callers are told: the kept state and the present observation as messages of the contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmase.patcher.v1 import deployment_pb2 as pb
from bmase.reasons import Reason

from services.patcher.documents import Step
from services.patcher.observation import Observation
from services.patcher.state import RUNNING, Deployment, Phase, Replica, RouteWish, Seat, State

_STEPS = {
    Step.ASSIGNED: pb.Placement.STATE_ASSIGNED,
    Step.FETCHING: pb.Placement.STATE_FETCHING,
    Step.LOADING: pb.Placement.STATE_LOADING,
    Step.WARMING: pb.Placement.STATE_WARMING,
    Step.READY: pb.Placement.STATE_READY,
    Step.FAILED: pb.Placement.STATE_FAILED,
    Step.DRAINING: pb.Placement.STATE_DRAINING,
    Step.LOST: pb.Placement.STATE_LOST,
}
_UNDERWAY = frozenset({Step.ASSIGNED, Step.FETCHING, Step.LOADING, Step.WARMING})


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be said of one replica."""

    node: str
    step: Step
    reason: str = ""
    message: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What is to be said of a deployment as a whole."""

    state: pb.Deployment.State
    reason: str = ""
    message: str = ""


def of_replica(replica: Replica, state: State, seen: Observation) -> Said:
    """The node's own word while it speaks; silence is LOST, whatever it said before."""
    if replica.seat not in RUNNING:
        return Said(replica.node, Step.DRAINING, message=_leaving(replica, state, seen), since=replica.since)
    view = seen.node(replica.node)
    if not view.alive:
        return _silent(replica, seen)
    digest = state.deployments[replica.key].digest
    status = seen.status(replica.node, replica.model, replica.version, digest)
    if status is None:
        return Said(replica.node, Step.ASSIGNED, message=f"waiting for node {replica.node}", since=replica.since)
    if status.state is Step.READY and not _is_announced(replica, seen):
        return Said(replica.node, Step.WARMING, message="ready; the gateways are being told", since=status.since)
    return Said(replica.node, status.state, status.reason, status.message, status.since)


def _is_announced(replica: Replica, seen: Observation) -> bool:
    """Gateways can read of it, so that a route to it is accepted. A store that was just wiped is given time."""
    lying = seen.placements.get(replica.model)
    if lying is None:
        return replica.seat is Seat.SERVING and not seen.settled
    return replica.node in lying.document.versions.get(str(replica.version), ())


def _silent(replica: Replica, seen: Observation) -> Said:
    view = seen.node(replica.node)
    if not seen.settled:
        return Said(replica.node, Step.LOST, message="the coordination store does not say yet", since=seen.now)
    message = f"the agent of node {replica.node} is silent"
    message += "; its Triton still answers" if view.answering else "; start it again"
    return Said(replica.node, Step.LOST, Reason.SERVICE_UNAVAILABLE.value, message, seen.now - view.silent_for)


def _leaving(replica: Replica, state: State, seen: Observation) -> str:
    if replica.seat is Seat.DRAINING:
        return "requests under way may finish"
    if replica.seat is Seat.UNLOADING:
        return f"waiting until node {replica.node} has unloaded it"
    lying = seen.placements.get(replica.model)
    behind = seen.behind(state.gateways, replica.model, lying.index) if lying else sorted(state.gateways)
    return f"waiting until the gateways have turned away: {', '.join(behind[:3])}"


def summarise(deployment: Deployment, said: Sequence[Said]) -> Summary:
    """One state for all replicas; the reason is that of what stands in the way."""
    if deployment.phase is not Phase.ACTIVE:
        return Summary(pb.Deployment.STATE_DRAINING, deployment.reason, deployment.message)
    if not deployment.held and deployment.reason:
        return Summary(pb.Deployment.STATE_FAILED, deployment.reason, deployment.message)
    asked = [s for s in said if s.step is not Step.DRAINING]
    ready = [s for s in asked if s.step is Step.READY]
    if len(ready) >= deployment.replicas:
        if deployment.route is RouteWish.WANTED:  # a caller that is told "ready" may send requests at once
            return Summary(
                pb.Deployment.STATE_DEPLOYING, message=deployment.message or "ready; the route is being made"
            )
        return Summary(pb.Deployment.STATE_READY, deployment.reason, deployment.message if deployment.reason else "")
    obstacle = next((s for s in asked if s.step in (Step.FAILED, Step.LOST)), None)
    reason = deployment.reason or (obstacle.reason if obstacle else "")
    message = deployment.message or (f"{obstacle.node}: {obstacle.message}" if obstacle else "")
    obstructed = bool(reason) or obstacle is not None
    return Summary(_unready(asked, bool(ready), obstructed), reason, message)


def _unready(asked: Sequence[Said], some_ready: bool, obstructed: bool) -> pb.Deployment.State:
    if some_ready:
        return pb.Deployment.STATE_DEGRADED if obstructed else pb.Deployment.STATE_DEPLOYING
    if not asked:
        return pb.Deployment.STATE_PENDING
    if any(s.step in _UNDERWAY for s in asked):
        return pb.Deployment.STATE_DEPLOYING
    lost = any(s.step is Step.LOST for s in asked)
    return pb.Deployment.STATE_DEGRADED if lost else pb.Deployment.STATE_FAILED


def deployment_message(deployment: Deployment, state: State, seen: Observation) -> pb.Deployment:
    """The deployment with its placements, as it is now."""
    replicas = sorted(state.replicas_of(deployment.key), key=lambda replica: replica.node)
    said = [of_replica(replica, state, seen) for replica in replicas]
    summary = summarise(deployment, said)
    message = pb.Deployment(
        name=deployment.name,
        model=f"models/{deployment.model}",
        version=deployment.version,
        replicas=deployment.replicas,
        pool=deployment.pool,
        memory_bytes=deployment.memory_bytes,
        state=summary.state,
        reason=summary.reason,
        message=summary.message,
        placements=[_placement(s) for s in said],
        ready_replicas=sum(s.step is Step.READY for s in said),
        generation=deployment.generation,
    )
    message.create_time.FromMilliseconds(int(deployment.created * 1000))
    message.update_time.FromMilliseconds(int(deployment.updated * 1000))
    return message


def gone_message(deployment: pb.Deployment) -> pb.Deployment:
    """The last message of a watch."""
    gone = pb.Deployment(name=deployment.name, model=deployment.model, version=deployment.version)
    gone.state = pb.Deployment.STATE_GONE
    return gone


def _placement(said: Said) -> pb.Placement:
    placement = pb.Placement(node=said.node, state=_STEPS[said.step], reason=said.reason, message=said.message)
    if said.since > 0:
        placement.update_time.FromMilliseconds(int(said.since * 1000))
    return placement


def node_message(name: str, state: State, seen: Observation) -> pb.Node:
    """A node with what is placed on it."""
    record, view = state.nodes[name], seen.node(name)
    replicas = sorted(state.replicas_on(name), key=lambda replica: replica.key)
    return pb.Node(
        name=f"nodes/{name}",
        pool=record.info.pool,
        grpc_address=record.info.grpc,
        http_address=record.info.http,
        metrics_address=record.info.metrics,
        cordoned=record.cordoned,
        alive=view.alive,
        usable=view.alive and view.usable,
        message=_node_words(name, seen),
        memory_capacity_bytes=record.info.capacity_bytes,
        memory_reserved_bytes=sum(state.deployments[replica.key].memory_bytes for replica in replicas),
        models=len(replicas),
        backends=record.info.backends,
        placements=[_node_model(replica, state, seen) for replica in replicas],
    )


def _node_words(name: str, seen: Observation) -> str:
    view = seen.node(name)
    if view.alive:
        return view.message
    return f"its agent is silent; start it again (BMASE_AGENT_NODE={name} python -m services.patcher.agent)"


def _node_model(replica: Replica, state: State, seen: Observation) -> pb.NodeModel:
    said = of_replica(replica, state, seen)
    return pb.NodeModel(
        model=f"models/{replica.model}", version=replica.version, state=_STEPS[said.step], message=said.message
    )
