"""The judge of one comparison: told what happens, it says hold, promote or roll back, and why.

Pure: no clock and no I/O. All times are seconds by the clock of whoever tells it. Its whole state goes to JSON and back
without a change of any number, so that a monitor that restarts goes on where it was.

    judge = Judge.begin(policy, stable=2, candidate=3, before=histogram_of_the_stable_version)
    judge.counts(time, stable=Counts(...), candidate=Counts(...), share=0.1, sticky=False)    # each second
    judge.bad(Kind.ERRORS, Side.CANDIDATE, client, time, share=0.1, sticky=False)             # each bad request
    judge.outcome(Side.STABLE, client, request_time, wrong=True, share=0.1, sticky=False)     # each label, late or not
    judge.evidence(now)

`share` is the candidate's declared part of the two versions' requests when the request was assigned, None while
weights change and nobody can say: such counts go to the totals only, such events nowhere. That holds for counts of
gateways that are not at the latest weights, too. A crossed limit is kept (`rolled_back`) from the call that crossed
it on, whatever comes later.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, Self

from services.monitor.judge import sentences, slow
from services.monitor.judge.answer import LOST_SECONDS, answer
from services.monitor.judge.clients import Clients
from services.monitor.judge.disagreement import Disagreement
from services.monitor.judge.evidence import BAD, Arm, Counts, Evidence, Policy, Why
from services.monitor.judge.interruptions import BEFORE_SECONDS, SETTLE_SECONDS, Infra, Interruptions
from services.monitor.judge.kinds import Kind, Side, limits
from services.monitor.judge.labels import Labels
from services.monitor.judge.split import Split
from services.monitor.judge.suspect import Suspect
from services.monitor.judge.traffic import Traffic

FORMAT = 2
BY_MACHINES = (Kind.ERRORS, Kind.SLOW)  # a lost node makes failed and slow answers, not wrong ones


class Judge:
    """One candidate against one stable version."""

    def __init__(self, policy: Policy, slow_ms: float, traffic: Traffic) -> None:
        self.policy = policy
        self.slow_ms = slow_ms  # 0: slowness is not judged
        self.traffic = traffic
        self.suspects: dict[Kind, Suspect] = {}
        self.disagreement: Disagreement | None = None
        self.split: Split | None = None
        self.sticky = False
        self.labels = Labels(Clients(policy.burst_seconds))
        self.interruptions = Interruptions()
        self.rollback: tuple[Why, str] | None = None

    @classmethod
    def begin(cls, policy: Policy, stable: int, candidate: int, before: slow.Histogram | None = None) -> Self:
        """Fixes everything that has to be fixed before the first request. `before`: durations of the stable version."""
        slow_ms = 0.0 if policy.ignore_slow else policy.slow_ms or (before and slow.threshold(before)) or 0.0
        judge = cls(policy, slow_ms, Traffic({Side.STABLE: Arm(stable), Side.CANDIDATE: Arm(candidate)}))
        judged = limits(policy.alpha, _judged(policy, slow_ms))
        if Kind.DISAGREEMENT in judged:
            judge.disagreement = Disagreement(policy.max_disagreement, judged.pop(Kind.DISAGREEMENT))
        for kind, limit in judged.items():
            judge.suspects[kind] = Suspect(kind, limit, Clients(policy.burst_seconds))
        return judge

    @property
    def rolled_back(self) -> bool:
        return self.rollback is not None

    def counts(
        self, time: float, stable: Counts, candidate: Counts, *, share: float | None, sticky: bool = False
    ) -> None:
        """Weighted requests since the last call."""
        self.traffic.add(time, stable, candidate)
        self.interruptions.asked(time, stable.requests, candidate.requests)
        if share is None:
            return
        self.sticky = sticky
        split = self._at(share, time)
        if not self.interruptions.on(time):
            self.traffic.compare(stable, candidate)
            if not sticky:
                split.add(stable.requests, candidate.requests)
        if split.too_much:
            for suspect in self.suspects.values():
                suspect.take_back_step()
        self._check()

    def _at(self, share: float, time: float) -> Split:
        if self.split is None or self.split.share != share:
            self.split = Split(share)
            self.traffic.begin_window(time)
            for suspect in self.suspects.values():
                suspect.new_share(time)
        return self.split

    def latency(self, side: Side, p50_ms: float, p99_ms: float) -> None:
        """For people; nothing is judged by it."""
        self.traffic.arms[side] = replace(self.traffic.arms[side], p50_ms=p50_ms, p99_ms=p99_ms)

    def bad(
        self, kind: Kind, side: Side, client: str, time: float, *, share: float | None, sticky: bool = False
    ) -> None:
        """One bad request, as the gateways report them; kinds that are not judged are ignored."""
        suspect = self.suspects.get(kind)
        if suspect is None:
            return
        suspect.raw[side] += 1
        disturbed = kind in BY_MACHINES and self.interruptions.on(time)
        if share is None or disturbed or (self.split is not None and self.split.too_much):
            return
        suspect.observe(side, client, time, share=share, sticky=sticky, keep=BEFORE_SECONDS)
        self._check()

    def outcome(
        self, side: Side, client: str, time: float, wrong: bool, *, share: float | None, sticky: bool = False
    ) -> None:
        """What turned out to be right; time and share are the request's, not the label's."""
        self.traffic.arms[side] = self.traffic.arms[side].labelled(wrong)
        if share is not None:
            self.labels.add(client, time, side is Side.CANDIDATE, share, sticky)
        if self.labels.one_sided and Kind.OUTCOMES in self.suspects:
            self.suspects[Kind.OUTCOMES].start_over()
        elif wrong:
            self.bad(Kind.OUTCOMES, side, client, time, share=share, sticky=sticky)

    def replayed(self, compared: int, disagreed: int) -> None:
        """Totals of a whole replay. Only the first counts: replays are repeated until one pleases, or does not."""
        if self.disagreement is not None and not self.disagreement.compared:
            self.disagreement.compared, self.disagreement.disagreed = compared, disagreed
            self._check()

    def infra(self, time: float, what: Infra, side: Side | None = None, settle: float = SETTLE_SECONDS) -> None:
        """Something happened to machines, told once; `side` is whose node it was, None for what concerns both."""
        self.interruptions.happen(time, what, side, settle)
        self.traffic.begin_window(time)
        for kind in BY_MACHINES:
            if kind in self.suspects:
                self.suspects[kind].take_back(time - BEFORE_SECONDS)
        self._check()

    def unanswered(self, time: float, side: Side) -> None:
        """A request reached no server of that version: no evidence unless it goes on. It is an error in `counts`."""
        self.interruptions.unanswered(time, side)
        self._check()

    def silent(self, time: float) -> None:
        """A gateway does not tell its counters: what it sees may be anything."""
        self.interruptions.silent = max(self.interruptions.silent, time)

    def lost(self, time: float, events: int) -> None:
        """Bad requests that were counted by gateways, but of which nothing was received."""
        if events > 0:
            self.traffic.lose(time, events, LOST_SECONDS)

    def evidence(self, now: float) -> Evidence:
        """The verdict at this moment, with everything that it stands on."""
        return answer(self, now)

    def _check(self) -> None:
        """Keeps the first limit that was crossed."""
        if self.rollback is None:
            self.rollback = self._crossed()

    def _crossed(self) -> tuple[Why, str] | None:
        blame = self.interruptions.blames_candidate(self.policy.margin)
        if blame:
            return Why.INFRA_CANDIDATE, sentences.infra_candidate(self.traffic.arms[Side.CANDIDATE], blame)
        if self.disagreement is not None and self.disagreement.over:
            return Why.DISAGREES, sentences.disagrees(self.disagreement)
        if self.split is not None and self.split.too_much:
            return None
        for kind, suspect in self.suspects.items():
            if suspect.over:
                return BAD[kind], sentences.bad(suspect.suspicion, self.traffic.arms)
        return None

    def to_json(self) -> str:
        """Everything; `from_json` makes the same judge of it."""
        return json.dumps(
            {
                "format": FORMAT,
                "policy": asdict(self.policy),
                "slow_ms": self.slow_ms,
                "traffic": self.traffic.dump(),
                "suspects": [suspect.dump() for suspect in self.suspects.values()],
                "disagreement": self.disagreement.dump() if self.disagreement else None,
                "split": self.split.dump() if self.split else None,
                "sticky": self.sticky,
                "labels": self.labels.dump(),
                "interruptions": self.interruptions.dump(),
                "rollback": self.rollback,
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """ValueError for what another release of the monitor wrote."""
        stored: dict[str, Any] = json.loads(text)
        if stored.get("format") != FORMAT:
            raise ValueError(f"a judge of format {stored.get('format')}, not {FORMAT}")
        judge = cls(Policy(**stored["policy"]), stored["slow_ms"], Traffic.load(stored["traffic"]))
        suspects = [Suspect.load(each) for each in stored["suspects"]]
        judge.suspects = {suspect.kind: suspect for suspect in suspects}
        judge.disagreement = Disagreement(**stored["disagreement"]) if stored["disagreement"] else None
        judge.split = Split(**stored["split"]) if stored["split"] else None
        judge.sticky = stored["sticky"]
        judge.labels = Labels.load(stored["labels"])
        judge.interruptions = Interruptions.load(stored["interruptions"])
        judge.rollback = (Why(stored["rollback"][0]), stored["rollback"][1]) if stored["rollback"] else None
        return judge


def _judged(policy: Policy, slow_ms: float) -> list[Kind]:
    wanted = {
        Kind.ERRORS: True,
        Kind.SLOW: slow_ms > 0,
        Kind.OUTCOMES: not policy.ignore_outcomes,
        Kind.DISAGREEMENT: 0 < policy.max_disagreement < 1,
    }
    return [kind for kind, judged in wanted.items() if judged]
