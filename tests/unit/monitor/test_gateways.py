"""Which gateways there are, after whatever happened to Consul."""

from __future__ import annotations

import json
from typing import Any, cast

from services.kit.consul import Entry, Listing
from services.kit.consul.documents import GATEWAYS
from services.monitor.gateways import RETURN_SECONDS, Gateways


def listing(epoch: str, *names: str) -> Listing:
    entries = {}
    for name in names:
        key = GATEWAYS + name
        entries[key] = Entry(key, json.dumps({"epoch": epoch, "statistics": f"{name}:9902"}).encode(), 1)
    return Listing(1, entries, epoch)


def watching() -> Gateways:
    return Gateways(cast(Any, None), lambda: None)


def test_one_that_left_is_gone() -> None:
    gateways = watching()
    gateways.see(listing("one", "a", "b"), 0)
    gateways.see(listing("one", "a"), 1)
    assert gateways.statistics() == {"a": "a:9902"}


def test_a_wiped_store_forgets_nobody_until_they_had_time_to_return() -> None:
    gateways = watching()
    gateways.see(listing("one", "a", "b"), 0)
    gateways.see(listing("two"), 10)
    assert set(gateways.statistics()) == {"a", "b"}
    gateways.see(listing("two", "a"), 12)
    assert set(gateways.statistics()) == {"a", "b"}
    gateways.see(listing("two", "a"), 10 + RETURN_SECONDS)
    assert set(gateways.statistics()) == {"a"}


def test_what_is_no_report_is_passed_over() -> None:
    gateways = watching()
    broken = Entry(GATEWAYS + "x", b"{", 1)
    gateways.see(Listing(1, {broken.key: broken, **listing("one", "a").entries}, "one"), 0)
    assert set(gateways.statistics()) == {"a"}
