"""Who may change a route: while a release moves its traffic, only that release. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bmase.reasons import Reason

from services.gateway.documents import RouteDocument
from services.kit.errors import DomainError


@dataclass(frozen=True, slots=True)
class Hold:
    """In whose name a change comes. `ends`: with it the release gives the route back."""

    release: str = ""
    fence: int = 0
    ends: bool = False


NOBODY = Hold()


def held(model: str, before: RouteDocument | None, after: RouteDocument, hold: Hold) -> RouteDocument:
    """The changed document with its lock as it is afterwards. Raises RELEASE_ACTIVE or NOT_LEADER."""
    if before is not None:
        check(model, before, hold)
    fence = max(hold.fence, before.fence if before else 0)
    return after.model_copy(update={"release": "" if hold.ends else hold.release, "fence": fence})


def check(model: str, before: RouteDocument, hold: Hold) -> None:
    """Raises RELEASE_ACTIVE when another release holds the route, NOT_LEADER when a later leader was here."""
    if before.release and before.release != hold.release:
        raise _active(model, before.release)
    if hold.release and hold.fence < before.fence:
        raise DomainError(
            Reason.NOT_LEADER,
            f"a later leader has changed the route of '{model}'; this one no longer leads",
            hint="Send the call again: it reaches the present leader.",
            metadata={"model": model, "fence": str(before.fence)},
        )


def _active(model: str, release: str) -> DomainError:
    name = release.removeprefix("releases/")
    return DomainError(
        Reason.RELEASE_ACTIVE,
        f"the release '{name}' moves the traffic of '{model}'",
        hint=f"Stop it there with `bmase release pause {name}`, or take it back with `bmase release rollback {name}`.",
        metadata={"model": model, "release": name},
    )
