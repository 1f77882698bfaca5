"""The release's decision: from what is kept and what is seen to what changes, and why it stays. Pure.

Each phase is a flat list of rules. The first one that has something to say ends the round: a `Move` is persisted and
then acted on, a `Hold` says what is waited for. Silence of the monitor, of Consul or of the traffic is a `Hold`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bmase.reasons import Reason

from services.patcher.releases.observation import Deployed, Seen, Shadowed, Stand
from services.patcher.releases.retreat import (
    abort_pending,
    back_at_zero,
    bad_verdict,
    not_given_back,
    refused,
    shelter,
    unsettled,
)
from services.patcher.releases.state import (
    UNDEPLOYS,
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
from services.patcher.releases.stepping import (
    applied,
    counted,
    enough,
    gate,
    judged,
    next_step,
    paused,
    unapplied,
    way_back,
    webhooks,
)

MAX_ROUNDS = 20
HOLD_EVERY = 10.0  # seconds between two lines "hold" of the audit trail
PASSES = 1.0  # what is over by itself so soon after an event is no news
LEFT_ALONE = 5.0  # a write of ours that was under way at the end has landed by then
FORGET_COMPARISON = 3600.0  # a monitor that is away for so long is not waited for

# The registry says that it will never work.
_GONE = frozenset({Reason.VERSION_NOT_FOUND.value, Reason.MODEL_NOT_FOUND.value})

_AS_IT_SHOULD_BE = frozenset({Why.DEPLOYING, Why.SHADOWING, Why.KEPT})

Rule = Callable[[Release, Seen], Move | Hold | None]


class UnsettledError(RuntimeError):
    """The decision does not come to rest: a defect in the rules."""


def settle(release: Release, seen: Seen) -> tuple[Release, list[Move]]:
    """The release at rest, and the moves that led there."""
    taken: list[Move] = []
    for _ in range(MAX_ROUNDS):
        move = decide(release, seen)
        if move is None:
            return release, taken
        release = move.release
        taken.append(move)
    raise UnsettledError("; ".join(map(str, taken[-5:])))


def decide(release: Release, seen: Seen) -> Move | None:
    """The next change; None when it stays as it is."""
    found = outcome(release, seen)
    return _noted(release, found, seen) if isinstance(found, Hold) else found


def standing(release: Release, seen: Seen) -> Hold:
    """Why it is where it is, in the words of this moment."""
    found = outcome(release, seen)
    return found if isinstance(found, Hold) else Hold(release.reason, release.message)


def outcome(release: Release, seen: Seen) -> Move | Hold | None:
    """What the first rule that has something to say says."""
    for rule in _RULES[release.phase]:
        found = rule(release, seen)
        if found is not None:
            return found
    return None


def _noted(release: Release, hold: Hold, seen: Seen) -> Move | None:
    """A hold is written down when its reason is another one, and not at each flicker."""
    flicker = seen.now - release.held_at < HOLD_EVERY or seen.now - release.said_at < PASSES
    if hold.reason == release.reason or hold.reason in _AS_IT_SHOULD_BE or flicker:
        return None
    event = Event(Kind.HOLD, hold.message, hold.reason, evidence=seen.raw_evidence)
    return moved(release, event, seen.now, held_at=seen.now)


# --- deploying


def _took_route(release: Release, seen: Seen) -> Move | Hold | None:
    route = seen.route
    if route is None:
        return Hold(Reason.ROUTE_NOT_FOUND, f"the route of {release.model} is not to be seen")
    if route.release == release.id:
        return None
    if route.release:
        return Hold(Why.ROUTE_TAKEN, f"the route is still held by release {route.release}")
    if set(route.effective) != {release.stable}:
        listed = ", ".join(map(str, sorted(route.effective)))
        message = f"the route was changed meanwhile: version {listed} has the traffic, not {release.stable} alone"
        return _failed(release, seen, Reason.NO_STABLE_VERSION, message)
    return Hold(Why.NOT_APPLIED, _trouble(seen, "route", "the route is being taken"))


def _whose(release: Release, seen: Seen) -> Move | None:
    """Looked at once: only a deployment that this release makes is its to remove."""
    if release.deploys is not None:
        return None
    makes = seen.candidate.stand in (Stand.ABSENT, Stand.LEAVING)
    what = "to be deployed" if makes else "deployed already"
    return Move(replace(release, deploys=makes), what=f"version {release.candidate} is {what}")


def _deployed(release: Release, seen: Seen) -> Move | Hold:
    there, name = seen.candidate, f"version {release.candidate}"
    if there.stand is Stand.FAILED:
        return _failed(release, seen, there.reason or Reason.LOAD_FAILED, f"{name}: {there.message}")
    if there.stand is Stand.READY and there.answers:
        event = Event(Kind.DEPLOYED, f"{name} is ready on {_nodes(there)}")
        return moved(release, event, seen.now, phase=Phase.SHADOW)
    trouble = seen.troubles.get("deploy")
    if trouble is not None and trouble.reason in _GONE:
        return _failed(release, seen, trouble.reason, trouble.message)
    if there.stand is Stand.LEAVING:
        return Hold(Why.DEPLOYING, f"{name} is still being taken out of service; then it is deployed again")
    message = there.message or (trouble.message if trouble else f"{name} is being brought to its nodes")
    return Hold(there.reason or (trouble.reason if trouble else Why.DEPLOYING), message)


def _nodes(there: Deployed) -> str:
    return "1 node" if there.replicas == 1 else f"{there.replicas} nodes"


def _trouble(seen: Seen, key: str, otherwise: str) -> str:
    trouble = seen.troubles.get(key)
    return trouble.message if trouble else otherwise


def _failed(release: Release, seen: Seen, reason: str, message: str) -> Move:
    event = Event(Kind.FAILED, message, str(reason))
    return moved(release, event, seen.now, phase=Phase.FAILED, ended=seen.now, chores=_leave(release))


def _leave(release: Release) -> frozenset[Chore]:
    """What is left of a candidate that never had traffic."""
    removes = bool(release.deploys) and not release.policy.keep_candidate
    return frozenset({Chore.GIVE_BACK_ROUTE} | ({Chore.UNDEPLOY_CANDIDATE} if removes else set()))


# --- shadow


def _replayed(release: Release, seen: Seen) -> Move | Hold:
    if release.policy.shadow_samples < 0:
        return _shadowed(release, seen, "no samples were to be replayed")
    result = seen.shadow
    if result is None:
        return Hold(Why.SHADOWING, _trouble(seen, "shadow", "samples are being replayed to both versions"))
    if result.skipped:
        return _shadowed(release, seen, f"nothing was replayed: {result.message}", result.skipped)
    if refusal := _unlike(release, result):
        return _failed(release, seen, *refusal)
    words = f"{result.total} samples replayed: {result.failed} failed, {result.disagreed} answered differently"
    words += f"; {result.message}" if result.message else ""
    return _shadowed(release, seen, words)


def _candidate_there(release: Release, seen: Seen) -> Hold | None:
    if seen.candidate.answers:
        return None
    return Hold(Why.CANDIDATE_LOST, f"version {release.candidate} answers nowhere: {_why_not(seen.candidate)}")


def _why_not(there: Deployed) -> str:
    return there.message or "its nodes are silent"


def _unlike(release: Release, result: Shadowed) -> tuple[str, str] | None:
    judge, total = release.policy.judge, max(result.total, 1)
    if result.failed > judge.allowed_failures * total:
        words = f"of {result.total} replayed samples version {release.candidate} refused {result.failed} that "
        words += f"version {release.stable} answers; {judge.allowed_failures:.1%} are allowed"
        return Why.SHADOW_FAILED, words
    if judge.max_disagreement and result.disagreed > judge.max_disagreement * total:
        words = f"of {result.total} replayed samples {result.disagreed} were answered differently by version "
        words += f"{release.candidate}; {judge.max_disagreement:.1%} are allowed"
        return Why.DISAGREES, words
    return None


def _shadowed(release: Release, seen: Seen, message: str, reason: str = "") -> Move:
    return moved(release, Event(Kind.SHADOW, message, reason), seen.now, phase=Phase.STEPPING)


# --- promoted, rolling back, and after the end


def _kept(release: Release, seen: Seen) -> Move | Hold:
    if seen.now < release.keep_until or not seen.settled:
        return Hold(Why.KEPT, f"version {release.stable} is kept for an instant way back")
    removes = not release.policy.keep_old
    chores = {Chore.GIVE_BACK_ROUTE} | ({Chore.UNDEPLOY_STABLE} if removes else set())
    words = f"version {release.stable} is {'taken out of service' if removes else 'kept, as the policy says'}"
    event = Event(Kind.COMPLETED, f"version {release.candidate} is the stable one now; {words}", Why.GOOD)
    return moved(
        release, event, seen.now, phase=Phase.COMPLETED, ended=seen.now, chores=release.chores | frozenset(chores)
    )


def _chores(release: Release, seen: Seen) -> Move | None:
    """Chores that came to nothing: the route is not ours any more, the monitor stays away."""
    age = seen.now - release.ended
    ours = seen.route is not None and seen.route.release == release.id
    if seen.route is None and (unsettled(seen) or not_given_back(seen)):
        return None
    if Chore.GIVE_BACK_ROUTE in release.chores and not ours and not release.chores & UNDEPLOYS and age > LEFT_ALONE:
        return done(release, Chore.GIVE_BACK_ROUTE)
    if Chore.END_COMPARISON in release.chores and age > FORGET_COMPARISON:
        return done(release, Chore.END_COMPARISON)
    return None


def done(release: Release, chore: Chore) -> Move:
    """The chore has been done, or is not needed."""
    return Move(replace(release, chores=release.chores - {chore}), what=f"done: {chore.value}")


_END: tuple[Rule, ...] = (_chores,)
_RULES: Mapping[Phase, tuple[Rule, ...]] = {
    Phase.DEPLOYING: (abort_pending, _took_route, _whose, _deployed),
    Phase.SHADOW: (abort_pending, paused, _candidate_there, _replayed),
    Phase.STEPPING: (
        abort_pending,
        bad_verdict,
        refused,
        shelter,
        applied,
        counted,
        paused,
        judged,
        enough,
        way_back,
        gate,
        webhooks,
        next_step,
    ),
    Phase.PROMOTED: (abort_pending, shelter, unapplied, paused, _kept),
    Phase.ROLLING_BACK: (back_at_zero,),
    Phase.COMPLETED: _END,
    Phase.ROLLED_BACK: _END,
    Phase.FAILED: _END,
}
