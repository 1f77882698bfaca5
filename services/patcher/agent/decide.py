"""The agent's decision for one model: what is the next step? Pure.

The steps are Fetch, Load, Warm, and on the way out Unload and Forget. Each may be repeated at any time: a step looks at
what is there and does what is missing. Two versions of a model are never loaded together: the old one goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bmase.reasons import Reason

from services.patcher.documents import Desired, Status, Step

FIRST_RETRY = 1.0
LONGEST_RETRY = 10.0
# A version that takes the server down with it would take its neighbours down at every attempt.
MAX_CRASHES = 2


class Act(StrEnum):
    """What to do next for a model."""

    FETCH = "fetch"
    LOAD = "load"
    WARM = "warm"
    UNLOAD = "unload"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which version of a model, to the bit."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed. A lasting one waits for a person (a higher generation), others until `retry_at`."""

    reason: Reason
    message: str
    lasting: bool
    generation: int = 0
    retry_at: float = 0.0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """What the agent knows of one model.

    `occupant` is what lies in Triton's repository. `loaded_in` and `warmed_in` name the life of Triton for which that
    holds: a new life has to load and prove everything again. `proven` survives it: the version was right once.
    """

    wanted: Desired | None = None
    occupant: Identity | None = None
    fetched: bool = False
    loaded_in: int = -1
    warmed_in: int = -1
    proven: bool = False
    crashes: int = 0
    failure: Failure | None = None


@dataclass(frozen=True)
class TritonView:
    """What the agent sees of its Triton. `life` counts its starts, as far as the agent noticed them.

    `gone`: nobody listens there, so nothing is loaded. A server that hangs is neither up nor gone: it may hold models.
    """

    life: int = 0
    up: bool = False
    usable: bool = False
    gone: bool = False
    loaded: Mapping[str, frozenset[int]] = field(default_factory=dict)  # model -> versions that are ready


def identity(desired: Desired) -> Identity:
    return Identity(desired.version, desired.digest)


def take_orders(slot: Slot, wanted: Desired | None) -> Slot:
    """The slot under new orders: another version starts over, the same one asked for again may try again."""
    before = slot.wanted
    if wanted is None or before is None or identity(wanted) != identity(before):
        same = wanted is not None and slot.occupant == identity(wanted)
        return Slot(wanted=wanted, occupant=slot.occupant, proven=slot.proven and same)
    again = slot.failure is not None and wanted.generation > slot.failure.generation
    return replace(slot, wanted=wanted, failure=None if again else slot.failure, crashes=0 if again else slot.crashes)


def next_act(model: str, slot: Slot, triton: TritonView, now: float, confirmed: bool = True) -> Act | None:
    """The step that is due; None when there is nothing to do, or nothing can be done now.

    Orders that are not confirmed may be old or lost: they can add a model, and never take away what is there.
    """
    loaded = triton.loaded.get(model, frozenset())
    if slot.wanted is None and slot.occupant is None and not loaded:
        return Act.FORGET
    if slot.wanted is None or slot.occupant not in (None, identity(slot.wanted)):
        # A Triton that hangs cannot say that the model is out.
        return Act.UNLOAD if confirmed and (triton.up or triton.gone) and not _waits(slot, now) else None
    if slot.failure is not None and slot.failure.lasting:
        return Act.UNLOAD if loaded and triton.up and now >= slot.failure.retry_at else None
    return None if _waits(slot, now) else _next_towards_ready(slot, slot.wanted, loaded, triton)


def _next_towards_ready(slot: Slot, wanted: Desired, loaded: frozenset[int], triton: TritonView) -> Act | None:
    if not slot.fetched:
        return Act.FETCH
    if not triton.up or not triton.usable:
        return None
    if slot.loaded_in != triton.life or wanted.version not in loaded:
        return Act.LOAD
    return Act.WARM if slot.warmed_in != triton.life else None


def _waits(slot: Slot, now: float) -> bool:
    return slot.failure is not None and now < slot.failure.retry_at


def startable(due: Mapping[str, Act], running: Mapping[str, Act], slots: Mapping[str, Slot]) -> list[str]:
    """Which of the due steps may start beside those that run.

    A version whose load Triton did not survive is tried again alone, so that the next crash has one possible cause.
    """
    exclusive = {Act.LOAD, Act.WARM}
    in_triton = [model for model, act in running.items() if act in exclusive]
    alone = any(slots[model].crashes for model in in_triton)
    chosen: list[str] = []
    for model, act in sorted(due.items(), key=lambda item: (slots[item[0]].crashes, item[0])):
        if act in exclusive and (alone or (slots[model].crashes and in_triton)):
            continue
        chosen.append(model)
        if act in exclusive:
            in_triton.append(model)
            alone = alone or bool(slots[model].crashes)
    return chosen


def failed(slot: Slot, reason: Reason, message: str, *, lasting: bool, now: float) -> Slot:
    """The slot after a step that failed: waits double up to a ceiling."""
    count = slot.failure.count + 1 if slot.failure else 1
    wait = min(FIRST_RETRY * 2 ** min(count - 1, 10), LONGEST_RETRY)
    generation = slot.wanted.generation if slot.wanted else 0
    return replace(slot, failure=Failure(reason, message, lasting, generation, now + wait, count))


def postponed(slot: Slot, now: float) -> Slot:
    """A version that is given up could not be unloaded: it stays given up for the same reason, and is tried later."""
    assert slot.failure is not None
    return replace(slot, failure=replace(slot.failure, retry_at=now + LONGEST_RETRY))


def crashed(slot: Slot, message: str, now: float) -> Slot:
    """The slot after Triton went away while it loaded or first ran the version."""
    slot = replace(slot, crashes=slot.crashes + 1)
    if slot.crashes < MAX_CRASHES:
        return failed(slot, Reason.SERVICE_UNAVAILABLE, message, lasting=False, now=now)
    words = f"Triton ended while it loaded the version, {slot.crashes} times; its log says why"
    return failed(slot, Reason.LOAD_FAILED, words, lasting=True, now=now)


def preload(slots: Mapping[str, Slot], confirmed: bool = True) -> list[str]:
    """What a Triton that starts again is to load by itself: what is wanted, lies there and was right before.

    Nothing else: a version that brought Triton down must not do so at every start. Without confirmed orders what is not
    wanted stays, too.
    """

    def stays(slot: Slot) -> bool:
        if slot.wanted is None:
            return not confirmed and slot.occupant is not None
        return slot.occupant == identity(slot.wanted)

    return sorted(model for model, slot in slots.items() if slot.proven and stays(slot))


def is_ready(model: str, slot: Slot, triton: TritonView) -> bool:
    """The version answers, and answered right in this life of Triton."""
    wanted = slot.wanted
    there = wanted is not None and wanted.version in triton.loaded.get(model, frozenset())
    return there and triton.up and triton.usable and slot.loaded_in == slot.warmed_in == triton.life


_AWAY = "Triton does not answer; the version is loaded when it is back"
_CHECKED = "Triton has not passed the check of its backend yet"
_STEP_OF = {Act.FETCH: Step.FETCHING, Act.LOAD: Step.LOADING, Act.WARM: Step.WARMING}


def status(model: str, slot: Slot, triton: TritonView, running: Act | None, progress: str = "") -> Status | None:
    """What to say of the model, without a time; None when nothing is left of it."""
    said = slot.wanted
    if said is None:
        return _leaving(model, slot)
    step, reason, message = _words(model, slot, triton, running, progress)
    return Status(
        model=model, version=said.version, digest=said.digest, generation=said.generation,
        state=step, reason=reason, message=message,
    )  # fmt: skip


def _leaving(model: str, slot: Slot) -> Status | None:
    if slot.occupant is None:
        return None
    message = slot.failure.message if slot.failure else "requests under way may finish"
    return Status(
        model=model, version=slot.occupant.version, digest=slot.occupant.digest, state=Step.DRAINING, message=message
    )


def _words(model: str, slot: Slot, triton: TritonView, running: Act | None, progress: str) -> tuple[Step, str, str]:
    if is_ready(model, slot, triton):
        return Step.READY, "", ""
    failure = slot.failure
    if failure and (failure.lasting or failure.reason is Reason.STORAGE_FULL):
        return Step.FAILED, failure.reason.value, failure.message
    reason, message = (failure.reason.value, failure.message) if failure else ("", progress)
    if running in _STEP_OF:
        return _STEP_OF[running], reason, message
    if slot.fetched and not (triton.up and triton.usable):
        return Step.LOST, Reason.SERVICE_UNAVAILABLE.value, _CHECKED if triton.up else _AWAY
    return _waiting(slot), reason, message


def _waiting(slot: Slot) -> Step:
    if slot.failure is None:
        return Step.ASSIGNED
    if slot.proven:
        return Step.FAILED
    return Step.LOADING if slot.fetched else Step.FETCHING
