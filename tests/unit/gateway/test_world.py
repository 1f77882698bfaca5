"""What vanishes from Consul is gone only when Consul is the one it was in."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from services.gateway.documents import NodeDocument
from services.gateway.durable import Durable
from services.gateway.envoy.snapshot import TOTAL_WEIGHT, Capture, Endpoint
from services.gateway.envoy.weights import normalise
from services.gateway.world import World
from services.kit.consul.model import Entry, Listing

ROUTE = {"versions": [{"version": 1, "weight": 90}, {"version": 2, "weight": 10}]}
PLACED = {"revision": 1, "versions": {"1": ["blue"], "2": ["green"]}}


def listing(prefix: str, documents: dict[str, object], index: int = 10, epoch: str = "one") -> Listing:
    entries = {prefix + m: Entry(prefix + m, json.dumps(d).encode(), index) for m, d in documents.items()}
    return Listing(index, entries, epoch)


def routes(documents: dict[str, object], **more: object) -> Listing:
    return listing("bmase/routes/", documents, **more)  # type: ignore[arg-type]


def placements(documents: dict[str, object], **more: object) -> Listing:
    return listing("bmase/placements/", documents, **more)  # type: ignore[arg-type]


def captures(documents: dict[str, object], **more: object) -> Listing:
    return listing("bmase/captures/", documents, **more)  # type: ignore[arg-type]


def world() -> World:
    made = World()
    for name, port in (("blue", 1), ("green", 2)):
        made.see_node(NodeDocument(name=name, grpc=f"127.0.0.1:{port}", http=f"127.0.0.1:{port}"))
    made.see_routes(routes({"m": ROUTE}))
    made.see_placements(placements({"m": PLACED}))
    return made


def test_documents_become_a_route() -> None:
    snapshot, changed = world().snapshot()
    snapshot.check()
    assert changed == {"m"}
    assert snapshot.models["m"].weights == normalise([90, 10])


def test_what_did_not_change_is_the_same_object() -> None:
    w = world()
    first, _ = w.snapshot()
    w.see_routes(routes({"m": ROUTE, "n": ROUTE}, index=11))
    second, changed = w.snapshot()
    assert second.models["m"] is first.models["m"]
    assert changed == {"n"}
    assert second.models["n"].targets == ()


def test_a_deleted_route_is_gone_and_the_model_keeps_its_versions() -> None:
    w = world()
    w.see_routes(routes({}, index=11))
    route = w.model("m")
    assert route is not None
    assert not route.routed
    assert [t.version for t in route.targets] == [1, 2]


def test_a_new_epoch_empties_nothing() -> None:
    w = world()
    before = w.model("m")
    w.see_routes(routes({}, index=3, epoch="two"))
    w.see_placements(placements({}, index=3, epoch="two"))
    assert w.model("m") is before
    assert set(w.routes.carried()) == {"bmase/routes/m"}


def test_in_the_new_epoch_a_deletion_counts_once_the_key_was_there_again() -> None:
    w = world()
    w.see_routes(routes({}, index=3, epoch="two"))
    w.see_routes(routes({"m": ROUTE}, index=4, epoch="two"))
    assert w.routes.carried() == {}
    w.see_routes(routes({}, index=5, epoch="two"))
    assert "m" not in w.routes.documents


def test_an_older_listing_does_not_undo_what_was_read_by_itself() -> None:
    w = world()
    newer = {"versions": [{"version": 1, "weight": 0}, {"version": 2, "weight": 1}]}
    w.see_route("m", 20, Entry("bmase/routes/m", json.dumps(newer).encode(), 20))
    w.see_routes(routes({"m": ROUTE}, index=15))
    route = w.model("m")
    assert route is not None
    assert route.weights == (0, TOTAL_WEIGHT)
    w.see_routes(routes({"m": ROUTE}, index=21))
    assert w.model("m").weights == normalise([90, 10])  # type: ignore[union-attr]


def test_a_route_that_another_gateway_deleted_is_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after this gateway wrote it; the index of a listing may have gone back by then."""
    w = world()
    w.see_route("m", 20, Entry("bmase/routes/m", json.dumps(ROUTE).encode(), 20))
    later = time.monotonic() + 900
    monkeypatch.setattr(time, "monotonic", lambda: later)
    w.see_routes(routes({}, index=15))
    assert w.routes.carried() == {}
    assert "m" not in w.routes.documents


def test_a_version_without_a_known_node_gets_no_traffic() -> None:
    w = World()
    w.see_node(NodeDocument(name="blue", grpc="127.0.0.1:1"))
    w.see_routes(routes({"m": ROUTE}))
    w.see_placements(placements({"m": PLACED}))
    route = w.model("m")
    assert route is not None
    assert [(t.version, weight) for t, weight in zip(route.targets, route.weights, strict=True)] == [(1, TOTAL_WEIGHT)]
    w.see_node(NodeDocument(name="green", grpc="127.0.0.1:2"))
    assert len(w.model("m").targets) == 2  # type: ignore[union-attr]


def test_unreadable_and_contradicting_documents_leave_the_last_good() -> None:
    w = world()
    before = w.model("m")
    w.see_routes(Listing(11, {"bmase/routes/m": Entry("bmase/routes/m", b"{not json", 11)}, "one"))
    assert w.model("m") is before
    bad = {**ROUTE, "overrides": [{"header": "two words", "value": "", "version": 1}]}
    w.see_routes(routes({"m": bad}, index=12))
    assert w.model("m") is before
    assert "not a header" in w.rejected["m"]
    w.see_routes(routes({"m": {"versions": [{"version": 2, "weight": 1}]}}, index=13))
    assert w.model("m") is not before
    assert w.rejected == {}


def test_a_refused_route_stays_away_until_its_document_changes() -> None:
    w = world()
    good = w.model("m")
    w.see_routes(routes({"m": {"versions": [{"version": 2, "weight": 1}]}}, index=11))
    refused = w.model("m")
    assert refused is not None
    w.refuse(refused, "no", good)
    assert w.model("m") is good
    w.see_placements(placements({"m": PLACED, "n": PLACED}, index=12))
    assert w.model("m") is good
    w.see_routes(routes({"m": {"versions": [{"version": 1, "weight": 1}]}}, index=13))
    assert w.model("m").weights == (TOTAL_WEIGHT, 0)  # type: ignore[union-attr]
    assert w.rejected == {}


def test_services_stay_when_nobody_is_seen_any_more() -> None:
    w = World()
    w.see_service("registry", [Endpoint("127.0.0.1", 2), Endpoint("127.0.0.1", 1)])
    w.see_service("registry", [])
    assert w.services["registry"] == (Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))


def test_a_monitor_that_is_gone_is_shown_nothing() -> None:
    w = world()
    assert not w.snapshot()[0].monitored
    w.see_service("monitor", [Endpoint("127.0.0.1", 1)])
    assert w.snapshot()[0].monitored
    w.see_service("monitor", [])
    assert not w.snapshot()[0].monitored


def test_what_the_monitor_wants_to_see_is_part_of_the_route() -> None:
    w = world()
    before = w.model("m")
    assert before is not None
    assert before.capture == Capture()
    w.see_captures(captures({"m": {"percent": 5, "judged": True, "slow_ms": 50, "opt_out": False}, "n": {}}))
    route = w.model("m")
    assert route is not None
    assert route.capture == Capture(5, True, 50)
    assert route.shape != before.shape
    w.see_captures(captures({"m": {"percent": 101}}, index=11))
    assert w.model("m") is route, "an unreadable document changes nothing"
    w.see_captures(captures({}, index=2, epoch="two"))
    assert w.model("m") is route, "nor does a store that lost everything"
    w.see_captures(captures({"m": {}}, index=3, epoch="two"))
    assert w.model("m") == before


def test_the_own_copy_brings_everything_back(tmp_path: Path) -> None:
    w = world()
    w.see_service("registry", [Endpoint("127.0.0.1", 7)])
    w.see_captures(captures({"m": {"judged": True}}))
    w.see_placements(placements({}, index=3, epoch="two"))
    durable = Durable(tmp_path / "state.jsonl")
    durable.write(durable.encode(w.saved()))
    again = World()
    again.restore(Durable(tmp_path / "state.jsonl").load())
    assert again.snapshot()[0] == w.snapshot()[0]
    assert again.model("m").capture.judged  # type: ignore[union-attr]
    # The route was seen in this epoch, so its absence is a deletion; the placement was carried over, so its is not.
    again.see_routes(routes({}, index=11))
    again.see_placements(placements({}, index=4, epoch="two"))
    assert again.model("m") is not None
    assert not again.model("m").routed  # type: ignore[union-attr]
    assert len(again.model("m").targets) == 2  # type: ignore[union-attr]


def test_an_unreadable_own_copy_is_kept_aside(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    file.write_bytes(b'{"format": 1}\ngarbage')
    assert not Durable(file).load().routes.entries
    assert (tmp_path / "state.unreadable").exists()
