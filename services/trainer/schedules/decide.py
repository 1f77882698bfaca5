"""What schedules do next: from what is kept and what is seen to decisions, each with its sentences. Pure.

A decision is kept as one transaction, and only if the schedule still is as it was: how far the trigger was read, the
pipelines that it starts, and the wish to stop in those that it stops. So nothing fires twice and nothing is lost,
whoever dies when; a pipeline's id is made of the fire's key besides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.trainer.pipelines import transitions as pipelines
from services.trainer.pipelines.state import Pipeline
from services.trainer.schedules.observation import Seen
from services.trainer.schedules.spec import CronTrigger, DataTrigger, DriftTrigger, Overlap
from services.trainer.schedules.state import Fire, Occasion, Outcome, Schedule
from services.trainer.schedules.triggers import cooling, delay, manual_key, read

CLOCK_AHEAD = 3600.0  # read so much further than now: the clock was wrong


@dataclass(frozen=True, slots=True)
class Decision:
    """Of one schedule in one round. `after` alone may differ: a look that is remembered."""

    before: Schedule
    after: Schedule
    fires: tuple[Fire, ...] = ()
    starts: tuple[Pipeline, ...] = ()
    stops: tuple[str, ...] = ()  # pipelines

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(f"{self.before.name} {fire.outcome.value}: {fire.sentence}" for fire in self.fires)


def decide(schedules: Iterable[Schedule], seen: Seen) -> list[Decision]:
    """Nothing for schedules that stay as they are."""
    decisions = [_Round(schedule, seen).run() for schedule in schedules]
    return [decision for decision in decisions if decision.after != decision.before or decision.fires]


def pipeline_id(schedule: Schedule, key: str) -> str:
    """The one pipeline of a fire; another one for a schedule that was made anew under the same name."""
    identity = f"{schedule.id}\n{schedule.created!r}\n{key}"
    return f"{schedule.id[:38].rstrip('._-')}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def manual_pipeline(schedule: Schedule, request_id: str) -> str:
    """The pipeline of somebody's request."""
    return pipeline_id(schedule, manual_key(request_id))


def next_times(schedule: Schedule, now: float, count: int = 5) -> list[float]:
    """When it fires next by the clock, its delay included; nothing while paused, and for other triggers than cron."""
    trigger = schedule.spec.trigger
    if schedule.paused or not isinstance(trigger, CronTrigger):
        return []
    behind = delay(schedule)
    return [due + behind for due in trigger.cron.next_times(max(schedule.cursor, now - behind), count)]


def standing(schedule: Schedule, seen: Seen) -> str:
    """What it waits for, in the words of this moment."""
    trigger, now = schedule.spec.trigger, seen.now
    if schedule.paused:
        return f"paused by {schedule.paused_by}; fires only when asked"
    if schedule.queue:
        return (
            f"{len(schedule.queue)} wait until {', '.join(seen.running.get(schedule.id, ())) or 'the next look'} ends"
        )
    if isinstance(trigger, CronTrigger):
        return _by_the_clock(schedule, trigger, now)
    if isinstance(trigger, DataTrigger):
        settling = "settle" if schedule.fresh else "change"
        return f"waits for the data to {settling}" if schedule.digest else "looks at the data for the first time"
    if isinstance(trigger, DriftTrigger):
        return _by_alerts(schedule, trigger, seen)
    return "fires only when asked"


def _by_the_clock(schedule: Schedule, trigger: CronTrigger, now: float) -> str:
    if schedule.cursor > now + CLOCK_AHEAD:
        read_to = trigger.cron.shown(schedule.cursor)
        return f"the clock was wrong: it is read up to {read_to}; pause and resume it to begin from now"
    following = next_times(schedule, now, 1)
    return f"fires next at {trigger.cron.shown(following[0])}" if following else "is not due for 50 years"


def _by_alerts(schedule: Schedule, trigger: DriftTrigger, seen: Seen) -> str:
    if seen.alerts is None:
        return "the monitor does not answer; nothing fires meanwhile"
    if left := cooling(schedule, trigger, seen.now):
        return f"has fired; alerts count again in {left:.0f} s"
    return "waits for an alert"


class _Round:
    """One look at one schedule: at most one pipeline starts in it."""

    def __init__(self, schedule: Schedule, seen: Seen) -> None:
        self._before, self._now = schedule, seen.now
        self._reading = read(schedule, seen)
        self._running = seen.running.get(schedule.id, ())
        self._queue = list(schedule.queue)
        self._fires = list(self._reading.missed)
        self._starts: list[Pipeline] = []
        self._stops: tuple[str, ...] = ()

    def run(self) -> Decision:
        occasions = self._reading.occasions
        if self._before.spec.overlap is Overlap.CANCEL:
            self._replace(occasions)
        self._from_queue()
        if self._before.spec.overlap is not Overlap.CANCEL:
            for occasion in occasions:
                self._admit(occasion)
        after = replace(self._reading.schedule, queue=tuple(self._queue))
        return Decision(self._before, after, tuple(self._fires), tuple(self._starts), self._stops)

    @property
    def _busy(self) -> str:
        """The pipelines that are in the way."""
        return ", ".join((*self._running, *(pipeline.id for pipeline in self._starts)))

    @property
    def _waiting(self) -> list[Occasion]:
        """What is queued and may start; of a schedule that is paused only what people asked for."""
        return [each for each in self._queue if not self._before.paused or each.asked_by]

    def _from_queue(self) -> None:
        if not self._busy and (waiting := self._waiting):
            self._queue.remove(waiting[0])
            self._start(waiting[0])

    def _admit(self, occasion: Occasion) -> None:
        spec = self._before.spec
        if not self._busy and not self._waiting:
            self._start(occasion)
        elif spec.overlap is Overlap.SKIP and self._busy:
            self._tell(occasion, Outcome.SKIPPED, f"{self._busy} still runs")
        elif len(self._waiting) < self._room(occasion):
            self._queue.append(occasion)
            self._tell(occasion, Outcome.QUEUED, f"waits for {self._busy or 'its turn'}")
        else:
            self._tell(occasion, Outcome.SKIPPED, f"{self._busy or 'an earlier one'} still runs, and another one waits")

    def _room(self, occasion: Occasion) -> int:
        trigger = self._before.spec.trigger
        return trigger.limit if occasion.late and isinstance(trigger, CronTrigger) else 1

    def _replace(self, occasions: tuple[Occasion, ...]) -> None:
        """The latest takes the place of all that wait; what runs is to go."""
        if not occasions:
            return
        latest = occasions[-1]
        for earlier in (*self._queue, *occasions[:-1]):
            self._tell(earlier, Outcome.SKIPPED, "a later one takes its place")
        self._queue = [latest]
        if self._running:
            self._stops = self._running
            self._tell(latest, Outcome.QUEUED, f"{self._busy} is stopped for it")

    def _start(self, occasion: Occasion) -> None:
        schedule, id = self._before, pipeline_id(self._before, occasion.key)
        owner, origin = occasion.asked_by or schedule.owner, f"{schedule.name}: {occasion.why}"
        plan = schedule.spec.plan
        self._starts.append(
            pipelines.start(id, plan, owner, self._now, origin=origin, schedule=schedule.id, fire=occasion.key)
        )
        self._fires.append(Fire(occasion.key, occasion.due, self._now, Outcome.STARTED, occasion.why, id))

    def _tell(self, occasion: Occasion, outcome: Outcome, why: str) -> None:
        sentence = f"{occasion.why}; {why}"
        self._fires.append(Fire(occasion.key, occasion.due, self._now, outcome, sentence))
