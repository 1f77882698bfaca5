"""How much of the machines an owner, or all jobs with a label, may hold at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.trainer.jobs.capacity import Amount, of_job
from services.trainer.jobs.state import Job

_WORDS = ("CPUs", "memory", "GPUs", "jobs")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so much at once; None: as much as there is. CPUs in thousandths."""

    millicpus: int | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    jobs: int | None = None

    def exceeded(self, amount: Amount) -> str:
        """Which part of the limit the amount exceeds, in a word; empty: none."""
        limits = (self.millicpus, self.memory_bytes, self.gpus, self.jobs)
        over = (w for w, most, a in zip(_WORDS, limits, amount.parts, strict=True) if most is not None and a > most)
        return next(over, "")


@dataclass(frozen=True, slots=True)
class Quotas:
    """`each_owner` holds for owners that are not among `owners`; labels are named "key=value"."""

    each_owner: Limit = Limit()
    owners: Mapping[str, Limit] = field(default_factory=dict)
    labels: Mapping[str, Limit] = field(default_factory=dict)

    def scopes(self, job: Job) -> dict[str, Limit]:
        """The quotas that the job counts for, each under the words that name it."""
        found = {f"owner {job.owner or 'nobody'}": self.owners.get(job.owner, self.each_owner)}
        for key, value in sorted(job.spec.labels.items()):
            if (label := f"{key}={value}") in self.labels:
                found[f"label {label}"] = self.labels[label]
        return found


@dataclass
class Ledger:
    """What is used of the quotas during one round. `saved` is set aside for the first job that waits for the quota."""

    quotas: Quotas
    used: dict[str, Amount] = field(default_factory=dict)
    saved: dict[str, Amount] = field(default_factory=dict)

    def charge(self, job: Job) -> None:
        """The job holds what it asks for."""
        for scope in self.quotas.scopes(job):
            self.used[scope] = self.used.get(scope, Amount()) + of_job(job)

    def save(self, job: Job) -> None:
        """Those behind the job leave it what it needs of quotas that nobody before it waits for."""
        for scope in self.quotas.scopes(job):
            self.saved.setdefault(scope, of_job(job))

    def impossible(self, job: Job) -> str:
        """The quota that the job exceeds alone, in words; empty: none."""
        return self._over(job, {}, {})

    def exhausted(self, job: Job) -> str:
        """The quota that has no room for the job now, in words; empty: none."""
        return self._over(job, self.used, self.saved)

    def _over(self, job: Job, used: Mapping[str, Amount], saved: Mapping[str, Amount]) -> str:
        needs = of_job(job)
        for scope, limit in self.quotas.scopes(job).items():
            there = used.get(scope, Amount()) + saved.get(scope, Amount())
            # What the job does not need cannot keep it out.
            counted = Amount(*(t + n if n else 0 for t, n in zip(there.parts, needs.parts, strict=True)))
            if over := limit.exceeded(counted):
                return f"the {over} of {scope}"
        return ""
