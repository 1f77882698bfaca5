"""Machines and what jobs hold of them: whole workers on nodes, so that what is planned can be placed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.trainer.jobs.spec import Resources
from services.trainer.jobs.state import Job


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of everything that is counted; CPUs in thousandths."""

    millicpus: int = 0
    memory_bytes: int = 0
    gpus: int = 0
    jobs: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    def __sub__(self, other: Amount) -> Amount:
        return self + other * -1

    def __mul__(self, times: int) -> Amount:
        return Amount(*(part * times for part in self.parts))

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return (self.millicpus, self.memory_bytes, self.gpus, self.jobs)

    def holds(self, other: Amount) -> int:
        """How many of `other` there is room for. What it does not need does not count, even when that is overdrawn."""
        counts = [have // need for have, need in zip(self.parts, other.parts, strict=True) if need > 0]
        return max(0, min(counts, default=0))


def of_worker(resources: Resources) -> Amount:
    """What one worker holds."""
    return Amount(resources.millicpus, resources.memory_bytes, resources.gpus)


def of_job(job: Job) -> Amount:
    """What the whole job holds while it is active, and counts for in quotas."""
    resources = job.spec.resources
    return of_worker(resources) * resources.workers + Amount(jobs=1)


@dataclass
class Floor:
    """All nodes during one round of decisions: `free` may be overdrawn where a node has shrunk or is saved up."""

    nodes: Mapping[str, Amount]
    free: dict[str, Amount] = field(init=False)

    def __post_init__(self) -> None:
        self.free = dict(self.nodes)

    def occupy(self, workers: Mapping[str, int], worker: Amount) -> None:
        """Takes what these workers hold; nodes that are gone hold nobody."""
        for node, count in workers.items():
            if node in self.free:
                self.free[node] = self.free[node] - worker * count

    def place(self, worker: Amount, count: int) -> dict[str, int] | None:
        """node -> workers, for all of them or none. Fullest nodes first, those with GPUs last when none are needed."""
        order = sorted(self.free, key=lambda node: (self._wasted(node, worker), *self.free[node].parts, node))
        return _spread(((node, self.free[node]) for node in order), worker, count)

    def place_when_empty(self, worker: Amount, count: int) -> dict[str, int] | None:
        """Where they would go if nobody else were there; None: nowhere. The same nodes from round to round."""
        order = sorted(self.nodes, key=lambda node: (self._wasted(node, worker), node))
        return _spread(((node, self.nodes[node]) for node in order), worker, count)

    def room(self, worker: Amount) -> int:
        """How many such workers there is room for now."""
        return sum(free.holds(worker) for free in self.free.values())

    def _wasted(self, node: str, worker: Amount) -> bool:
        return not worker.gpus and self.nodes[node].gpus > 0


def _spread(nodes: Iterable[tuple[str, Amount]], worker: Amount, count: int) -> dict[str, int] | None:
    placed: dict[str, int] = {}
    for node, free in nodes:
        here = min(count, free.holds(worker))
        if here:
            placed[node] = here
            count -= here
        if not count:
            return placed
    return None
