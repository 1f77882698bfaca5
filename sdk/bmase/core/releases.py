"""Calls of `bmase.patcher.v1.ReleaseService`, and when a release has come to its end."""

from __future__ import annotations

from bmase import names
from bmase.core.calls import Call, Listing, Watch
from bmase.core.registry import new_request_id
from bmase.errors import TimedOut
from bmase.patcher.v1 import release_pb2 as pb

SERVICE = "/bmase.patcher.v1.ReleaseService/"
State = pb.Release.State

# What a release does not leave by itself any more.
OVER = frozenset({State.STATE_COMPLETED, State.STATE_ROLLED_BACK, State.STATE_FAILED})
# The same for somebody who waits for the verdict: the old version is only kept for a way back.
DECIDED = OVER | {State.STATE_PROMOTED}


def create(model: str, candidate: int | str, policy: pb.ReleasePolicy | None) -> Call[pb.Release]:
    """A release on its way; `follow` tells how it goes."""
    wanted = pb.Release(model=names.model(model), policy=policy or pb.ReleasePolicy())
    request = pb.CreateReleaseRequest(release=wanted, candidate=str(candidate), request_id=new_request_id())
    return Call(SERVICE + "CreateRelease", request, pb.Release)


def get(release: str) -> Call[pb.Release]:
    """One release."""
    return Call(SERVICE + "GetRelease", pb.GetReleaseRequest(name=names.release(release)), pb.Release)


def list_all(model: str | None, active: bool, page_size: int) -> Listing[pb.Release]:
    """Releases of one model or of all, latest first."""

    def page(token: str) -> Call[pb.ListReleasesResponse]:
        request = pb.ListReleasesRequest(
            model=names.model(model) if model else "", active=active, page_size=page_size, page_token=token
        )
        return Call(SERVICE + "ListReleases", request, pb.ListReleasesResponse)

    return Listing(page, "releases")


def follow(release: str) -> Watch[pb.Release]:
    """The release now, at each change and once a second, until it is over."""
    call = Call(SERVICE + "WatchRelease", pb.WatchReleaseRequest(name=names.release(release)), pb.Release, None)
    return Watch(call, over=is_over)


def is_over(release: pb.Release) -> bool:
    """Whether it has come to its end."""
    return release.state in OVER


def is_decided(release: pb.Release) -> bool:
    """Whether all traffic went one way or the other."""
    return release.state in DECIDED


def state_word(release: pb.Release) -> str:
    """The state as a word for people: `stepping`, `rolled back`, ..."""
    return State.Name(release.state).removeprefix("STATE_").lower().replace("_", " ")


def late(release: str, seen: pb.Release, timeout: float | None) -> TimedOut:
    """Time ran out before it came so far; `seen` is how it was seen last. `timeout` None: it was not the caller's."""
    after = "the server's time is over: " if timeout is None else f"after {timeout:g} s "
    if not seen.name:
        hint = "`bmase doctor` says what does not answer."
        return TimedOut(f"{after}nothing was heard of {names.release(release)}", hint=hint)
    said = f": {seen.message}" if seen.message else ""
    return TimedOut(
        f"{after}{seen.name} is still {state_word(seen)}{said}",
        reason=seen.reason or "DEADLINE_EXCEEDED",
        hint=f"It goes on by itself: `bmase release watch {names.short(seen.model)}` follows it.",
    )


def pause(release: str) -> Call[pb.Release]:
    """Stay at the present weights."""
    return Call(SERVICE + "PauseRelease", pb.PauseReleaseRequest(name=names.release(release)), pb.Release)


def resume(release: str) -> Call[pb.Release]:
    """Go on; also opens a gate."""
    return Call(SERVICE + "ResumeRelease", pb.ResumeReleaseRequest(name=names.release(release)), pb.Release)


def promote(release: str, full: bool) -> Call[pb.Release]:
    """To the next step, or to all of the traffic, without waiting for evidence."""
    request = pb.PromoteReleaseRequest(name=names.release(release), full=full)
    return Call(SERVICE + "PromoteRelease", request, pb.Release)


def rollback(release: str, message: str) -> Call[pb.Release]:
    """Back to the stable version at once."""
    request = pb.RollbackReleaseRequest(name=names.release(release), message=message)
    return Call(SERVICE + "RollbackRelease", request, pb.Release)


def events(release: str, page_size: int) -> Listing[pb.ReleaseEvent]:
    """Everything that was decided and done, in order."""

    def page(token: str) -> Call[pb.ListReleaseEventsResponse]:
        request = pb.ListReleaseEventsRequest(name=names.release(release), page_size=page_size, page_token=token)
        return Call(SERVICE + "ListReleaseEvents", request, pb.ListReleaseEventsResponse)

    return Listing(page, "events")
