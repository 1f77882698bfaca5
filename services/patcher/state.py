"""What the patcher keeps in SQL, and the only ways in which it changes.

A replica walks one way through its phases:

    ASSIGNED -> SERVING -> WITHDRAWN -> DRAINING -> UNLOADING -> (row removed)
        \\___________________________________________/ (never served: nothing to withdraw)

ASSIGNED   its node is told to run it; gateways do not know it yet
SERVING    it was ready once; gateways may send. It stays so while its node is silent: health checks decide, not keys
           (back to ASSIGNED when its node itself says that it failed, and another replica serves)
WITHDRAWN  out of the placements; waiting until every gateway has applied that
DRAINING   no gateway sends new requests; those under way finish until `deadline`
UNLOADING  its node is told to unload it; its seat stays taken until the node has

Everything published in Consul is computed from this state, so a wiped Consul or a new leader changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from bmase.reasons import Reason

from services.patcher.documents import NodeInfo

Key = tuple[str, int]  # model, version


class Phase(StrEnum):
    """Of a deployment, in this order.

    LEAVING    to go, and served as before: first its model's route is looked at, or with force made to let go of it
    DRAINING   on its way out, as its replicas are
    RELEASING  out; the registry is to take back the hold
    """

    ACTIVE = "active"
    LEAVING = "leaving"
    DRAINING = "draining"
    RELEASING = "releasing"


class Seat(StrEnum):
    """Of a replica on a node; see the module's text."""

    ASSIGNED = "assigned"
    SERVING = "serving"
    WITHDRAWN = "withdrawn"
    DRAINING = "draining"
    UNLOADING = "unloading"


# The node is told to run the model in these.
DESIRED = frozenset({Seat.ASSIGNED, Seat.SERVING, Seat.WITHDRAWN, Seat.DRAINING})
# The replica counts towards what was asked for in these.
RUNNING = frozenset({Seat.ASSIGNED, Seat.SERVING})


class RouteWish(StrEnum):
    """Whether the deployment is still to be given a route of its own. It is asked for at most once."""

    WANTED = "wanted"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Desired state of one version, and what the patcher has done about it."""

    model: str
    version: int
    digest: str = ""
    replicas: int = 1
    pool: str = ""
    backend: str = ""
    memory_bytes: int = 0
    phase: Phase = Phase.ACTIVE
    force: bool = False
    generation: int = 1
    held: bool = False
    route: RouteWish = RouteWish.WANTED
    reason: str = ""
    message: str = ""
    created: float = 0.0
    updated: float = 0.0

    @property
    def key(self) -> Key:
        return (self.model, self.version)

    @property
    def name(self) -> str:
        return f"models/{self.model}/deployments/{self.version}"

    @property
    def version_name(self) -> str:
        return f"models/{self.model}/versions/{self.version}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One deployment on one node. `deadline` is the wall-clock time at which DRAINING ends."""

    model: str
    version: int
    node: str
    seat: Seat = Seat.ASSIGNED
    deadline: float = 0.0
    since: float = 0.0

    @property
    def key(self) -> Key:
        return (self.model, self.version)

    @property
    def id(self) -> tuple[str, int, str]:
        return (self.model, self.version, self.node)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node that has introduced itself once, and is known from then on, whatever Consul says."""

    info: NodeInfo
    cordoned: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """The placements of a model, under a revision that grows with every change, also over a wiped Consul."""

    revision: int
    versions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class State:
    """All of it, as one value."""

    deployments: Mapping[Key, Deployment] = field(default_factory=dict)
    replicas: Mapping[tuple[str, int, str], Replica] = field(default_factory=dict)
    nodes: Mapping[str, NodeRecord] = field(default_factory=dict)
    published: Mapping[str, Published] = field(default_factory=dict)
    gateways: Mapping[str, float] = field(default_factory=dict)  # name -> when its registration was last seen

    def replicas_of(self, key: Key) -> list[Replica]:
        return self._by_key.get(key, [])

    def replicas_on(self, node: str) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.node == node]

    def serving(self, model: str) -> dict[str, tuple[str, ...]]:
        """version -> nodes, as gateways may use them."""
        return self._serving.get(model, {})

    @cached_property
    def _by_key(self) -> dict[Key, list[Replica]]:
        found: dict[Key, list[Replica]] = {}
        for replica in self.replicas.values():
            found.setdefault(replica.key, []).append(replica)
        return found

    @cached_property
    def _serving(self) -> dict[str, dict[str, tuple[str, ...]]]:
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for (model, version), replicas in sorted(self._by_key.items()):
            nodes = tuple(sorted(replica.node for replica in replicas if replica.seat is Seat.SERVING))
            if nodes:
                found.setdefault(model, {})[str(version)] = nodes
        return found


@dataclass(frozen=True, slots=True)
class LearnNode:
    """A node has introduced itself, or says something new of itself."""

    info: NodeInfo

    def apply(self, state: State) -> State:
        cordoned = self.info.name in state.nodes and state.nodes[self.info.name].cordoned
        return replace(state, nodes={**state.nodes, self.info.name: NodeRecord(self.info, cordoned)})

    def __str__(self) -> str:
        return f"learn node {self.info.name}"


@dataclass(frozen=True, slots=True)
class SeeGateway:
    """The gateway is registered now; `at` is when that was seen."""

    name: str
    at: float

    def apply(self, state: State) -> State:
        return replace(state, gateways={**state.gateways, self.name: self.at})

    def __str__(self) -> str:
        return f"see gateway {self.name}"


@dataclass(frozen=True, slots=True)
class ForgetGateway:
    """The gateway was not registered for so long that nobody waits for it any more."""

    name: str

    def apply(self, state: State) -> State:
        return replace(state, gateways={name: at for name, at in state.gateways.items() if name != self.name})

    def __str__(self) -> str:
        return f"forget gateway {self.name}"


@dataclass(frozen=True, slots=True)
class Sit:
    """Put a replica on a node, or move it on to its next seat."""

    replica: Replica

    def apply(self, state: State) -> State:
        return replace(state, replicas={**state.replicas, self.replica.id: self.replica})

    def __str__(self) -> str:
        r = self.replica
        return f"{r.seat.value} {r.model}/{r.version} on {r.node}"


@dataclass(frozen=True, slots=True)
class Leave:
    """The replica's node has unloaded it, or will when it comes back."""

    replica: Replica

    def apply(self, state: State) -> State:
        return replace(state, replicas={id: r for id, r in state.replicas.items() if id != self.replica.id})

    def __str__(self) -> str:
        r = self.replica
        return f"left {r.model}/{r.version} on {r.node}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something about the deployment is settled: `fields` names what, for the record; `deployment` is the new value."""

    deployment: Deployment
    what: str

    def apply(self, state: State) -> State:
        return replace(state, deployments={**state.deployments, self.deployment.key: self.deployment})

    def __str__(self) -> str:
        return f"{self.what} {self.deployment.model}/{self.deployment.version}"


@dataclass(frozen=True, slots=True)
class Stay:
    """The route needs the version after all: it is wanted as before, and what its nodes still have comes back."""

    deployment: Deployment

    def apply(self, state: State) -> State:
        words = f"the route of {self.deployment.model} sends requests to it; it stays deployed"
        active = replace(self.deployment, phase=Phase.ACTIVE, reason=Reason.VERSION_IN_ROUTE.value, message=words)
        leaving = [r for r in state.replicas_of(active.key) if r.seat in DESIRED - RUNNING]
        back = {r.id: replace(r, seat=Seat.ASSIGNED) for r in leaving}
        return replace(Mark(active, "keep").apply(state), replicas={**state.replicas, **back})

    def __str__(self) -> str:
        return f"keep {self.deployment.model}/{self.deployment.version}"


@dataclass(frozen=True, slots=True)
class Finish:
    """The deployment is out and its hold released: nothing of it is left."""

    deployment: Deployment

    def apply(self, state: State) -> State:
        gone = self.deployment.key
        return replace(state, deployments={key: d for key, d in state.deployments.items() if key != gone})

    def __str__(self) -> str:
        return f"finish {self.deployment.model}/{self.deployment.version}"


@dataclass(frozen=True, slots=True)
class Publish:
    """The placements of the model change."""

    model: str
    published: Published

    def apply(self, state: State) -> State:
        return replace(state, published={**state.published, self.model: self.published})

    def __str__(self) -> str:
        versions = " ".join(f"{v}={','.join(nodes)}" for v, nodes in self.published.versions.items())
        return f"publish {self.model} r{self.published.revision} {versions or 'nothing'}"


Transition = LearnNode | SeeGateway | ForgetGateway | Sit | Leave | Mark | Stay | Finish | Publish


def applied(state: State, transitions: Iterable[Transition]) -> State:
    """The state after the transitions, in order."""
    for transition in transitions:
        state = transition.apply(state)
    return state
