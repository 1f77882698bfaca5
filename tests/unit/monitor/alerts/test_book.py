"""The lifecycle of alerts."""

from __future__ import annotations

import json

import pytest

from services.monitor.alerts.book import KEPT, UPDATE_SECONDS, AlertBook
from services.monitor.alerts.model import Finding, Scope, State

DRIFT, QUALITY = Scope("digits", 3, "drift"), Scope("digits", 3, "quality")
IMAGE = Finding("input/image", "700 of 784 features moved", 0.6)


def test_what_is_found_opens_one_alert() -> None:
    book = AlertBook()
    (alert,) = book.apply({DRIFT: [IMAGE]}, 10.0)
    assert (alert.name, alert.state, alert.open_time, alert.effect) == ("alerts/1", State.OPEN, 10.0, 0.6)
    assert book.apply({DRIFT: [IMAGE]}, 11.0) == []


def test_each_kind_and_feature_has_its_own() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE, IMAGE._replace(feature="output/p")], QUALITY: [IMAGE]}, 10.0)
    assert [(a.kind, a.feature) for a in book.alerts.values()] == [
        ("drift", "input/image"),
        ("drift", "output/p"),
        ("quality", "input/image"),
    ]


def test_it_is_resolved_when_it_is_clean_and_opens_anew_when_it_comes_back() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE]}, 10.0)
    (alert,) = book.apply({DRIFT: []}, 20.0)
    assert (alert.number, alert.state, alert.update_time) == (1, State.RESOLVED, 20.0)
    assert book.apply({DRIFT: []}, 21.0) == []
    (again,) = book.apply({DRIFT: [IMAGE]}, 30.0)
    assert (again.number, again.state) == (2, State.OPEN)


def test_what_was_not_looked_at_stays_as_it_is() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE]}, 10.0)
    assert book.apply({QUALITY: [], Scope("other", 3, "drift"): []}, 20.0) == []
    assert book.apply({}, 30.0) == []


def test_an_acknowledged_one_keeps_its_keeper_and_is_resolved_all_the_same() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE]}, 10.0)
    assert book.acknowledge(1, "amira", 11.0).acknowledged_by == "amira"
    assert book.acknowledge(1, "bo", 12.0).acknowledged_by == "amira"
    assert book.apply({DRIFT: [IMAGE]}, 13.0) == []
    (alert,) = book.apply({DRIFT: []}, 14.0)
    assert (alert.state, alert.acknowledged_by) == (State.RESOLVED, "amira")
    assert book.acknowledge(1, "bo", 15.0).state is State.RESOLVED


def test_one_resolved_by_hand_comes_back_only_after_it_was_clean() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE]}, 10.0)
    assert book.resolve(1, 11.0).state is State.RESOLVED
    assert book.apply({DRIFT: [IMAGE]}, 12.0) == []
    assert book.apply({DRIFT: []}, 13.0) == []
    assert len(book.apply({DRIFT: [IMAGE]}, 14.0)) == 1


def test_its_words_change_now_and_then() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE]}, 10.0)
    worse = IMAGE._replace(message="760 of 784 features moved", effect=0.7)
    assert book.apply({DRIFT: [worse]}, 11.0) == []
    (alert,) = book.apply({DRIFT: [worse]}, 10.0 + UPDATE_SECONDS)
    assert (alert.number, alert.message, alert.effect, alert.open_time) == (1, worse.message, 0.7, 10.0)


def test_history_is_bounded_and_numbers_are_never_used_again() -> None:
    book = AlertBook()
    for time in range(KEPT + 50):
        book.apply({DRIFT: [IMAGE]}, time)
        book.apply({DRIFT: []}, time + 0.5)
    assert len(book.alerts) == KEPT
    (alert,) = book.apply({DRIFT: [IMAGE]}, 1e6)
    assert alert.number == KEPT + 51


def test_it_is_the_same_after_being_written() -> None:
    book = AlertBook()
    book.apply({DRIFT: [IMAGE], QUALITY: [IMAGE]}, 10.0)
    book.acknowledge(1, "amira", 11.0)
    book.resolve(2, 12.0)
    again = AlertBook.from_json(json.loads(json.dumps(book.to_json())))
    assert again.alerts == book.alerts
    assert again.apply({DRIFT: [IMAGE], QUALITY: [IMAGE]}, 13.0) == []
    (alert,) = again.apply({DRIFT: [IMAGE._replace(feature="input/y")]}, 14.0)[1:]
    assert alert.number == 3


def test_an_unknown_one_is_an_error() -> None:
    with pytest.raises(KeyError):
        AlertBook().acknowledge(1, "amira", 1.0)
