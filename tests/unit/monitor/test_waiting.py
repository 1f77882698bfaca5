"""Bad requests are judged in the order in which they began."""

from __future__ import annotations

import json

from services.monitor.intake.events import BadEvent
from services.monitor.judge.slow import Histogram
from services.monitor.waiting import MAX_EVENTS, MOST_SECONDS, TOLD_SECONDS, Waiting


def event(time: float, duration_ms: float = 5.0) -> BadEvent:
    return BadEvent(time, "gw", "lin", 2, f"at {time}", "", "INTERNAL", 200, "", duration_ms)


def times(waiting: Waiting, now: float) -> list[float]:
    return [found.time for found in waiting.due(now)]


def test_comes_in_the_order_of_the_beginning() -> None:
    waiting = Waiting(1.0)
    for time in (3.0, 1.0, 2.0):
        waiting.put(event(time))
    assert times(waiting, 2.1) == []
    assert times(waiting, 3.3) == [1.0, 2.0]
    assert times(waiting, 9.0) == [3.0]


def test_waits_as_long_as_requests_of_the_stable_version_may_take() -> None:
    assert Waiting.begin(None).patience == TOLD_SECONDS
    assert Waiting.begin(Histogram((10.0, 50.0), (999, 1000, 1000))).patience == TOLD_SECONDS + 0.01
    assert Waiting.begin(Histogram((10.0, 50.0), (900, 900, 1000))).patience == TOLD_SECONDS + 0.05


def test_waits_longer_once_one_took_longer_but_not_for_ever() -> None:
    waiting = Waiting.begin(None)
    waiting.put(event(1.0, 2000.0))
    assert waiting.patience == TOLD_SECONDS + 2
    waiting.put(event(1.0, 600_000.0))
    assert waiting.patience == MOST_SECONDS


def test_the_oldest_go_when_there_are_too_many() -> None:
    waiting = Waiting(20.0)
    for number in range(MAX_EVENTS + 2):
        waiting.put(event(number / 1e6))
    assert times(waiting, 0.1) == [0.0, 1e-6]


def test_comes_back_from_json_as_it_was() -> None:
    waiting = Waiting(1.0)
    waiting.put(event(2.0, 1500.0))
    waiting.put(event(1.0))
    again = Waiting.from_json(json.loads(json.dumps(waiting.to_json())))
    assert again.patience == waiting.patience
    assert list(again.due(99.0)) == list(waiting.due(99.0))
