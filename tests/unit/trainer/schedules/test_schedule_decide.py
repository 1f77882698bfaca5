"""What each trigger and each policy does, one case at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bmase.reasons import Reason
from pydantic import ValidationError

from services.kit.errors import DomainError
from services.trainer.schedules import transitions as tr
from services.trainer.schedules.decide import Decision, decide, next_times, pipeline_id, standing
from services.trainer.schedules.observation import Alert, DataSeen, Seen
from services.trainer.schedules.spec import ScheduleSpec
from services.trainer.schedules.state import Outcome, Schedule, from_json, to_json
from services.trainer.schedules.triggers import delay, wants_digest
from tests.unit.trainer.schedules.schedules import at, schedule, spec

NOW = at("2026-06-01T12:00+00:00")
HOURLY: dict[str, Any] = {"kind": "cron", "expression": "0 * * * *"}


def _one(schedule: Schedule, now: float, **seen: object) -> Decision:
    (decision,) = decide([schedule], Seen(now, **seen))  # type: ignore[arg-type]
    return decision


def _data(digest: str, listing: str = "") -> dict[str, DataSeen]:
    return {"nightly": DataSeen(listing or f"listing {digest}", digest)}


def _outcomes(decision: Decision) -> list[str]:
    return [fire.outcome.value for fire in decision.fires]


# --- overlap


def test_skip_tells_what_is_in_the_way() -> None:
    decision = _one(schedule("skip", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)})
    assert decision.sentences == ("schedules/nightly skipped: due at 2026-06-01 12:00:00+00:00; p1 still runs",)
    assert not decision.starts


def test_one_is_queued_and_starts_when_the_way_is_free() -> None:
    first = _one(schedule("queue", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)})
    assert _outcomes(first) == ["queued"]
    second = _one(first.after, NOW + 3600, running={"nightly": ("p1",)})
    assert _outcomes(second) == ["skipped"]
    third = _one(second.after, NOW + 3700)
    assert [p.fire for p in third.starts] == ["cron 2026-06-01T12:00:00Z"]
    assert third.after.queue == ()


def test_cancel_stops_the_running_one_and_only_the_latest_starts_after_it() -> None:
    first = _one(schedule("cancel", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)})
    assert (first.stops, _outcomes(first), first.starts) == (("p1",), ["queued"], ())
    second = _one(first.after, NOW + 3600, running={"nightly": ("p1",)})
    assert _outcomes(second) == ["skipped", "queued"]
    third = _one(second.after, NOW + 3700)
    assert [p.fire for p in third.starts] == ["cron 2026-06-01T13:00:00Z"]


# --- cron


@pytest.mark.parametrize(
    ("catch_up", "now", "outcomes"),
    [
        ("none", NOW + 1800, ["missed"]),
        ("last", NOW + 1800, ["missed", "started"]),
        ("all", NOW + 1800, ["missed", "started", "queued", "queued"]),
        # One that is due just now does the work of those before it, and is never itself missed.
        ("none", NOW + 5, ["missed", "started"]),
        ("last", NOW + 5, ["missed", "started"]),
        ("all", NOW + 5, ["missed", "started", "queued", "queued", "skipped"]),
    ],
)
def test_what_was_missed(catch_up: str, now: float, outcomes: list[str]) -> None:
    decision = _one(schedule("queue", NOW - 36_000, catch_up=catch_up, limit=3, **HOURLY), now)
    assert _outcomes(decision) == outcomes
    assert decide([decision.after], Seen(now, running={"nightly": ("p",)})) == []


@pytest.mark.parametrize(("seconds", "outcome"), [(59.5, "started"), (60.0, "missed")])
def test_from_a_minute_on_it_is_late(seconds: float, outcome: str) -> None:
    decision = _one(schedule("queue", NOW - 1, catch_up="none", **HOURLY), NOW + seconds)
    assert _outcomes(decision) == [outcome]


def test_a_year_without_a_leader_is_one_line() -> None:
    kept = schedule("queue", NOW - 365 * 86_400, kind="cron", expression="* * * * *", catch_up="last")
    decision = _one(kept, NOW + 0.5)
    assert _outcomes(decision) == ["missed", "started"]
    assert decision.fires[0].sentence.startswith("more than ")
    assert decision.starts[0].fire == "cron 2026-06-01T12:00:00Z"


def test_a_clock_that_goes_back_fires_nothing_again() -> None:
    decision = _one(schedule("queue", NOW - 1, **HOURLY), NOW)
    assert decide([decision.after], Seen(NOW - 7200)) == []
    assert decide([decision.after], Seen(NOW)) == []


def test_a_clock_that_was_far_ahead_is_told_and_mended() -> None:
    ahead = replace(schedule("queue", NOW, **HOURLY), cursor=NOW + 1e6)
    assert "the clock was wrong" in standing(ahead, Seen(NOW))
    mended = tr.resume(tr.pause(ahead, "ann"), NOW)
    assert standing(mended, Seen(NOW)) == "fires next at 2026-06-01 13:00:00+00:00"


def test_jitter_is_one_delay_for_each_schedule() -> None:
    several = [schedule("queue", NOW - 1, id=f"s{n}", jitter=600.0, **HOURLY) for n in range(50)]
    delays = [delay(each) for each in several]
    assert all(0 <= each < 600 for each in delays)
    assert len(set(delays)) > 30
    one = max(several, key=delay)
    assert next_times(one, NOW - 1, 2) == [NOW + delay(one), NOW + 3600 + delay(one)]
    assert decide([one], Seen(NOW + delay(one) - 1)) == []
    assert len(_one(one, NOW + delay(one)).starts) == 1


# --- pause


def test_a_paused_schedule_fires_only_when_asked() -> None:
    paused = tr.pause(schedule("queue", NOW - 1, **HOURLY), "ann")
    assert decide([paused], Seen(NOW + 36_000)) == []
    assert next_times(paused, NOW) == []
    asked = tr.ask(paused, "r1", "bob", NOW + 36_000, "for the audit")
    decision = _one(asked, NOW + 36_000)
    assert [(p.owner, p.origin) for p in decision.starts] == [("bob", "schedules/nightly: for the audit")]


def test_times_of_a_pause_are_not_caught_up() -> None:
    resumed = tr.resume(tr.pause(schedule("queue", NOW - 1, **HOURLY), "ann"), NOW + 7500)
    assert decide([resumed], Seen(NOW + 7500)) == []
    assert len(_one(resumed, NOW + 10_800).starts) == 1


def test_what_is_queued_waits_while_paused() -> None:
    queued = _one(schedule("queue", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)}).after
    paused = tr.pause(queued, "ann")
    assert decide([paused], Seen(NOW + 60)) == []
    assert len(_one(tr.resume(paused, NOW + 60), NOW + 61).starts) == 1


def test_what_waits_for_the_end_of_a_pause_is_in_nobody_s_way() -> None:
    queued = _one(schedule("queue", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)}).after
    paused = tr.pause(queued, "ann")
    asked = _one(tr.ask(paused, "r1", "bob", NOW + 60), NOW + 60)
    assert [(p.fire, p.owner) for p in asked.starts] == [("manual r1", "bob")]
    behind = _one(tr.ask(paused, "r2", "bob", NOW + 60), NOW + 60, running={"nightly": ("p2",)})
    assert _outcomes(behind) == ["queued"]
    resumed = tr.resume(asked.after, NOW + 90)
    assert [p.fire for p in _one(resumed, NOW + 91).starts] == ["cron 2026-06-01T12:00:00Z"]


# --- manual


def test_the_same_request_is_one_ask() -> None:
    asked = tr.ask(schedule(kind="manual"), "r1", "bob", NOW)
    assert tr.ask(asked, "r1", "bob", NOW + 1) == asked
    decision = _one(asked, NOW)
    assert [p.id for p in decision.starts] == [pipeline_id(asked, "manual r1")]
    assert decision.after.asks == ()


def test_asks_are_bounded() -> None:
    kept = schedule(kind="manual")
    for n in range(tr.MAX_ASKS):
        kept = tr.ask(kept, f"r{n}", "bob", NOW)
    with pytest.raises(DomainError) as refused:
        tr.ask(kept, "another", "bob", NOW)
    assert refused.value.reason is Reason.OVERLOADED


# --- new data


def test_data_fires_when_it_has_changed_and_settled() -> None:
    kept = _one(schedule(kind="data", settle=60), NOW, data=_data("a")).after
    assert decide([kept], Seen(NOW + 1, data=_data("a"))) == []
    assert decide([kept], Seen(NOW + 1)) == []  # a source that does not answer says nothing
    changing = _one(kept, NOW + 10, data=_data("b"))
    assert not changing.fires
    again = _one(changing.after, NOW + 60, data=_data("c"))  # the upload goes on
    assert decide([again.after], Seen(NOW + 119, data=_data("c"))) == []
    decision = _one(again.after, NOW + 120, data=_data("c"))
    assert [p.fire for p in decision.starts] == ["data 1"]
    assert decide([decision.after], Seen(NOW + 999, data=_data("c"))) == []


def test_content_is_read_once_for_each_listing_that_has_settled() -> None:
    new = schedule(kind="data", settle=60)
    assert wants_digest(new, "l1", NOW)
    kept = _one(new, NOW, data=_data("a", "l1")).after
    assert not wants_digest(kept, "l1", NOW + 60)
    assert not wants_digest(kept, "l2", NOW + 60)
    changing = _one(kept, NOW + 60, data=_data("", "l2")).after
    assert not wants_digest(changing, "l2", NOW + 119)
    assert not wants_digest(changing, "l3", NOW + 120)
    assert wants_digest(changing, "l2", NOW + 120)
    assert decide([changing], Seen(NOW + 120, data=_data("", "l2"))) == []  # it could not be read
    same = _one(changing, NOW + 120, data=_data("a", "l2"))  # written again as it was
    assert not same.fires
    assert not wants_digest(same.after, "l2", NOW + 999)
    assert not wants_digest(tr.pause(new, "bob"), "l1", NOW)
    assert not wants_digest(schedule(**HOURLY), "l1", NOW)


def test_data_that_is_as_it_was_before_is_another_change() -> None:
    kept = schedule(kind="data", settle=0)
    fires: list[str] = []
    for n, digest in enumerate("abab"):
        decision = _one(kept, NOW + n, data=_data(digest))
        kept, fires = decision.after, fires + [p.fire for p in decision.starts]
    assert fires == ["data 1", "data 2", "data 3"]
    assert len({pipeline_id(kept, key) for key in fires}) == 3


def test_other_data_by_another_wish_is_no_change() -> None:
    kept = _one(schedule(kind="data", settle=0), NOW, data=_data("a")).after
    wish = spec(kind="data", settle=0)
    job = wish.plan.job.model_copy(update={"data": ()})
    moved = tr.change(kept, wish.model_copy(update={"plan": wish.plan.model_copy(update={"job": job})}), NOW)
    assert not _one(moved, NOW, data=_data("b")).fires


def test_data_that_has_changed_is_news_whatever_else_is_wished() -> None:
    kept = _one(schedule(kind="data", settle=600), NOW, data=_data("a")).after
    changing = _one(kept, NOW + 10, data=_data("b")).after
    sooner = tr.change(changing, spec(kind="data", settle=60), NOW + 20)
    assert [p.fire for p in _one(sooner, NOW + 70, data=_data("b")).starts] == ["data 1"]


def test_due_times_count_whatever_else_is_wished() -> None:
    kept = schedule("queue", NOW - 1, **HOURLY)
    other = spec("skip", **HOURLY)
    job = other.plan.job.model_copy(update={"data": ()})
    moved = tr.change(kept, other.model_copy(update={"plan": other.plan.model_copy(update={"job": job})}), NOW + 0.5)
    assert len(_one(moved, NOW + 1).starts) == 1
    assert not decide([tr.change(kept, spec(kind="cron", expression="30 * * * *"), NOW + 0.5)], Seen(NOW + 1))


def test_a_job_without_data_has_none_to_wait_for() -> None:
    plan = {"job": {"model": "models/digits", "recipe": "tabular"}}
    with pytest.raises(ValidationError, match="names no data"):
        ScheduleSpec.model_validate({"plan": plan, "trigger": {"kind": "data"}})


# --- drift


def _alert(id: str, opened: float = NOW, **fields: object) -> Alert:
    given = {"model": "digits", "version": 3, "kind": "drift", "message": "KS 0.4"} | fields
    return Alert(id, opened=opened, **given)  # type: ignore[arg-type]


def test_an_alert_fires_once_and_cools_down() -> None:
    kept = schedule(kind="drift", cool_down=100)
    first = _one(kept, NOW, alerts=(_alert("a"), _alert("b", NOW - 1)))
    assert [p.fire for p in first.starts] == ["alert b"]
    assert first.fires[0].sentence == "drift alert about version 3: KS 0.4 (+1)"
    both = (_alert("a"), _alert("b"), _alert("c"))
    assert decide([first.after], Seen(NOW + 99, alerts=both)) == []
    assert standing(first.after, Seen(NOW + 99)) == "has fired; alerts count again in 1 s"
    later = _one(first.after, NOW + 100, alerts=both)  # c is still open
    assert [p.fire for p in later.starts] == ["alert c"]
    assert decide([later.after], Seen(NOW + 1000, alerts=both)) == []


@pytest.mark.parametrize("fields", [{"model": "other"}, {"version": 2}, {"kind": "outcomes"}])
def test_only_what_is_meant_fires(fields: dict[str, Any]) -> None:
    kept = schedule(kind="drift", version=3, kinds=["drift", "quality"])
    assert decide([kept], Seen(NOW, alerts=(_alert("a", **fields),))) == []
    assert len(_one(kept, NOW, alerts=(_alert("a"),)).starts) == 1


def test_a_monitor_that_is_silent_fires_nothing() -> None:
    kept = schedule(kind="drift")
    assert decide([kept], Seen(NOW, alerts=None)) == []
    assert "does not answer" in standing(kept, Seen(NOW, alerts=None))


# --- what is kept


def test_it_is_kept_as_a_whole() -> None:
    kept = _one(schedule("queue", NOW - 1, **HOURLY), NOW, running={"nightly": ("p1",)}).after
    assert kept.queue
    assert from_json(kept.id, to_json(kept)) == kept
    assert _one(from_json(kept.id, to_json(kept)), NOW + 1).fires[0].outcome is Outcome.STARTED


def test_what_cannot_be_read_is_told() -> None:
    with pytest.raises(DomainError, match="another version"):
        from_json("s", '{"id": 3}')


@pytest.mark.parametrize(
    "trigger", [{"kind": "cron", "expression": "61 * * * *"}, {"kind": "moon"}, {**HOURLY, "zone": "X"}]
)
def test_a_wrong_wish_is_refused(trigger: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**trigger)
