"""How people change a schedule. Pure: from the schedule before to the schedule after."""

from __future__ import annotations

from dataclasses import replace

from bmase.reasons import Reason

from services.kit.errors import DomainError
from services.trainer.jobs.state import legible
from services.trainer.schedules.spec import DataTrigger, ScheduleSpec
from services.trainer.schedules.state import Ask, Schedule

MAX_ASKS = 16
LONGEST_MESSAGE = 500


def create(id: str, spec: ScheduleSpec, owner: str, now: float) -> Schedule:
    """A new one: what was due before is not its business."""
    return Schedule(id, spec, owner, created=now, cursor=now)


def ask(schedule: Schedule, request_id: str, actor: str, now: float, message: str = "") -> Schedule:
    """A pipeline now, also while it is paused; the overlap policy still holds. The same request is the same one."""
    if any(known.request_id == request_id for known in schedule.asks):
        return schedule
    if len(schedule.asks) >= MAX_ASKS:
        words = f"{schedule.name} was asked {MAX_ASKS} times and has not decided yet"
        raise DomainError(Reason.OVERLOADED, words, hint="Wait until the trainer has a leader again.")
    wish = Ask(request_id, actor, now, legible(message, LONGEST_MESSAGE))
    return replace(schedule, asks=(*schedule.asks, wish))


def pause(schedule: Schedule, actor: str) -> Schedule:
    """It fires only when asked; what is queued waits. Pipelines that run go on."""
    return schedule if schedule.paused else replace(schedule, paused=True, paused_by=actor)


def resume(schedule: Schedule, now: float) -> Schedule:
    """From here on. Times in between are not caught up; data that changed and alerts that are open count."""
    return replace(schedule, paused=False, paused_by="", cursor=now) if schedule.paused else schedule


def change(schedule: Schedule, spec: ScheduleSpec, now: float) -> Schedule:
    """Another wish, from here on. What runs, and what is queued, goes on with the wish it then finds."""
    before = schedule.spec
    changed = replace(schedule, spec=spec)
    if spec.trigger != before.trigger:
        changed = replace(changed, cursor=now)  # other times begin now
    both = isinstance(spec.trigger, DataTrigger) and isinstance(before.trigger, DataTrigger)
    if both and spec.plan.job.data == before.plan.job.data:
        return changed  # what has changed and has not settled yet is still news
    return replace(changed, digest="", listing="", fresh=None)  # other data is no change of data
