"""What there is to fire for: from a schedule and what it sees to occasions, and the schedule that has read them. Pure.

Cron reads edges: each due time is read once, and `catch_up` says what counts of those that were seen too late. Data and
drift read levels: what is still so when somebody looks counts, so there is nothing to catch up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.trainer.schedules.observation import Alert, Seen
from services.trainer.schedules.spec import CatchUp, CronTrigger, DataTrigger, DriftTrigger
from services.trainer.schedules.state import Fire, Fresh, Occasion, Outcome, Schedule

LATE = 60.0  # seconds after which a due time counts as missed: longer than leaders take to change
HANDLED = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """The schedule after it was read, its occasions in order, and what the catch-up policy left out."""

    schedule: Schedule
    occasions: tuple[Occasion, ...] = ()
    missed: tuple[Fire, ...] = ()


def read(schedule: Schedule, seen: Seen) -> Reading:
    """What people ask for, and unless it is paused what its trigger says."""
    asked = tuple(
        Occasion(manual_key(ask.request_id), ask.time, ask.message or f"{ask.actor} asked for it", asked_by=ask.actor)
        for ask in schedule.asks
    )
    found = _trigger(replace(schedule, asks=()), seen)
    return replace(found, occasions=(*asked, *found.occasions))


def delay(schedule: Schedule) -> float:
    """Seconds by which the schedule is behind its due times; from its name alone, so every leader has the same."""
    trigger = schedule.spec.trigger
    if not isinstance(trigger, CronTrigger) or not trigger.jitter:
        return 0.0
    drawn = int.from_bytes(hashlib.sha256(schedule.id.encode()).digest()[:8], "big") / 2**64
    return float(int(drawn * trigger.jitter))


def manual_key(request_id: str) -> str:
    """Of somebody's request."""
    return f"manual {request_id}"


def cron_key(due: float) -> str:
    """Of a due time."""
    return f"cron {datetime.fromtimestamp(due, UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}"


def cooling(schedule: Schedule, trigger: DriftTrigger, now: float) -> float:
    """Seconds in which it does not fire; a fire that is yet to come by this clock is none that counts."""
    since = now - schedule.cooled
    return max(0.0, trigger.cool_down - since) if schedule.cooled and since >= 0 else 0.0


def _trigger(schedule: Schedule, seen: Seen) -> Reading:
    trigger = schedule.spec.trigger
    if schedule.paused:
        return Reading(schedule)
    if isinstance(trigger, CronTrigger):
        return _cron(schedule, trigger, seen.now)
    if isinstance(trigger, DataTrigger):
        return _data(schedule, trigger, seen)
    return _drift(schedule, trigger, seen) if isinstance(trigger, DriftTrigger) else Reading(schedule)


# --- cron


def _cron(schedule: Schedule, trigger: CronTrigger, now: float) -> Reading:
    cron, until = trigger.cron, now - delay(schedule)
    first = next(cron.after(schedule.cursor), None)
    if first is None or first > until:
        return Reading(schedule)
    punctual = cron.between(max(schedule.cursor, until - LATE), until)
    late: list[float] = []
    more = False
    if first <= until - LATE:
        late, more = cron.latest(schedule.cursor, until - LATE, trigger.limit + 1)
    kept_from = max(0, len(late) - _caught_up(trigger, bool(punctual)))
    left, caught = late[:kept_from], late[kept_from:]
    missed = (_missed(trigger, first, left, more, now),) if left else ()
    occasions = [_occasion(trigger, due, True) for due in caught] + [_occasion(trigger, d, False) for d in punctual]
    return Reading(replace(schedule, cursor=(late + punctual)[-1]), tuple(occasions), missed)


def _caught_up(trigger: CronTrigger, punctual: bool) -> int:
    if trigger.catch_up is CatchUp.ALL:
        return trigger.limit
    return int(trigger.catch_up is CatchUp.LAST and not punctual)


def _occasion(trigger: CronTrigger, due: float, late: bool) -> Occasion:
    when = trigger.cron.shown(due)
    why = f"was due at {when}, and is caught up" if late else f"due at {when}"
    return Occasion(cron_key(due), due, why, late)


def _missed(trigger: CronTrigger, first: float, left: list[float], more: bool, now: float) -> Fire:
    count = f"more than {len(left)} due times" if more else f"{len(left)} due time{'s' if len(left) > 1 else ''}"
    shown = trigger.cron.shown
    words = f"{count} from {shown(first)} to {shown(left[-1])} passed unseen (catch-up is {trigger.catch_up.value})"
    return Fire(f"missed {cron_key(left[-1])}", left[-1], now, Outcome.MISSED, words)


# --- new data


def _data(schedule: Schedule, trigger: DataTrigger, seen: Seen) -> Reading:
    data = seen.data.get(schedule.id)
    if data is None:
        return Reading(schedule)
    known = replace(schedule, digest=data.digest, listing=data.listing, fresh=None)
    if not schedule.digest:  # the first look is what later ones are held against
        return Reading(known if data.digest else schedule)
    if data.listing == schedule.listing:
        return Reading(replace(schedule, fresh=None))
    fresh = schedule.fresh
    if fresh is None or fresh.listing != data.listing or fresh.since > seen.now:
        fresh = Fresh(data.listing, seen.now)
    if seen.now - fresh.since < trigger.settle or not data.digest:
        return Reading(replace(schedule, fresh=fresh))
    if data.digest == schedule.digest:  # written again as it was
        return Reading(known)
    # The number, as data may become again what it once was.
    number = schedule.changes + 1
    occasion = Occasion(f"data {number}", fresh.since, f"the data has changed, to {data.digest[:19]}")
    return Reading(replace(known, changes=number), (occasion,))


def wants_digest(schedule: Schedule, listing: str, now: float) -> bool:
    """Whether the content is to be read: only once for each listing that has settled, as it may be much."""
    trigger, fresh = schedule.spec.trigger, schedule.fresh
    if schedule.paused or not isinstance(trigger, DataTrigger):
        return False
    settled = fresh is not None and fresh.listing == listing and 0 <= now - fresh.since >= trigger.settle
    return not schedule.digest or (listing != schedule.listing and (settled or not trigger.settle))


# --- drift


def _drift(schedule: Schedule, trigger: DriftTrigger, seen: Seen) -> Reading:
    meant = [alert for alert in seen.alerts or () if _meant(schedule, trigger, alert)]
    if not meant or cooling(schedule, trigger, seen.now):
        return Reading(schedule)
    meant.sort(key=lambda alert: (alert.opened, alert.id))
    first, others = meant[0], len(meant) - 1
    words = f"{first.kind} alert about version {first.version}: {first.message}" + (f" (+{others})" if others else "")
    handled = (*schedule.handled, *(alert.id for alert in meant))[-HANDLED:]
    after = replace(schedule, handled=handled, cooled=seen.now)
    return Reading(after, (Occasion(f"alert {first.id}", first.opened, words),))


def _meant(schedule: Schedule, trigger: DriftTrigger, alert: Alert) -> bool:
    return (
        alert.model == schedule.model
        and trigger.version in (0, alert.version)
        and (not trigger.kinds or alert.kind in trigger.kinds)
        and alert.id not in schedule.handled
    )
