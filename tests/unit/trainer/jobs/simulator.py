"""A machine room that does what is decided, and watches that nothing is promised twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.trainer.jobs import transitions as tr
from services.trainer.jobs.capacity import Amount, of_job, of_worker
from services.trainer.jobs.decide import Act, Plan, Seen, decide
from services.trainer.jobs.quotas import Quotas
from services.trainer.jobs.state import Job

GIB = 2**30


@dataclass
class Room:
    """Jobs run for `lasts[id]` seconds and succeed; `step` is one round of decisions."""

    nodes: Mapping[str, Amount]
    quotas: Quotas = field(default_factory=Quotas)
    jobs: dict[str, Job] = field(default_factory=dict)
    lasts: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    began: dict[str, float] = field(default_factory=dict)
    alive: set[tuple[str, int]] = field(default_factory=set)
    plan: Plan = field(default_factory=Plan)

    def add(self, job: Job, lasts: float) -> None:
        self.jobs[job.id], self.lasts[job.id] = job, lasts

    def step(self, seconds: float) -> Plan:
        """Ends what is done, then decides and does."""
        self.now += seconds
        for job in list(self.jobs.values()):
            if job.attempt and self.now - job.attempt.started >= self.lasts[job.id]:
                self._finish(job, job.attempt.number)
        self.plan = decide(self.jobs.values(), Seen(self.now, self.nodes, frozenset(self.alive)), self.quotas)
        for decision in self.plan.decisions:
            self._do(decision.act, decision.after)
        self.check()
        return self.plan

    def kill(self, job: str) -> None:
        """Its processes die, and nobody says so."""
        self.alive = {(id, number) for id, number in self.alive if id != job}

    def check(self) -> None:
        """No node and no quota holds more than it has."""
        active = [job for job in self.jobs.values() if job.attempt]
        for node, whole in self.nodes.items():
            held = Amount()
            for job in active:
                assert job.attempt is not None
                assert sum(job.attempt.workers.values()) == job.spec.resources.workers
                held += of_worker(job.spec.resources) * job.attempt.workers.get(node, 0)
            assert all(h <= w for h, w in zip(held.parts[:3], whole.parts[:3], strict=True)), (node, held, whole)
        used: dict[str, Amount] = {}
        for job in active:
            for scope, limit in self.quotas.scopes(job).items():
                used[scope] = used.get(scope, Amount()) + of_job(job)
                assert not limit.exceeded(used[scope]), (scope, used[scope])

    def _do(self, act: Act, after: Job) -> None:
        self.jobs[after.id] = after
        if after.attempt and act in (Act.START, Act.RESUME):
            self.alive.add((after.id, after.attempt.number))
            self.began.setdefault(after.id, self.now)
        if act is Act.STOP and after.attempt:
            self.alive.discard((after.id, after.attempt.number))
            self.jobs[after.id] = tr.stopped(after, after.attempt.number, self.now)

    def _finish(self, job: Job, number: int) -> None:
        self.alive.discard((job.id, number))
        job = tr.trained(tr.prepared(job, number, self.now), number, self.now, "sha256:x")
        self.jobs[job.id] = tr.registered(tr.evaluated(job, number, self.now, []), number, self.now, 1)
