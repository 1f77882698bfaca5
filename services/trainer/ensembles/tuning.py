"""The decision on an ensemble: weights from the tuning rows, the verdict from untouched test rows. Pure.

    report = tune(Rows(predictions, labels), Rows(test_predictions, test_labels), Kind.PROBABILITIES)
    report.weights, report.verdict, report.sentence, report.accepted

Test rows take no part in any choice, so what they say is not bent by it. "Better" means better than every member by
itself, each with a paired interval of its own: whichever member is truly the best, it is among them, so the chance to
say so wrongly is no more than that of one such interval (an intersection-union test).
Source: Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24 (1982), 295-300.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np

from services.kit.errors import InvalidArgument, Violation
from services.trainer.ensembles import sentences
from services.trainer.ensembles.choice import ROUNDING, Candidate, choose
from services.trainer.ensembles.loss import loss_of
from services.trainer.ensembles.paired import Interval, interval
from services.trainer.ensembles.rows import Checked, Kind, Rows, check, same_members
from services.trainer.ensembles.solve import best_single, equal, single


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of an ensemble; rows are counted as groups where rows have groups."""

    confidence: float = 0.95
    min_gain: float = 0.0  # in units of the loss; all members have to be run for it
    min_rows: int = 200  # of the tuning rows, and of the test rows
    min_rows_a_member: int = 10  # of the tuning rows
    folds: int = 5
    seed: int = 0
    negligible: float = 0.05  # of an equal share: a smaller weight is 0


class Verdict(StrEnum):
    """What the test rows say."""

    BETTER = "better"  # than every member
    NOT_BETTER = "not_better"
    WORSE = "worse"  # than the member that was best on the tuning rows
    TOO_FEW_ROWS = "too_few_rows"


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One member on the test rows; `gain` is its loss less the ensemble's, row by row."""

    weight: float
    loss: Interval
    gain: Interval


@dataclass(frozen=True, slots=True)
class Tuned:
    """How the weights were found; `gain` and `naive_gain` as in `Choice`, `gap` as in `Solution`."""

    candidate: Candidate
    gain: Interval
    naive_gain: float
    gap: float


@dataclass(frozen=True, slots=True)
class Report:
    """An ensemble with everything that speaks for and against it; losses are those on the test rows.

    `best` is the member that was best on the tuning rows. `tuned` is None for weights that were given, and for equal
    weights because there was too little to tune on. `rows` are independent tuning rows and test rows.
    """

    kind: Kind
    verdict: Verdict
    sentence: str
    forced: bool
    best: str
    loss: Interval
    members: Mapping[str, MemberReport]
    tuned: Tuned | None
    rows: tuple[int, int]
    policy: Policy = field(default_factory=Policy)

    @property
    def weights(self) -> dict[str, float]:
        """Of all members, those without weight too; their sum is 1."""
        return {name: member.weight for name, member in self.members.items()}

    @property
    def accepted(self) -> bool:
        """Whether it may become a version."""
        return self.verdict is Verdict.BETTER or self.forced

    def document(self) -> dict[str, Any]:
        """Everything in types that JSON knows, to be kept with the version."""
        return asdict(self) | {"weights": self.weights, "accepted": self.accepted}


@dataclass(frozen=True, eq=False)
class _Case:
    """Checked rows, and what is asked of an ensemble on them."""

    seen: Checked
    untouched: Checked
    kind: Kind
    policy: Policy
    force: bool

    @classmethod
    def of(cls, tuning: Rows, test: Rows, kind: Kind, policy: Policy, *, force: bool) -> Self:
        seen, untouched = check(tuning, kind, "tuning"), check(test, kind, "test")
        same_members(seen, untouched)
        return cls(seen, untouched, kind, policy, force)

    @property
    def rows(self) -> tuple[int, int]:
        return self.seen.size, self.untouched.size

    @property
    def least(self) -> tuple[int, int]:
        members = len(self.seen.names)
        return max(self.policy.min_rows, self.policy.min_rows_a_member * members), self.policy.min_rows

    def interval(self, values: np.ndarray) -> Interval:
        """Of the mean of values of the untouched rows."""
        return interval(values, self.untouched.units, self.policy.confidence)


def tune(tuning: Rows, test: Rows, kind: Kind, policy: Policy = Policy(), *, force: bool = False) -> Report:
    """Weights from `tuning`, judged on `test`, which must be other rows; equal arguments give equal reports.

    `force` changes neither weights nor verdict: it is recorded, and the ensemble is accepted whatever the verdict.
    Raises InvalidArgument for predictions or labels that cannot be judged.
    """
    case = _Case.of(tuning, test, kind, policy, force=force)
    loss = loss_of(case.seen, kind)
    if case.rows[0] < case.least[0]:
        return _report(case, equal(loss.members), best_single(loss), None)
    choice = choose(
        loss,
        case.seen.units,
        folds=policy.folds,
        seed=policy.seed,
        confidence=policy.confidence,
        negligible=policy.negligible,
    )
    tuned = Tuned(choice.candidate, choice.gain, choice.naive_gain, choice.gap)
    return _report(case, choice.weights, choice.best, tuned)


def judge(
    weights: Mapping[str, float],
    tuning: Rows,
    test: Rows,
    kind: Kind,
    *,
    policy: Policy = Policy(),
    force: bool = False,
) -> Report:
    """The same report for weights that somebody gave; they are scaled to sum 1. Raises InvalidArgument.

    The tuning rows only say which member was best on them.
    """
    case = _Case.of(tuning, test, kind, policy, force=force)
    return _report(case, _given(weights, case.seen.names), best_single(loss_of(case.seen, kind)), None)


def _given(weights: Mapping[str, float], names: tuple[str, ...]) -> np.ndarray:
    if set(weights) != set(names):
        raise InvalidArgument([Violation("weights", f"give one for each of {', '.join(names)}, and for no other")])
    given = np.array([weights[name] for name in names], dtype=np.float64)
    if not np.isfinite(given).all() or given.min() < 0 or given.sum() <= 0:
        raise InvalidArgument([Violation("weights", "they must be finite and not negative, and one of them above 0")])
    return np.asarray(given / given.sum())


def _report(case: _Case, weights: np.ndarray, best: int, tuned: Tuned | None) -> Report:
    loss = loss_of(case.untouched, case.kind)
    mine = loss.rows(weights)
    members = {}
    for place, name in enumerate(case.seen.names):
        own = loss.rows(single(len(weights), place))
        members[name] = MemberReport(float(weights[place]), case.interval(own), case.interval(own - mine))
    total, whose = case.interval(mine), case.seen.names[best]
    verdict = _verdict(case, members, whose)
    told = sentences.Told(
        case.kind,
        total,
        {name: (member.weight, member.loss, member.gain) for name, member in members.items()},
        best=whose,
        rows=case.rows,
        least=case.least,
        confidence=case.policy.confidence,
    )
    return Report(
        case.kind,
        verdict,
        sentences.say(verdict.value, told),
        forced=case.force,
        best=whose,
        loss=total,
        members=members,
        tuned=tuned,
        rows=case.rows,
        policy=case.policy,
    )


def _verdict(case: _Case, members: Mapping[str, MemberReport], best: str) -> Verdict:
    if any(rows < least for rows, least in zip(case.rows, case.least, strict=True)):
        return Verdict.TOO_FEW_ROWS
    asked = case.policy.min_gain
    if all(member.gain.lower > asked + ROUNDING * abs(member.loss.mean) for member in members.values()):
        return Verdict.BETTER
    if members[best].gain.upper < -ROUNDING * abs(members[best].loss.mean):
        return Verdict.WORSE
    return Verdict.NOT_BETTER
