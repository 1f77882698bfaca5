"""Rules that give the candidate more traffic: each one that is not content says what it waits for. Pure."""

from __future__ import annotations

from dataclasses import replace

from bmase.reasons import Reason

from services.patcher.releases.observation import Answer, Seen, Verdict
from services.patcher.releases.policy import Step
from services.patcher.releases.retreat import turn_back, unsettled
from services.patcher.releases.state import (
    CONTROLLER,
    Abort,
    Chore,
    Event,
    Hold,
    Kind,
    Move,
    Phase,
    Release,
    Why,
    moved,
)

FRESH = 5.0  # seconds; what the monitor said longer ago is no evidence


def paused(release: Release, seen: Seen) -> Hold | None:
    return Hold(Why.PAUSED, "paused by a person; resume it to go on") if release.paused else None


def applied(release: Release, seen: Seen) -> Move | Hold | None:
    """A step counts from the moment at which every gateway has its weights."""
    if release.step < 0:
        return None
    if waits := unapplied(release, seen):
        return waits
    if release.percent == 100:
        return _promoted(release, seen)
    if release.step_since:
        return None
    since = replace(release, step_since=seen.now, base=-1)
    return Move(since, what=f"applied: {release.percent:g} %")


def unapplied(release: Release, seen: Seen) -> Hold | None:
    """Whether the gateways do what the release means by now."""
    if trouble := seen.troubles.get("route"):
        return Hold(trouble.reason, trouble.message)
    route = seen.route
    if route is None:
        return Hold(Reason.ROUTE_NOT_FOUND, f"the route of {release.model} is not to be seen")
    wanted = {version: weight for version, weight in release.weights.items() if weight}
    if route.effective != wanted or route.release != release.id:
        return Hold(Why.NOT_APPLIED, "the gateways are being told")
    if route.behind:
        return Hold(Why.NOT_APPLIED, f"waiting for gateway {', '.join(route.behind[:3])}")
    return None


def _promoted(release: Release, seen: Seen) -> Move:
    words = f"version {release.candidate} has all of the traffic"
    reason = Why.REQUESTED if release.reason == Why.REQUESTED else Why.GOOD
    event = Event(Kind.PROMOTED, words, reason, evidence=seen.raw_evidence)
    return moved(
        release,
        event,
        seen.now,
        phase=Phase.PROMOTED,
        step_since=seen.now,
        keep_until=seen.now + release.policy.keep,
        alias=release.candidate,
        chores=release.chores | {Chore.END_COMPARISON},
    )


def counted(release: Release, seen: Seen) -> Move | None:
    """What the monitor had counted when the step began. A monitor that counts from nothing again starts at 0."""
    if release.step_since == 0 or seen.evidence is None or _old(release, seen):
        return None
    if release.base < 0:
        return Move(replace(release, base=seen.evidence.requests), what=f"counts from {seen.evidence.requests}")
    if seen.evidence.requests < release.base:
        return Move(replace(release, base=0), what="counts from 0: the monitor has begun anew")
    return None


def judged(release: Release, seen: Seen) -> Hold | None:
    """Nobody gets the candidate before somebody judges it."""
    if release.step >= 0:
        return None
    return unsettled(seen) or _heard(release, seen)


def enough(release: Release, seen: Seen) -> Move | Hold | None:
    """Everything that this step asks for; when its time is over, what the policy says."""
    if release.step < 0:
        return None
    step = release.policy.steps[release.step]
    missing = unsettled(seen) or _heard(release, seen) or _good(release, seen) or _minimums(release, step, seen)
    if missing is None or not step.max_time or seen.now - release.step_since <= step.max_time:
        return missing
    words = f"not enough evidence within {step.max_time:g} s: {missing.message}"
    if release.policy.rolls_back_late:
        return turn_back(release, seen, Abort(Why.TIMEOUT, words, asked=seen.now))
    return Hold(Why.TIMEOUT, words)


def _heard(release: Release, seen: Seen) -> Hold | None:
    """The monitor speaks, and of now."""
    trouble = seen.troubles.get("comparison")
    if seen.evidence is None:
        return Hold(Why.NO_EVIDENCE, trouble.message if trouble else "the monitor has said nothing yet")
    if not seen.evidence.time:
        return Hold(Why.NO_EVIDENCE, "the monitor has counted nothing yet")
    if not _old(release, seen):
        return None
    age = seen.now - seen.evidence.time
    words = f"the latest evidence is {age:.0f} s old" if age > 0 else "the latest evidence is from the future"
    if -FRESH <= age <= FRESH:
        words = "no evidence since the step began"
    return Hold(Why.STALE, f"{words}; {trouble.message}" if trouble else words)


def _old(release: Release, seen: Seen) -> bool:
    """Evidence is of now, and of a time at which the step's weights were in force. Clocks that differ count as old."""
    assert seen.evidence is not None
    return abs(seen.now - seen.evidence.time) > FRESH or seen.evidence.time < release.step_since


def _good(release: Release, seen: Seen) -> Hold | None:
    assert seen.evidence is not None
    if seen.evidence.verdict is Verdict.PROMOTE:
        return None
    return Hold(seen.evidence.reason or Why.NO_EVIDENCE, seen.evidence.message or "the monitor does not say why")


def _minimums(release: Release, step: Step, seen: Seen) -> Hold | None:
    assert seen.evidence is not None
    served = seen.evidence.requests - max(release.base, 0) if release.base >= 0 else 0
    if served < step.min_requests:
        return Hold(Why.TOO_FEW, f"{served} of at least {step.min_requests} requests in this step")
    passed = seen.now - release.step_since
    if passed < step.min_time:
        return Hold(Why.TOO_SOON, f"{passed:.0f} of at least {step.min_time:g} s in this step")
    return None


def way_back(release: Release, seen: Seen) -> Hold | None:
    if seen.stable.answers:
        return None
    return Hold(Why.STABLE_LOST, f"version {release.stable} answers nowhere: there would be no way back")


def gate(release: Release, seen: Seen) -> Move | Hold | None:
    upcoming = release.step + 1
    if not release.policy.steps[upcoming].gate or release.opened >= upcoming:
        return None
    words = f"a person has to resume it before {release.policy.steps[upcoming].percent:g} %"
    if release.waits_at_gate:
        return Hold(Why.GATE, words)
    return moved(release, Event(Kind.GATE, words, Why.GATE, evidence=seen.raw_evidence), seen.now, waits_at_gate=True)


def webhooks(release: Release, seen: Seen) -> Hold | None:
    """All of those that are gates are asked anew before each step."""
    upcoming = release.step + 1
    asked = [number for number, hook in enumerate(release.policy.webhooks) if hook.gate]
    given = {number: seen.answers.get((upcoming, number), (Answer.WAIT, "it has not answered")) for number in asked}
    waiting = tuple(number for number, (answer, _) in given.items() if answer is not Answer.GO)
    if not waiting:
        return None
    said = "; ".join(f"{release.policy.webhooks[number].host}: {given[number][1]}" for number in waiting)
    return Hold(Why.WEBHOOK, f"waits for {said}", upcoming, waiting)


def next_step(release: Release, seen: Seen) -> Move:
    words = seen.evidence.message if seen.evidence and release.step >= 0 else "the judge listens"
    return to_step(release, release.step + 1, seen.now, words, evidence=seen.raw_evidence)


def to_step(
    release: Release, index: int, now: float, words: str, *, actor: str = CONTROLLER, evidence: bytes = b""
) -> Move:
    """The candidate shall have the traffic of that step."""
    percent = release.policy.steps[index].percent
    reason = Why.GOOD if actor == CONTROLLER else Why.REQUESTED
    event = Event(Kind.STEP, f"{percent:g} % to version {release.candidate}: {words}", reason, actor, evidence=evidence)
    return moved(
        release,
        event,
        now,
        phase=Phase.STEPPING,
        step=index,
        step_since=0.0,
        base=-1,
        waits_at_gate=False,
        opened=max(release.opened, index),
    )
