"""What has to be done so that the world agrees with the kept state. Pure: it compares, the executor acts.

Every effect is idempotent, and is found again at the next look for as long as the world differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.patcher.decide import Rules, awaited
from services.patcher.documents import Placements
from services.patcher.observation import Observation
from services.patcher.state import DESIRED, Deployment, Phase, Replica, RouteWish, Seat, State


@dataclass(frozen=True, slots=True)
class PutDesired:
    """Tell the node to run the version; the executor adds the files."""

    node: str
    deployment: Deployment

    def __str__(self) -> str:
        return f"desired {self.deployment.model}/{self.deployment.version} on {self.node}"


@dataclass(frozen=True, slots=True)
class DeleteDesired:
    """Tell the node to unload the model."""

    node: str
    model: str

    def __str__(self) -> str:
        return f"undesired {self.model} on {self.node}"


@dataclass(frozen=True, slots=True)
class PutSynced:
    """Tell the node that its desired models are complete under this epoch."""

    node: str
    epoch: str

    def __str__(self) -> str:
        return f"synced {self.node} under {self.epoch}"


@dataclass(frozen=True, slots=True)
class PutPlacements:
    """Tell the gateways where the model's versions are."""

    model: str
    document: Placements

    def __str__(self) -> str:
        versions = " ".join(f"{v}={','.join(nodes)}" for v, nodes in self.document.versions.items())
        return f"placements {self.model} r{self.document.revision} {versions or 'nothing'}"


@dataclass(frozen=True, slots=True)
class DeletePlacements:
    """Nothing of the model is deployed any more."""

    model: str

    def __str__(self) -> str:
        return f"no placements {self.model}"


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """The gateway is gone for good; its last report goes too."""

    gateway: str

    def __str__(self) -> str:
        return f"drop the report of gateway {self.gateway}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Ask the registry to keep the version."""

    deployment: Deployment

    def __str__(self) -> str:
        return f"hold {self.deployment.model}/{self.deployment.version}"


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Tell the registry that the version is not needed any more."""

    deployment: Deployment

    def __str__(self) -> str:
        return f"release {self.deployment.model}/{self.deployment.version}"


@dataclass(frozen=True, slots=True)
class GiveRoute:
    """Give the model's first deployment all of the traffic, unless it has a route already."""

    deployment: Deployment

    def __str__(self) -> str:
        return f"route {self.deployment.model} to {self.deployment.version}"


@dataclass(frozen=True, slots=True)
class TakeFromRoute:
    """A forced undeployment: the route goes on without the version, or goes with it."""

    deployment: Deployment

    def __str__(self) -> str:
        return f"take {self.deployment.model}/{self.deployment.version} from the route"


@dataclass(frozen=True, slots=True)
class CheckRoute:
    """Look whether the route needs the version that is to leave; while it drains once more, as weights may change.

    That there is no route says nothing before Consul's word counts again.
    """

    deployment: Deployment
    settled: bool = True

    def __str__(self) -> str:
        return f"check that no route needs {self.deployment.model}/{self.deployment.version}"


Effect = (
    PutDesired
    | DeleteDesired
    | PutSynced
    | PutPlacements
    | DeletePlacements
    | DeleteReport
    | Hold
    | ReleaseHold
    | GiveRoute
    | TakeFromRoute
    | CheckRoute
)


def effects(state: State, seen: Observation, rules: Rules) -> list[Effect]:
    """In the order in which they are to be tried; none depends on the success of another."""
    found: list[Effect] = []
    for step in (_placements, _desired, _synced, _reports):
        found += step(state, seen, rules)
    for deployment in state.deployments.values():
        found += _of_deployment(deployment, state, seen)
    return found


def _placements(state: State, seen: Observation, _: Rules) -> Iterator[Effect]:
    models = {model for model, _ in state.deployments}
    wanted = {model: p for model, p in state.published.items() if p.versions or model in models}
    for model, published in sorted(wanted.items()):
        lying = seen.placements.get(model)
        document = Placements(revision=published.revision, versions=dict(published.versions))
        if lying is None or lying.document.model_copy(update={"fence": 0}) != document:
            yield PutPlacements(model, document)
    for model in sorted(seen.placements.keys() - wanted.keys()):
        yield DeletePlacements(model)


def _wanted(state: State) -> dict[tuple[str, str], Deployment]:
    """(node, model) -> what is to run there; unique, as two versions of a model never sit on one node."""
    seated = [replica for replica in state.replicas.values() if replica.seat in DESIRED]
    return {(replica.node, replica.model): state.deployments[replica.key] for replica in seated}


def _desired(state: State, seen: Observation, _: Rules) -> Iterator[Effect]:
    wanted = _wanted(state)
    for (node, _model), deployment in sorted(wanted.items(), key=lambda item: item[0]):
        if not _lies(node, deployment, seen):
            yield PutDesired(node, deployment)
    for node, model in sorted(seen.desired.keys() - wanted.keys()):
        yield DeleteDesired(node, model)


def _lies(node: str, deployment: Deployment, seen: Observation) -> bool:
    lying = seen.desired.get((node, deployment.model))
    wanted = (deployment.version, deployment.digest, deployment.generation)
    return lying is not None and (lying.version, lying.digest, lying.generation) == wanted


def _synced(state: State, seen: Observation, _: Rules) -> Iterator[Effect]:
    """Only once everything for the node lies there: the mark turns an absent key into an order."""
    if not seen.epoch:
        return
    wanted = _wanted(state)
    for node in sorted(state.nodes):
        mark = seen.synced.get(node)
        if (mark is None or mark.epoch != seen.epoch) and all(
            _lies(node, deployment, seen) for (where, _), deployment in wanted.items() if where == node
        ):
            yield PutSynced(node, seen.epoch)


def _reports(state: State, seen: Observation, rules: Rules) -> Iterator[Effect]:
    known = state.gateways.keys() & seen.gateways.keys()
    yield from (DeleteReport(name) for name in sorted(known - awaited(state, seen, rules)))


def _of_deployment(deployment: Deployment, state: State, seen: Observation) -> Iterator[Effect]:
    if deployment.phase is Phase.RELEASING:
        yield ReleaseHold(deployment)
    elif deployment.phase is Phase.LEAVING:
        yield TakeFromRoute(deployment) if deployment.force else CheckRoute(deployment, seen.settled)
    elif deployment.phase is Phase.DRAINING:
        drains = any(replica.seat is Seat.DRAINING for replica in state.replicas_of(deployment.key))
        if drains and not deployment.force:
            yield CheckRoute(deployment, seen.settled)
    elif not deployment.held:
        if not deployment.reason:
            yield Hold(deployment)
    elif deployment.route is RouteWish.WANTED and _is_known(state.replicas_of(deployment.key), seen):
        yield GiveRoute(deployment)


def _is_known(replicas: list[Replica], seen: Observation) -> bool:
    """Gateways can read of at least one replica, so that they accept a route to it."""
    for replica in replicas:
        lying = seen.placements.get(replica.model)
        nodes = lying.document.versions.get(str(replica.version), ()) if lying else ()
        if replica.seat is Seat.SERVING and replica.node in nodes:
            return True
    return False
