"""Cron expressions against the clock on the wall, above all where it jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.schedules.cron import Cron
from tests.unit.trainer.schedules.schedules import at

BERLIN = "Europe/Berlin"
SPRING = ("2026-03-28T22:00+00:00", "2026-03-29T23:00+00:00")  # 02:00 to 03:00 is not there
AUTUMN = ("2026-10-24T22:00+00:00", "2026-10-25T23:00+00:00")  # 02:00 to 03:00 is there twice


def _shown(expression: str, zone: str, span: tuple[str, str]) -> list[str]:
    found = Cron(expression, zone).between(at(span[0]) - 1, at(span[1]))
    return [datetime.fromtimestamp(instant, UTC).strftime("%dT%H:%M") for instant in found]


@pytest.mark.parametrize(
    ("expression", "zone", "span", "instants"),
    [
        # a time of the day that is not there comes when the clock goes forward, once
        ("30 2 * * *", BERLIN, SPRING, ["29T01:00"]),
        ("0,15,30 2 * * *", BERLIN, SPRING, ["29T01:00"]),
        ("*/30 2-3 * * *", BERLIN, SPRING, ["29T01:00", "29T01:30"]),
        # one that is there twice counts the first time
        ("30 2 * * *", BERLIN, AUTUMN, ["25T00:30"]),
        ("0 3 * * *", BERLIN, AUTUMN, ["25T02:00"]),
        (
            "0 */2 * * *",
            BERLIN,
            ("2026-10-25T00:00+00:00", "2026-10-25T05:00+00:00"),
            ["25T00:00", "25T03:00", "25T05:00"],
        ),
        # every hour is every hour
        (
            "30 * * * *",
            BERLIN,
            ("2026-03-29T00:00+00:00", "2026-03-29T03:00+00:00"),
            ["29T00:30", "29T01:30", "29T02:30"],
        ),
        (
            "30 * * * *",
            BERLIN,
            ("2026-10-25T00:00+00:00", "2026-10-25T03:00+00:00"),
            ["25T00:30", "25T01:30", "25T02:30"],
        ),
        # half an hour on Lord Howe: 02:00 becomes 02:30
        ("15 2 * * *", "Australia/Lord_Howe", ("2026-10-03T13:00+00:00", "2026-10-04T12:00+00:00"), ["03T15:30"]),
        # the clock goes forward at midnight
        ("0 0 * * *", "Asia/Beirut", ("2026-03-28T12:00+00:00", "2026-03-29T12:00+00:00"), ["28T22:00"]),
        # Samoa had no 30th of December 2011
        ("0 12 30 12 *", "Pacific/Apia", ("2011-12-01T00:00+00:00", "2012-01-31T00:00+00:00"), ["30T10:00"]),
    ],
)
def test_where_the_clock_jumps(expression: str, zone: str, span: tuple[str, str], instants: list[str]) -> None:
    assert _shown(expression, zone, span) == instants


def test_the_second_of_two_equal_times_is_found_from_between_them() -> None:
    """02:30 has passed once, and 02:10 is there for the second time."""
    assert Cron("30 * * * *", BERLIN).next_times(at("2026-10-25T00:45+00:00"), 2) == [
        at("2026-10-25T01:30+00:00"),
        at("2026-10-25T02:30+00:00"),
    ]


def test_days_of_month_and_week_are_joined_by_or() -> None:
    span = ("2026-06-01T00:00+00:00", "2026-06-16T00:00+00:00")
    assert _shown("0 6 15 * mon", "UTC", span) == ["01T06:00", "08T06:00", "15T06:00"]


MOMENTS = st.integers(int(at("2026-01-01T00:00+00:00")), int(at("2027-01-01T00:00+00:00")))
NEAR_JUMPS = st.sampled_from(SPRING + AUTUMN).flatmap(lambda t: st.integers(int(at(t)), int(at(t)) + 90_000))
ZONES = st.sampled_from([BERLIN, "UTC", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"])


@settings(max_examples=40, deadline=None)
@given(NEAR_JUMPS | MOMENTS, st.integers(0, 59), ZONES)
def test_every_hour_is_each_minute_that_the_wall_shows(start: int, minute: int, zone: str) -> None:
    """Held against all minutes of the span, looked up one after the other."""
    minutes = range(start - start % 60 + 60, start + 6 * 3600, 60)
    shown = [float(t) for t in minutes if datetime.fromtimestamp(t, ZoneInfo(zone)).minute == minute]
    assert Cron(f"{minute} * * * *", zone).between(start, minutes[-1]) == shown


@settings(max_examples=40, deadline=None)
@given(NEAR_JUMPS | MOMENTS, st.integers(0, 59), st.integers(0, 23), ZONES)
def test_a_time_of_the_day_comes_once_on_each_day(start: int, minute: int, hour: int, zone: str) -> None:
    found = Cron(f"{minute} {hour} * * *", zone).next_times(start, 5)
    days = [datetime.fromtimestamp(instant, ZoneInfo(zone)).date() for instant in found]
    assert days == [days[0] + timedelta(days=n) for n in range(5)]


@settings(max_examples=30, deadline=None)
@given(NEAR_JUMPS, st.integers(0, 20_000), st.integers(1, 12), ZONES)
def test_it_is_the_same_from_wherever_one_looks(start: int, later: int, count: int, zone: str) -> None:
    cron, end = Cron("*/20 1-3,12 * * *", zone), start + 100_000
    whole = cron.between(start, end)
    assert cron.between(start + later, end) == [instant for instant in whole if instant > start + later]
    assert cron.latest(start, end, count) == (whole[-count:], len(whole) > count)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "five fields"),
        ("* * * * * *", "five fields"),
        ("@reboot", "five fields"),
        ("61 * * * *", "cannot be read"),
        ("R * * * *", "cannot be read"),
        ("H * * * *", "cannot be read"),
        ("0 0 * * someday", "cannot be read"),
        ("0 0 30 2 *", "never due"),
    ],
)
def test_what_cannot_be_read_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cron(expression)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", ""])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Cron("@daily", zone)
