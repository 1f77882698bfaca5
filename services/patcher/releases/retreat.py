"""Rules that take traffic away from the candidate. Pure.

Aborting always wins, with one exception: traffic never leaves a version that answers for one that does not.
"""

from __future__ import annotations

from dataclasses import replace

from bmase.reasons import Reason

from services.patcher.releases.observation import Answer, RouteSeen, Seen, Verdict
from services.patcher.releases.state import Abort, Chore, Event, Hold, Kind, Move, Phase, Release, Why, moved

# A candidate that loses its nodes again whenever it gets traffic is not unlucky.
MOST_LOSSES = 3


def unsettled(seen: Seen) -> Hold | None:
    """Nothing is concluded from what Consul does not show."""
    if seen.settled:
        return None
    return Hold(Reason.COORDINATION_UNAVAILABLE, "Consul does not answer, or has only just come back")


def not_given_back(seen: Seen) -> Hold | None:
    """A wiped store shows no route until a gateway has written down again what it still serves."""
    if seen.route is not None or not seen.unheard:
        return None
    return Hold(Why.NOT_APPLIED, f"waiting for gateway {', '.join(seen.unheard[:3])}")


def needs_stable(release: Release, seen: Seen) -> bool:
    """Whether what comes next depends on stable answering at this very moment: then it is asked itself."""
    if release.percent == 0 or release.phase not in (Phase.STEPPING, Phase.PROMOTED):
        return False
    wanted = release.abort is not None or _is_bad(seen) or bool(_refusals(release, seen)) or _is_late(release, seen)
    return wanted or not seen.candidate.answers


def abort_pending(release: Release, seen: Seen) -> Move | Hold | None:
    return turn_back(release, seen, release.abort) if release.abort else None


def bad_verdict(release: Release, seen: Seen) -> Move | Hold | None:
    """However old: evidence that was once enough stays so."""
    if seen.evidence is None or not _is_bad(seen):
        return None
    words = seen.evidence.message or f"version {release.candidate} is worse than version {release.stable}"
    return turn_back(release, seen, Abort(seen.evidence.reason, words, asked=seen.evidence.time))


def refused(release: Release, seen: Seen) -> Move | Hold | None:
    """A webhook that says no is obeyed at once, whatever the judge says meanwhile."""
    for number, words in _refusals(release, seen).items():
        host = release.policy.webhooks[number].host
        return turn_back(release, seen, Abort(Why.WEBHOOK, f"{host} says: {words}", asked=seen.now))
    return None


def _refusals(release: Release, seen: Seen) -> dict[int, str]:
    """webhook -> words, of those that refuse the step to come."""
    upcoming = release.step + 1
    given = {
        number: words
        for (step, number), (answer, words) in seen.answers.items()
        if answer is Answer.ROLLBACK and step == upcoming
    }
    return {number: words for number, words in sorted(given.items()) if release.policy.webhooks[number].gate}


def _is_late(release: Release, seen: Seen) -> bool:
    """Whether the step's time is over, which takes the candidate out if the policy says so."""
    if not release.policy.rolls_back_late or release.step < 0 or not release.step_since:
        return False
    longest = release.policy.steps[release.step].max_time
    return bool(longest) and seen.now - release.step_since > longest


def _is_bad(seen: Seen) -> bool:
    return seen.evidence is not None and seen.evidence.verdict is Verdict.ROLLBACK


def turn_back(release: Release, seen: Seen, abort: Abort) -> Move | Hold:
    """Back to stable now, or as soon as it answers."""
    if release.percent and not seen.stable.answers:
        words = f"to be rolled back ({abort.message}), but version {release.stable} answers nowhere: "
        words += f"the traffic stays with version {release.candidate} until it does"
        if release.abort is None:
            event = Event(Kind.HOLD, words, Why.STABLE_LOST, evidence=seen.raw_evidence)
            return moved(release, event, seen.now, abort=abort, held_at=seen.now)
        return Hold(Why.STABLE_LOST, words)
    event = Event(Kind.ROLLBACK, abort.message, abort.reason, abort.actor, evidence=seen.raw_evidence)
    return moved(
        release,
        event,
        seen.now,
        abort=abort,
        phase=Phase.ROLLING_BACK,
        turned=seen.now,
        sheltered=False,
        waits_at_gate=False,
        alias=release.stable if release.alias else 0,
    )


def shelter(release: Release, seen: Seen) -> Move | Hold | None:
    """Losing nodes is no regression: stable has the traffic until the candidate is back, and the step begins anew."""
    there, name = seen.candidate, f"version {release.candidate}"
    if release.sheltered and there.answers and not seen.settled:
        return unsettled(seen)  # whoever was lost counts as answering then
    if there.answers:
        return _from_shelter(release, seen) if release.sheltered else None
    words = f"{name} answers nowhere: {there.message or 'its nodes are silent'}"
    if release.sheltered or release.step < 0:
        return Hold(Why.CANDIDATE_LOST, words)
    if release.losses >= MOST_LOSSES:
        return turn_back(release, seen, Abort(Why.CANDIDATE_LOST, f"{words}, for the {release.losses + 1}th time"))
    if not seen.stable.answers:
        return Hold(Why.STABLE_LOST, f"{words}, and neither does version {release.stable}")
    event = Event(Kind.HOLD, f"{words}; version {release.stable} has the traffic meanwhile", Why.CANDIDATE_LOST)
    return moved(release, event, seen.now, sheltered=True, losses=release.losses + 1, step_since=0.0, base=-1)


def _from_shelter(release: Release, seen: Seen) -> Move:
    back = replace(release, sheltered=False)
    if release.phase is Phase.PROMOTED:
        back = replace(back, keep_until=seen.now + release.policy.keep)
    event = Event(Kind.STEP, f"version {release.candidate} answers again: back to {back.percent:g} %")
    return moved(back, event, seen.now)


def back_at_zero(release: Release, seen: Seen) -> Move | Hold:
    """The candidate is not undeployed before every gateway has left it, nor while stable does not answer."""
    route = seen.route
    if hold := unsettled(seen) or not_given_back(seen):
        return hold
    if route is not None:
        if not _is_back(release, route, seen.fence):
            trouble = seen.troubles.get("route")
            return Hold(trouble.reason if trouble else Why.NOT_APPLIED, trouble.message if trouble else "on its way")
        if route.behind:
            return Hold(Why.NOT_APPLIED, f"waiting for gateway {', '.join(route.behind[:3])}")
        if not seen.stable.answers:
            words = f"version {release.stable} answers nowhere; version {release.candidate} stays loaded until it does"
            return Hold(Why.STABLE_LOST, words)
    return _rolled_back(release, seen)


def _is_back(release: Release, route: RouteSeen, fence: int) -> bool:
    """A route that was never taken is left alone. One that was bears our fence: no earlier leader's write follows."""
    if route.release != release.id:
        return release.candidate not in route.effective
    return set(route.effective) == {release.stable} and route.fence >= fence


def _rolled_back(release: Release, seen: Seen) -> Move:
    removes = bool(release.deploys) and not release.policy.keep_candidate
    chores = {Chore.GIVE_BACK_ROUTE, *release.chores} | ({Chore.UNDEPLOY_CANDIDATE} if removes else set())
    if release.step >= 0:
        chores |= {Chore.END_COMPARISON}
    assert release.abort is not None, "nothing rolls back without a reason"
    words = f"version {release.stable} has all of the traffic again; {release.abort.message}"
    event = Event(Kind.ROLLBACK, words, release.abort.reason)
    return moved(release, event, seen.now, phase=Phase.ROLLED_BACK, ended=seen.now, chores=frozenset(chores))
