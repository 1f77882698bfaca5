"""Which node runs what: a pure function over what is asked for and what is there.

Rules, in this order:
1. What runs stays where it is, unless it is no longer asked for or its node is gone for good.
2. Two versions of one model never share a node, not even while one of them is on its way out.
3. A node takes only what its pool, its backends and its free memory allow, and nothing new while cordoned or unusable.
4. Among the nodes left, the one with the largest free share, so that load spreads; ties go by name, for stability.
Older deployments choose first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Room:
    """A node as far as placing is concerned."""

    name: str
    pool: str = "default"
    capacity_bytes: int = 0
    backends: frozenset[str] = frozenset()
    open: bool = True  # alive, usable and not cordoned: may take something new
    gone: bool = False  # silent for so long that what it ran is placed anew


@dataclass(frozen=True, slots=True)
class Demand:
    """A deployment as far as placing is concerned: it is on the nodes `running`, and on its way out of `leaving`."""

    model: str
    version: int
    replicas: int
    pool: str = ""
    backend: str = ""
    memory_bytes: int = 0
    running: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    serving: frozenset[str] = frozenset()  # of the running ones: those that gateways use
    failed: frozenset[str] = frozenset()  # of the running ones: those that gave up


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to change for one deployment; `missing` replicas found no node, and `why` says so to a person."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    missing: int = 0
    why: str = ""


@dataclass(slots=True)
class _Desk:
    """What is taken while the demands are served one after the other.

    What is removed keeps its seat and its memory: the node has it loaded until it says that it has not.
    """

    rooms: dict[str, Room]
    reserved: dict[str, int] = field(default_factory=dict)
    models: dict[str, dict[str, int]] = field(default_factory=dict)  # node -> model -> version

    def take(self, node: str, demand: Demand) -> None:
        self.reserved[node] = self.reserved.get(node, 0) + demand.memory_bytes
        self.models.setdefault(node, {})[demand.model] = demand.version

    def free(self, node: str) -> int:
        return self.rooms[node].capacity_bytes - self.reserved.get(node, 0)

    def rank(self, node: str) -> tuple[float, int, str]:
        """Smaller is better: used share, number of models, name."""
        capacity = max(self.rooms[node].capacity_bytes, 1)
        return (self.reserved.get(node, 0) / capacity, len(self.models.get(node, {})), node)


def place(demands: Sequence[Demand], rooms: Iterable[Room]) -> dict[tuple[str, int], Verdict]:
    """The change for each demand, in their order; an empty verdict means that nothing moves."""
    desk = _Desk({room.name: room for room in rooms})
    for demand in demands:
        for node in (*demand.running, *demand.leaving):
            desk.take(node, demand)
    return {(demand.model, demand.version): _serve(demand, desk) for demand in demands}


def _serve(demand: Demand, desk: _Desk) -> Verdict:
    gone = [node for node in demand.running if node in desk.rooms and desk.rooms[node].gone]
    there = [node for node in demand.running if node not in gone]
    kept = sorted(there, key=lambda node: _keep_rank(node, demand, desk))[: demand.replicas]
    added = _choose(demand, desk, demand.replicas - len(kept))
    # A silent node may still serve where only we cannot see it: it is given up when others serve in its place.
    serving = sum(node in demand.serving for node in kept)
    dropped = gone[: max(serving + len(gone) - demand.replicas, 0)]
    removed = sorted({*there, *dropped} - {*kept})
    missing = demand.replicas - len(kept) - len(added) - (len(gone) - len(dropped))
    return Verdict(tuple(added), tuple(removed), max(missing, 0), _why(demand, desk) if missing > 0 else "")


def _keep_rank(node: str, demand: Demand, desk: _Desk) -> tuple[bool, bool, bool, float, int, str]:
    """Which of too many replicas to keep first: working ones, on open nodes, with room."""
    room = desk.rooms.get(node)
    closed = room is None or not room.open
    rank = desk.rank(node) if room else (1.0, 0, node)
    return (node in demand.failed, node not in demand.serving, closed, *rank)


def _choose(demand: Demand, desk: _Desk, count: int) -> list[str]:
    added: list[str] = []
    while len(added) < count:
        candidates = [name for name in desk.rooms if _obstacle(demand, desk, name) is None]
        if not candidates:
            break
        best = min(candidates, key=desk.rank)
        desk.take(best, demand)
        added.append(best)
    return added


def _obstacle(demand: Demand, desk: _Desk, node: str) -> str | None:
    """Why this node cannot take one more replica; None when it can."""
    room = desk.rooms[node]
    if demand.pool and room.pool != demand.pool:
        return "in another pool"
    if demand.backend and room.backends and demand.backend not in room.backends:
        return f"without the backend {demand.backend}"
    if (other := desk.models.get(node, {}).get(demand.model)) is not None:
        return "running it already" if other == demand.version else "running another version of the model"
    if not room.open:
        return "cordoned or not usable"
    if desk.free(node) < demand.memory_bytes:
        return "without enough free memory"
    return None


def _why(demand: Demand, desk: _Desk) -> str:
    if not desk.rooms:
        return "no serving node is registered: start one (python -m services.patcher.agent beside a Triton)"
    counts: dict[str, int] = {}
    for name in sorted(desk.rooms):
        if obstacle := _obstacle(demand, desk, name):
            counts[obstacle] = counts.get(obstacle, 0) + 1
    found = ", ".join(f"{count} {obstacle}" for obstacle, count in counts.items())
    steps = [step for obstacle, step in _NEXT.items() if obstacle in counts]
    return f"no node has room: {found}; " + (" or ".join(steps) or "add a node")


_NEXT = {
    "running another version of the model": "undeploy another version of the model",
    "without enough free memory": "lower memory_bytes",
    "cordoned or not usable": "uncordon or repair a node (`bmase nodes` says what stands in its way)",
    "in another pool": "choose another pool",
    "running it already": "add a node",
}
