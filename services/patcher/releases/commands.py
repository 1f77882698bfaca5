"""What people may ask of a release. Pure: the state afterwards, or the reason why not."""

from __future__ import annotations

from dataclasses import replace

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.patcher.releases.state import Abort, Event, Kind, Move, Phase, Release, Why, moved
from services.patcher.releases.stepping import to_step

_TURNING = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})


def pause(release: Release, now: float, actor: str) -> Move | None:
    """None: it is paused already."""
    _still_runs(release)
    if release.paused:
        return None
    event = Event(Kind.PAUSED, f"stays at {release.percent:g} %", Why.PAUSED, actor)
    return moved(release, event, now, paused=True)


def resume(release: Release, now: float, actor: str) -> Move | None:
    """Also opens the gate it waits at. None: there is nothing to resume."""
    _still_runs(release)
    if not release.paused and not release.waits_at_gate:
        return None
    opened = release.step + 1 if release.waits_at_gate else release.opened
    event = Event(Kind.RESUMED, "goes on", Why.REQUESTED, actor)
    return moved(release, event, now, paused=False, waits_at_gate=False, opened=opened)


def promote(release: Release, now: float, actor: str, *, full: bool, answers: bool) -> Move:
    """To the next step, or the last; `answers`: whether the candidate does."""
    _still_runs(release)
    name = f"version {release.candidate}"
    if release.abort or release.phase is Phase.ROLLING_BACK:
        raise _refused(Reason.RELEASE_ENDED, f"{release.name} is being rolled back", "Start another release.")
    if release.phase is Phase.PROMOTED or release.step == release.policy.last:
        raise _refused(Reason.RELEASE_ENDED, f"{name} has all of the traffic already", "Nothing is left to promote.")
    if release.phase is Phase.DEPLOYING or not answers:
        hint = "`bmase deployments list` shows how far it is; promote it when it is ready."
        raise _refused(Reason.VERSION_NOT_DEPLOYED, f"{name} does not answer yet, so it gets no traffic", hint)
    index = release.policy.last if full else release.step + 1
    return to_step(replace(release, sheltered=False), index, now, "a person promoted it", actor=actor)


def rollback(release: Release, now: float, actor: str, message: str, *, kept: bool = True) -> Move | None:
    """Marks it; the controller acts on the mark at once. None: it is on its way back, or there.

    `kept`: whether the stable version is still deployed. One that is only silent is waited for.
    """
    if release.phase in _TURNING or release.abort is not None:
        return None
    if release.final:
        raise _ended(release)
    if not kept:
        hint = f"Deploy it again, then roll back: bmase deploy {release.model} {release.stable}"
        words = f"version {release.stable} has been taken out of service, so there is nothing to go back to"
        raise _refused(Reason.VERSION_NOT_DEPLOYED, words, hint)
    words = message or "a person rolled it back"
    event = Event(Kind.ROLLBACK, f"asked for: {words}", Why.REQUESTED, actor)
    return moved(release, event, now, abort=Abort(Why.REQUESTED, words, actor, now))


def _still_runs(release: Release) -> None:
    if release.final:
        raise _ended(release)


def _ended(release: Release) -> DomainError:
    hint = "Start another release to move traffic again"
    if release.phase is Phase.COMPLETED:
        hint += f": bmase release start {release.model} {release.stable} goes back to version {release.stable}"
    state = release.phase.value.replace("_", " ")
    return _refused(Reason.RELEASE_ENDED, f"{release.name} has ended: it is {state}", f"{hint}.")


def _refused(reason: Reason, message: str, hint: str) -> DomainError:
    return DomainError(reason, message, hint=hint)
