"""What callers are told of releases, as messages of the contract. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bmase.patcher.v1 import release_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.patcher.releases.monitor import evidence_message, judge_message
from services.patcher.releases.policy import Policy, Step, Webhook
from services.patcher.releases.state import Event, Hold, Phase, Release

_STATES: Mapping[Phase, pb.Release.State] = {
    Phase.DEPLOYING: pb.Release.STATE_DEPLOYING,
    Phase.SHADOW: pb.Release.STATE_SHADOW,
    Phase.STEPPING: pb.Release.STATE_STEPPING,
    Phase.PROMOTED: pb.Release.STATE_PROMOTED,
    Phase.COMPLETED: pb.Release.STATE_COMPLETED,
    Phase.ROLLING_BACK: pb.Release.STATE_ROLLING_BACK,
    Phase.ROLLED_BACK: pb.Release.STATE_ROLLED_BACK,
    Phase.FAILED: pb.Release.STATE_FAILED,
}


def release_message(release: Release, evidence: bytes = b"", stands: Hold | None = None) -> pb.Release:
    """The release; evidence and words of this moment go before those of the last decision."""
    message = pb.Release(
        name=release.name,
        model=f"models/{release.model}",
        candidate=release.candidate,
        stable=release.stable,
        policy=policy_message(release.policy),
        state=_STATES[release.phase],
        step=release.step,
        percent=release.percent,
        reason=str(stands.reason if stands else release.reason),
        message=stands.message if stands else release.message,
        paused=release.paused,
        waits_at_gate=release.waits_at_gate,
        created_by=release.created_by,
        etag=str(release.revision),
    )
    if said := evidence_message(evidence or release.evidence):
        message.evidence.CopyFrom(said)
    _set(message.create_time, release.created)
    for name, at in _TIMES.items():
        if seconds := getattr(release, at):
            _set(getattr(message, name), seconds)
    return message


_TIMES = {"step_time": "step_since", "end_time": "ended", "keep_until": "keep_until"}


def _set(stamp: Timestamp, seconds: float) -> None:
    stamp.FromMilliseconds(round(seconds * 1000))


def event_message(event: Event) -> pb.ReleaseEvent:
    """One line of the audit trail."""
    message = pb.ReleaseEvent(
        number=event.number,
        kind=event.kind.value,
        message=event.message,
        reason=event.reason,
        actor=event.actor,
        percent=event.percent,
    )
    _set(message.time, event.time)
    if said := evidence_message(event.evidence):
        message.evidence.CopyFrom(said)
    return message


def policy_message(policy: Policy) -> pb.ReleasePolicy:
    """With every default written out."""
    return pb.ReleasePolicy(
        steps=[_step(step) for step in policy.steps],
        judge=judge_message(policy.judge),
        shadow_samples=policy.shadow_samples,
        keep=_duration(policy.keep),
        keep_old=policy.keep_old,
        keep_candidate=policy.keep_candidate,
        webhooks=[_webhook(hook) for hook in policy.webhooks],
        on_timeout=policy.on_timeout,  # type: ignore[arg-type]
        replicas=policy.replicas,
    )


def _step(step: Step) -> pb.Step:
    return pb.Step(
        percent=step.percent,
        min_requests=step.min_requests,
        min_time=_duration(step.min_time),
        max_time=_duration(step.max_time) if step.max_time else None,
        gate=step.gate,
    )


def _webhook(hook: Webhook) -> pb.Webhook:
    """Whoever may read a release need not know the secrets in its webhooks' addresses."""
    return pb.Webhook(url=hook.shown, gate=hook.gate, timeout=_duration(hook.timeout))


def _duration(seconds: float) -> Duration:
    found = Duration()
    found.FromNanoseconds(round(seconds * 1e9))
    return found
