"""Increments from pages, over restarts of Envoy and of the monitor."""

from __future__ import annotations

import json
import re

import pytest

from services.monitor.counters import Ledger, Page, Tally, parse, stats_filter, tallies

PAGE = """# TYPE envoy_bmase_requests counter
envoy_bmase_requests{model="lin",version="1",code="200",status="OK",via="weight"} 90
envoy_bmase_requests{model="lin",version="1",code="200",status="INTERNAL",via="weight"} 3
envoy_bmase_requests{model="lin",version="1",code="200",status="INVALID_ARGUMENT",via="weight"} 5
envoy_bmase_requests{model="lin",version="1",code="503",status="-",via="weight"} 2
envoy_bmase_requests{model="lin",version="2",code="200",status="OK",via="version"} 1000
envoy_bmase_requests{model="lin",version="",code="404",status="NOT_FOUND",via="weight"} 7
# TYPE envoy_bmase_duration histogram
envoy_bmase_duration_bucket{model="lin",version="1",via="weight",le="1"} 60
envoy_bmase_duration_bucket{model="lin",version="1",via="weight",le="2"} 80
envoy_bmase_duration_bucket{model="lin",version="1",via="weight",le="+Inf"} 100
envoy_bmase_duration_sum{model="lin",version="1",via="weight"} 123
envoy_bmase_duration_count{model="lin",version="1",via="weight"} 100
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 42
"""
LIN = ("lin", 1)


def page(ok: int, bad: int = 0, uptime: float | None = None, model: str = "lin") -> Page:
    requests = {(model, 1, "200", "OK"): ok, (model, 1, "200", "INTERNAL"): bad}
    return Page({series: count for series, count in requests.items() if count}, {}, uptime)


def since(ledger: Ledger, seen: Page, now: float = 0.0) -> tuple[int, int]:
    """Requests and errors of version 1 since the last page."""
    tally = ledger.take(seen, ["lin"], now).increments.get(LIN, Tally())
    return tally.requests, tally.errors


def test_only_weighted_traffic_of_versions_is_read() -> None:
    seen = parse(PAGE)
    assert seen.uptime == 42
    assert tallies(seen) == {LIN: Tally(100, 5, {1.0: 60, 2.0: 20, float("inf"): 20})}


def test_a_broken_page_is_no_page() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse(PAGE.replace("} 90", "} ninety"))
    with pytest.raises(ValueError, match="invalid literal"):
        parse(PAGE.replace('le="2"} 80', 'le="2"} '))


def test_the_filter_takes_these_models_and_no_others() -> None:
    pattern = re.compile(stats_filter(["lin", "a.b"]))
    assert pattern.match("bmase.requests.model.lin.version.1.code.200.status.OK.via.weight")
    assert pattern.match("bmase.duration.model.a.b.version.2.via.weight")
    assert pattern.match("server.uptime")
    assert not pattern.match("bmase.requests.model.line.version.1.code.200.status.OK.via.weight")
    assert not pattern.match("bmase.duration.model.aXb.version.2.via.weight")
    assert not pattern.match("bmase.duration.model.lin.version.2.via.version")


def test_the_first_page_is_where_counting_begins() -> None:
    ledger = Ledger()
    assert since(ledger, page(1000, 50)) == (0, 0)
    assert since(ledger, page(1010, 51)) == (11, 1)
    assert since(ledger, page(1010, 51)) == (0, 0)


def test_a_series_that_appears_later_began_at_zero() -> None:
    ledger = Ledger()
    since(ledger, page(10))
    assert since(ledger, page(10, 4)) == (4, 4)


def test_a_model_that_is_compared_later_begins_at_its_own_first_page() -> None:
    ledger = Ledger()
    ledger.take(page(10), ["lin"], 0)
    both = Page({**page(12).requests, **page(500, model="other").requests}, {})
    taken = ledger.take(both, ["lin", "other"], 1)
    assert {arm: tally.requests for arm, tally in taken.increments.items()} == {LIN: 2}
    later = Page({**page(12).requests, **page(503, model="other").requests}, {})
    assert ledger.take(later, ["lin", "other"], 2).increments[("other", 1)].requests == 3


def test_a_model_can_be_begun_again() -> None:
    ledger = Ledger()
    since(ledger, page(100))
    ledger.forget("lin")
    assert since(ledger, page(150)) == (0, 0)
    assert since(ledger, page(151)) == (1, 0)


def test_values_that_fell_mean_a_new_life_in_which_all_is_new() -> None:
    ledger = Ledger()
    since(ledger, page(100, 10))
    taken = ledger.take(page(7, 1), ["lin"], 1)
    assert taken.reset
    assert taken.increments[LIN].requests == 8
    assert not ledger.take(page(9, 1), ["lin"], 2).reset


def test_a_new_life_is_seen_by_its_age_although_no_value_fell() -> None:
    """After a long absence the new Envoy may have counted more than the old one ever did."""
    ledger = Ledger()
    since(ledger, page(100, uptime=50), now=1000)
    taken = ledger.take(page(5000, uptime=100), ["lin"], 2000)
    assert taken.reset
    assert taken.increments[LIN].requests == 5000


def test_the_same_life_is_not_taken_for_a_new_one_by_a_slow_page() -> None:
    ledger = Ledger()
    since(ledger, page(100, uptime=50), now=1000)
    assert not ledger.take(page(110, uptime=60), ["lin"], 1013).reset


def test_a_gateway_that_comes_back_with_the_same_life_has_lost_nothing() -> None:
    ledger = Ledger()
    since(ledger, page(100, uptime=50), now=1000)
    assert since(ledger, page(400, 2, uptime=80), now=1030) == (302, 2)


def test_a_ledger_goes_on_in_the_next_process() -> None:
    ledger = Ledger()
    ledger.take(parse(PAGE), ["lin"], 100)
    restored = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
    grown = parse(PAGE.replace("} 90", "} 95").replace('le="+Inf"} 100', 'le="+Inf"} 105').replace("} 42", "} 52"))
    taken = restored.take(grown, ["lin"], 110)
    assert not taken.reset
    assert taken.increments[LIN].requests == 5
    assert sum(taken.increments[LIN].durations.values()) == 5
