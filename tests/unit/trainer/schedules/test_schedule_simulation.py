"""Schedules over clocks that jump, two leaders at once, and deaths between deciding and keeping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.schedules.decide import Decision, decide, pipeline_id
from services.trainer.schedules.observation import Seen
from services.trainer.schedules.spec import CronTrigger
from services.trainer.schedules.state import Fire, Outcome, Schedule
from services.trainer.schedules.triggers import LATE, cron_key, delay
from tests.unit.trainer.schedules.schedules import at, schedule

START = at("2026-10-24T20:00+00:00")  # the clock goes back in the night that follows
PERIOD = 1800
DUE = [START + PERIOD * n for n in range(-200, 1200)]  # of */30, as the wall shows each half hour of real time


@dataclass
class Store:
    """What is kept: decisions only as a whole, and only upon what they were made from."""

    kept: Schedule
    running: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    lines: dict[str, Fire] = field(default_factory=dict)

    def commit(self, decision: Decision) -> bool:
        if decision.before != self.kept:
            return False
        self.kept = decision.after
        for pipeline in decision.starts:
            self.started.append(pipeline.id)
            self.running.append(pipeline.id)
        self.lines |= {fire.key: fire for fire in decision.fires}
        return True


def _look(store: Store, now: float) -> Decision | None:
    found = decide([store.kept], Seen(now, running={store.kept.id: tuple(store.running)}))
    return found[0] if found else None


def _expected(before: Schedule, now: float) -> tuple[list[str], int]:
    """Keys that the catch-up policy lets through, and how many it does not, counted one by one."""
    trigger, until = before.spec.trigger, now - delay(before)
    assert isinstance(trigger, CronTrigger)
    due = [instant for instant in DUE if before.cursor < instant <= until]
    late = [instant for instant in due if instant <= until - LATE]
    allowed = {"none": 0, "last": int(len(late) == len(due)), "all": trigger.limit}[trigger.catch_up.value]
    through = late[max(0, len(late) - allowed) :] if allowed else []
    punctual = [instant for instant in due if instant > until - LATE]
    return [cron_key(instant) for instant in through + punctual], len(late) - len(through)


def _check(decision: Decision, now: float) -> None:
    keys, left = _expected(decision.before, now)
    waiting = {occasion.key for occasion in decision.before.queue}
    lines = {fire.key: fire for fire in decision.fires}
    missed = [fire for fire in decision.fires if fire.outcome is Outcome.MISSED]
    assert [key for key in lines if key not in waiting and lines[key] not in missed] == keys
    assert bool(left) == bool(missed)
    assert len(decision.starts) <= 1
    assert not (decision.starts and decision.stops)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([1.0, 20.0, 59.0, 600.0, 1800.0, 7200.0, 90_000.0])),
        st.tuples(st.just("jump"), st.sampled_from([-90_000.0, -3600.0, -30.0, 3600.0, 200_000.0])),
        st.tuples(st.sampled_from(["look", "keep", "die"]), st.sampled_from([0.0, 1.0])),
        st.tuples(st.sampled_from(["end", "round", "both"]), st.just(0.0)),
    ),
    min_size=8,
    max_size=50,
)
OVERLAP = st.sampled_from(["skip", "queue", "cancel"])
CATCH_UP = st.sampled_from(["none", "last", "all"])


@settings(max_examples=60, deadline=None)
@given(STEPS, OVERLAP, CATCH_UP, st.integers(1, 5), st.sampled_from([0.0, 900.0]))
def test_whatever_happens_nothing_fires_twice_and_policies_hold(
    steps: list[tuple[str, float]], overlap: str, catch_up: str, limit: int, jitter: float
) -> None:
    wish: dict[str, Any] = {"kind": "cron", "expression": "*/30 * * * *", "zone": "Europe/Berlin", "catch_up": catch_up}
    store = Store(schedule(overlap, START + 7, limit=limit, jitter=jitter, **wish))
    now, in_hand = START + 7, {0.0: (None, 0.0), 1.0: (None, 0.0)}  # what each leader has decided, and when
    for what, value in steps:
        now += value if what in ("pass", "jump") else 0.0
        if what == "look":
            in_hand[value] = (_look(store, now), now)  # type: ignore[assignment]
        elif what == "die":
            in_hand[value] = (None, 0.0)
        elif what == "end" and store.running:
            store.running.pop(0)
        elif what == "both" and (decision := _look(store, now)) is not None:
            assert [store.commit(decision), store.commit(decision)] == [True, False]
        elif what in ("keep", "round"):
            decision, decided = in_hand[value] if what == "keep" else (_look(store, now), now)
            if decision is not None and store.commit(decision):
                _check(decision, decided)
        assert len(set(store.started)) == len(store.started)
        assert len(store.running) <= 1
        assert _told(store)


def _told(store: Store) -> bool:
    """What is queued is told as queued, what started as started."""
    queued = {key for key, fire in store.lines.items() if fire.outcome is Outcome.QUEUED}
    started = {fire.pipeline for fire in store.lines.values() if fire.outcome is Outcome.STARTED}
    return queued == {occasion.key for occasion in store.kept.queue} and started == set(store.started)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([60.0, 1800.0, 4000.0, 20_000.0]), min_size=1, max_size=12), st.data())
def test_all_that_was_missed_is_caught_up_once(gaps: list[float], data: st.DataObject) -> None:
    """Leaders come and go, each may die before it keeps what it decided; the queue is worked off in order."""
    wish: dict[str, Any] = {"kind": "cron", "expression": "*/30 * * * *", "zone": "Europe/Berlin"}
    wish |= {"catch_up": "all", "limit": 100}
    store, now = Store(schedule("queue", START, **wish)), START
    for gap in gaps:
        now += gap
        decision = _look(store, now)
        if decision is not None and data.draw(st.booleans()):
            store.commit(decision)
    while (decision := _look(store, now)) is not None or store.running:
        if decision is not None:
            store.commit(decision)
        store.running.clear()
    due = [instant for instant in DUE if START < instant <= now]
    # A time that is seen in time while others wait is skipped: one waits already.
    skipped = {key for key, fire in store.lines.items() if fire.outcome is Outcome.SKIPPED}
    wanted = [pipeline_id(store.kept, cron_key(instant)) for instant in due if cron_key(instant) not in skipped]
    assert store.started == wanted
    assert len(skipped) <= sum(1 for gap in gaps if gap >= 60.0)


def test_a_leader_every_second_fires_at_each_due_time_and_only_then() -> None:
    store = Store(schedule("queue", START - 1, kind="cron", expression="*/30 * * * *", catch_up="none"))
    at_times = []
    for second in range(0, 4 * PERIOD + 10, 10):
        decision = _look(store, START + second)
        if decision is not None:
            store.commit(decision)
            at_times += [START + second] * len(decision.starts)
            store.running.clear()
    assert at_times == [START + PERIOD * n for n in range(5)]
