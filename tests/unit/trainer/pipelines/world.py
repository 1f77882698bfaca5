"""Jobs and releases as services that know a request again, for pipelines that die at any moment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

from services.trainer.jobs.state import Job, Outcome
from services.trainer.jobs.state import Phase as JobPhase
from services.trainer.pipelines import transitions as tr
from services.trainer.pipelines.decide import Act, Effect, effects, settle
from services.trainer.pipelines.observation import DeploymentSeen, ReleasePhase, ReleaseSeen, Seen
from services.trainer.pipelines.plan import Plan
from services.trainer.pipelines.state import Phase, Pipeline
from tests.unit.trainer.jobs import jobs

J, R = JobPhase, ReleasePhase
TRAINS = (J.QUEUED, J.PREPARING, J.RUNNING, J.RESUMING, J.EVALUATING, J.REGISTERING)
RELEASES = (R.DEPLOYING, R.SHADOW, R.STEPPING)
PLAN = Plan.model_validate({"job": {"model": "models/digits", "recipe": "tabular"}})


@cache
def job_at(phase: JobPhase, gate: Outcome = Outcome.PASSED) -> Job:
    """The pipeline's job."""
    return replace(jobs.at(phase, gate=gate), id="j1")


def pipeline(**plan: object) -> Pipeline:
    wish = PLAN.model_copy(update=plan)
    return tr.start("p1", wish, "ann", 1.0, origin="ann asked for it")


class Died(Exception):
    """The process of the pipeline is gone."""


@dataclass
class World:
    """One step of each service at each look; `deaths` are the boundaries, counted up, at which the leader dies."""

    kept: Pipeline
    ends: JobPhase = J.SUCCEEDED
    gate: Outcome = Outcome.PASSED
    releases_end: ReleasePhase = R.PROMOTED
    deaths: frozenset[int] = frozenset()
    finds: bool = True  # whether what nobody remembers is found by its label or its version
    routed: bool = True  # whether the model has a version that has its traffic
    loads: bool = True
    held: bool = False  # whether the release stays where it is until it is aborted
    now: float = 1.0
    jobs: dict[str, int] = field(default_factory=dict)  # request id -> how far it is
    releases: dict[str, int] = field(default_factory=dict)
    deployments: dict[str, int] = field(default_factory=dict)
    traffic: frozenset[int] | None = None
    stopped: set[str] = field(default_factory=set)
    boundaries: int = 0
    story: list[Phase] = field(default_factory=list)

    def look(self) -> Seen:
        traffic = frozenset({1}) if self.routed else self.traffic
        return Seen(self.now, self._job(), self._release(), traffic, self._deployment())

    def round(self) -> None:
        """See, decide, keep, act, keep what was answered; it may die between any two of them."""
        seen = self.look()
        after, moves = settle(self.kept, seen)
        self._boundary()
        self._keep(after, [move.after.phase for move in moves])
        self._boundary()
        for effect in effects(self.kept, seen):
            answer = self._do(effect)
            self._boundary()
            if effect.act is Act.CREATE_JOB:
                self._keep(tr.has_job(self.kept, answer), [])
            elif effect.act is Act.CREATE_RELEASE:
                self._keep(tr.has_release(self.kept, answer), [])
            elif effect.act is Act.DEPLOY:
                self._keep(tr.has_deployment(self.kept), [])
            self._boundary()

    def run(self, rounds: int = 60) -> Pipeline:
        for _ in range(rounds):
            if self.kept.final:
                break
            with suppress(Died):  # the next leader goes on with what is kept
                self.round()
            self._pass()
        return self.kept

    def _boundary(self) -> None:
        self.boundaries += 1
        if self.boundaries in self.deaths:
            raise Died

    def _keep(self, after: Pipeline, phases: list[Phase]) -> None:
        self.story += [now for before, now in zip([self.kept.phase, *phases], phases, strict=False) if now != before]
        self.kept = after

    def _do(self, effect: Effect) -> str:
        if effect.act is Act.CREATE_JOB:
            self.jobs.setdefault(effect.request_id, 0)
            return "j1"
        if effect.act is Act.CREATE_RELEASE:
            self.releases.setdefault(effect.request_id, 0)
            return "r1"
        if effect.act is Act.DEPLOY:
            self.deployments.setdefault(effect.request_id, 0)
            return ""
        if effect.act is Act.UNDEPLOY:
            self.deployments.clear()
            return ""
        self.stopped.add(effect.target)
        return effect.target

    def _pass(self) -> None:
        self.now += 7.0
        for request in self.jobs:
            self.jobs[request] += 1
        for request in self.releases:
            self.releases[request] += 1
        for request in self.deployments:
            self.deployments[request] += not self.held
            if self.loads and self.deployments[request] > 2:
                self.traffic = frozenset({self.kept.version})

    def _job(self) -> Job | None:
        if not self.jobs or not (self.finds or self.kept.job):
            return None
        (far,) = self.jobs.values()
        phase = TRAINS[far] if far < len(TRAINS) else self.ends
        if "j1" in self.stopped:
            phase = J.CANCELLED
        return job_at(phase, self.gate)

    def _release(self) -> ReleaseSeen | None:
        if not self.releases or not (self.finds or self.kept.release):
            return None
        (far,) = self.releases.values()
        far = min(far, 2) if self.held else far
        phase = RELEASES[far] if far < len(RELEASES) else self.releases_end
        if "r1" in self.stopped:
            phase = R.ROLLED_BACK
        return ReleaseSeen("r1", phase, 25.0 * far, "SLOWER" if phase is R.ROLLED_BACK else "", "as it says")

    def _deployment(self) -> DeploymentSeen | None:
        if not self.deployments:
            return None
        (far,) = self.deployments.values()
        if far > 1 and not self.loads:
            return DeploymentSeen("failed", failed=True, reason="LOAD_FAILED", message="out of memory")
        return DeploymentSeen("deploying" if far < 2 else "ready")
