"""What happens to jobs next: from what is kept and what is seen to decisions, each with its reason. Pure.

Order. A point of priority is worth POINT seconds of waiting: the queue is sorted by the time of creation less that,
which never changes while a job waits. So only finitely many later jobs ever come before it.

Room. Jobs behind one that waits may overtake it where there is room for them and not for it. When it has waited
PATIENCE, that ends: what it needs of its quotas, and the machines of the first such job, are set aside until it starts
(backfilling as in Lifka, "The ANL/IBM SP scheduling system", 1995, without forecasts of when others end). As every job
ends at its time limit at the latest, each one that can start at all does start.

Silence. While the engine does not answer (`alive` is None) nothing is lost and nothing starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.trainer.jobs import transitions
from services.trainer.jobs.capacity import Amount, Floor, of_worker
from services.trainer.jobs.quotas import Ledger, Quotas
from services.trainer.jobs.state import Attempt, Cause, Job, Phase

POINT = 60.0
PATIENCE = 300.0
GRACE = 2.0  # in which the processes of a new attempt, or under a new trainer, are not missed


class Act(StrEnum):
    """What the engine has to do; the job that is to be kept comes with it."""

    START = "start"
    RESUME = "resume"  # start, with what the job has already
    STOP = "stop"  # end its processes; repeated until they are gone
    REQUEUE = "requeue"  # nothing: its processes are gone, it waits again
    END = "end"  # nothing: it is over


class Why(StrEnum):
    """Why a job waits."""

    CAPACITY = "CAPACITY"
    TOO_LARGE = "TOO_LARGE"
    QUOTA = "QUOTA"
    OVER_QUOTA = "OVER_QUOTA"
    PAUSED = "PAUSED"
    ENGINE_SILENT = "ENGINE_SILENT"


@dataclass(frozen=True, slots=True)
class Seen:
    """The world at one moment: the nodes as a whole (not what is free), and the attempts that have processes."""

    now: float
    nodes: Mapping[str, Amount] = field(default_factory=dict)
    alive: frozenset[tuple[str, int]] | None = frozenset()  # (job, attempt); None: the engine does not answer
    since: float = 0.0  # when this trainer began to look
    silence: str = ""  # what is known of an engine that does not answer


@dataclass(frozen=True, slots=True)
class Decision:
    """To be kept first (`after`), then done."""

    act: Act
    before: Job
    after: Job
    sentence: str

    def __str__(self) -> str:
        return f"{self.act.value} {self.before.id}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Wait:
    why: Why
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    decisions: tuple[Decision, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)  # job -> why it does not start now


def order(job: Job) -> tuple[float, str]:
    """Its place in the queue: smaller is earlier."""
    return (job.created - job.spec.priority * POINT, job.id)


def decide(jobs: Iterable[Job], seen: Seen, quotas: Quotas) -> Plan:
    """What to do about all jobs that have not ended."""
    unfinished = sorted((job for job in jobs if not job.final), key=order)
    about = [found for job in unfinished if (found := _limits(job, seen) or _fate(job, seen)) is not None]
    settled = {decision.before.id for decision in about}
    given_up = {decision.before.id for decision in about if not decision.after.active}
    holding = [job for job in unfinished if job.active and job.id not in given_up]
    queue = [job for job in unfinished if job.waiting and job.id not in settled]
    started, waits = _Round(seen, quotas, holding).run(queue)
    return Plan((*about, *started), waits)


# --- jobs that run


def _limits(job: Job, seen: Seen) -> Decision | None:
    limit = job.spec.resources.time_limit
    if job.stop or job.committed or job.spent_at(seen.now) < limit:
        return None
    words = f"it has held its machines for longer than its limit of {limit:g} s"
    act = Act.STOP if job.active else Act.END
    return Decision(act, job, transitions.stop(job, seen.now, Cause.TIME_LIMIT, words), words)


def _fate(job: Job, seen: Seen) -> Decision | None:
    attempt = job.attempt
    if attempt is None:
        return None
    if seen.alive is None:  # a wish to stop needs no answer: the driver that is ended for it is a process of ours
        return Decision(Act.STOP, job, job, job.stop.message) if job.stop else None
    if _there(job, attempt, seen):
        return Decision(Act.STOP, job, job, job.stop.message) if job.stop else None
    cause, words = _loss(attempt, seen)
    after = transitions.lost(job, attempt.number, seen.now, cause, words)
    return Decision(Act.END if after.final else Act.REQUEUE, job, after, after.message)


def _there(job: Job, attempt: Attempt, seen: Seen) -> bool:
    alive = seen.alive is not None and (job.id, attempt.number) in seen.alive
    return alive or seen.now < max(attempt.started, seen.since) + GRACE


def _loss(attempt: Attempt, seen: Seen) -> tuple[Cause, str]:
    gone = sorted(set(attempt.workers) - set(seen.nodes))
    if gone:
        return Cause.NODE_LOST, f"the node {gone[0]} is gone, and attempt {attempt.number} with it"
    if attempt.started < seen.since:
        return Cause.TRAINER_LOST, f"attempt {attempt.number} did not survive the trainer that had started it"
    return Cause.WORKER_LOST, f"the processes of attempt {attempt.number} are gone"


# --- jobs that wait


class _Round:
    """One pass over the queue, in order. What is set aside for one job is taken from those behind it."""

    def __init__(self, seen: Seen, quotas: Quotas, holding: Sequence[Job]) -> None:
        self._seen = seen
        self._floor = Floor(seen.nodes)
        self._ledger = Ledger(quotas)
        self._saving_for = ""
        for job in holding:
            assert job.attempt is not None
            self._floor.occupy(job.attempt.workers, of_worker(job.spec.resources))
            self._ledger.charge(job)

    def run(self, queue: Sequence[Job]) -> tuple[list[Decision], dict[str, Wait]]:
        started, waits = [], {}
        for job in queue:
            found = self._next(job)
            if isinstance(found, Decision):
                started.append(found)
            else:
                waits[job.id] = found
        return started, waits

    def _next(self, job: Job) -> Decision | Wait:
        if self._seen.alive is None:
            return Wait(Why.ENGINE_SILENT, self._seen.silence or "the engine that runs jobs does not answer")
        worker, count = of_worker(job.spec.resources), job.spec.resources.workers
        if impossible := self._never(job, worker, count):
            return impossible
        if job.ready > self._seen.now:
            return Wait(Why.PAUSED, f"goes on in {job.ready - self._seen.now:.0f} s, after a loss: {job.message}")
        if scope := self._ledger.exhausted(job):
            return self._blocked(job, Wait(Why.QUOTA, f"waits for others to end: {scope} are used up"))
        workers = self._floor.place(worker, count)
        if workers is None:
            return self._blocked(job, Wait(Why.CAPACITY, self._no_room(worker, count)))
        self._floor.occupy(workers, worker)
        self._ledger.charge(job)
        return self._start(job, workers)

    def _never(self, job: Job, worker: Amount, count: int) -> Wait | None:
        """Such a job waits without being in anybody's way: quotas and machines may still grow."""
        if scope := self._ledger.impossible(job):
            return Wait(Why.OVER_QUOTA, f"asks for more than {scope} may be at all")
        if self._floor.place_when_empty(worker, count) is None:
            words = f"asks for {_workers(count, worker)}, for which all machines together have no room"
            return Wait(Why.TOO_LARGE, words)
        return None

    def _blocked(self, job: Job, wait: Wait) -> Wait:
        if self._seen.now - job.since < PATIENCE:
            return wait
        self._ledger.save(job)
        if wait.why is Why.CAPACITY and not self._saving_for:
            self._saving_for = job.id
            worker = of_worker(job.spec.resources)
            workers = self._floor.place_when_empty(worker, job.spec.resources.workers)
            assert workers is not None  # asked before
            self._floor.occupy(workers, worker)
            return Wait(wait.why, f"{wait.sentence}; kept free for it: {', '.join(workers)}")
        return wait

    def _no_room(self, worker: Amount, count: int) -> str:
        words = f"waits for {_workers(count, worker)}: there is room for {self._floor.room(worker)} now"
        return f"{words}, as machines are kept free for {self._saving_for}" if self._saving_for else words

    def _start(self, job: Job, workers: Mapping[str, int]) -> Decision:
        after = transitions.begin(job, self._seen.now, workers)
        if job.phase is Phase.RESUMING or job.begun:
            at = f"from step {job.checkpoints[-1].step}" if job.checkpoints else "from the beginning"
            where = at if job.stage is Phase.RUNNING else f"at {job.stage.value}"
            return Decision(Act.RESUME, job, after, f"goes on {where} on {', '.join(workers)}")
        waited = self._seen.now - job.since
        return Decision(Act.START, job, after, f"its turn after {waited:.0f} s; there is room on {', '.join(workers)}")


def _workers(count: int, worker: Amount) -> str:
    gpus = f", {worker.gpus} GPUs" if worker.gpus else ""
    what = f"{worker.millicpus / 1000:g} CPUs, {worker.memory_bytes / 2**30:.3g} GiB{gpus}"
    return f"1 worker of {what}" if count == 1 else f"{count} workers of {what} each"
