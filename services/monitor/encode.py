"""Comparisons and their evidence as the contract's messages."""

from __future__ import annotations

from dataclasses import asdict

from bmase.monitor.v1 import evidence_pb2
from bmase.monitor.v1 import monitor_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.monitor.comparison import Comparison
from services.monitor.judge.evidence import Arm, Evidence, Policy, Suspicion, Verdict
from services.monitor.judge.kinds import Kind

_VERDICTS = {
    Verdict.HOLD: evidence_pb2.Evidence.VERDICT_HOLD,
    Verdict.PROMOTE: evidence_pb2.Evidence.VERDICT_PROMOTE,
    Verdict.ROLLBACK: evidence_pb2.Evidence.VERDICT_ROLLBACK,
}
_KINDS = {
    Kind.ERRORS: evidence_pb2.Suspicion.KIND_ERRORS,
    Kind.SLOW: evidence_pb2.Suspicion.KIND_SLOW,
    Kind.OUTCOMES: evidence_pb2.Suspicion.KIND_OUTCOMES,
    Kind.DISAGREEMENT: evidence_pb2.Suspicion.KIND_DISAGREEMENT,
}


def comparison_message(comparison: Comparison) -> pb.Comparison:
    """With the latest evidence."""
    wanted = comparison.definition
    return pb.Comparison(
        name=f"comparisons/{wanted.name}",
        model=str(wanted.model),
        stable=wanted.stable,
        candidate=wanted.candidate,
        policy=_policy(comparison.judge.policy),
        state=pb.Comparison.STATE_RUNNING if comparison.ended is None else pb.Comparison.STATE_ENDED,
        evidence=evidence_message(comparison.evidence),
        start_time=_timestamp(comparison.started),
        end_time=None if comparison.ended is None else _timestamp(comparison.ended),
    )


def evidence_message(evidence: Evidence) -> evidence_pb2.Evidence:
    """Field by field; the judge's names are the contract's."""
    return evidence_pb2.Evidence(
        time=_timestamp(evidence.time) if evidence.time else None,
        verdict=_VERDICTS[evidence.verdict],
        reason=evidence.reason.value,
        message=evidence.message,
        stable=arm_message(evidence.stable),
        candidate=arm_message(evidence.candidate),
        suspicions=[_suspicion(suspicion) for suspicion in evidence.suspicions],
        upper_difference=evidence.upper_difference,
        declared_share=evidence.declared_share,
        realised_share=evidence.realised_share,
        split_evidence=evidence.split_evidence,
        slow_ms=evidence.slow_ms,
        infra_events=evidence.infra_events,
        lost_events=evidence.lost_events,
        infra_until=_timestamp(evidence.infra_until) if evidence.infra_until else None,
        more_requests=evidence.more_requests,
    )


def arm_message(arm: Arm) -> evidence_pb2.Arm:
    """One version's numbers."""
    return evidence_pb2.Arm(**asdict(arm))


def _suspicion(suspicion: Suspicion) -> evidence_pb2.Suspicion:
    return evidence_pb2.Suspicion(**{**asdict(suspicion), "kind": _KINDS[suspicion.kind]})


def _policy(policy: Policy) -> evidence_pb2.JudgePolicy:
    burst = Duration()
    burst.FromNanoseconds(round(policy.burst_seconds * 1e9))
    return evidence_pb2.JudgePolicy(
        alpha=policy.alpha,
        promote_alpha=policy.promote_alpha,
        margin=policy.margin,
        slow_ms=policy.slow_ms,
        burst=burst,
        max_disagreement=policy.max_disagreement,
        ignore_slow=policy.ignore_slow,
        ignore_outcomes=policy.ignore_outcomes,
    )


def _timestamp(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(round(seconds * 1e9))
    return made
