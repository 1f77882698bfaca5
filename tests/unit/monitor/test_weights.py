"""What share a request was assigned with, and when nobody can say."""

from __future__ import annotations

from datetime import UTC, datetime

from services.monitor.documents import GatewayReport, Placements, RouteDocument, StickyRule, Weighted
from services.monitor.weights import ModelWeights, Share

EPOCH, LATER = "one", "two"
PLACED = Placements(versions={"1": ("blue",), "2": ("green",)})


def route(candidate: int, at: float, *, sticky: bool = False) -> RouteDocument:
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    rule = StickyRule(header="x-user") if sticky else None
    versions = (Weighted(version=1, weight=100 - candidate), Weighted(version=2, weight=candidate))
    return RouteDocument(versions=versions, sticky=rule, update_time=moment)


def report(routes: int, placements: int = 10, epoch: str = EPOCH) -> GatewayReport:
    return GatewayReport(epoch=epoch, routes_index=routes, placements_index=placements)


def settled() -> ModelWeights:
    """10 % for version 2 since 1000, obeyed by one gateway at 1001."""
    made = ModelWeights()
    made.see_reports({"gw": report(5, 5)}, 999)
    made.see_placements(PLACED, 10, EPOCH, 999.5)
    made.see_route(route(10, 1000), 20, EPOCH, 1000)
    made.see_reports({"gw": report(20)}, 1001)
    return made


def share(weights: ModelWeights, time: float, gateway: str = "gw") -> float | None:
    found = weights.share(gateway, time, 1, 2)
    return found.candidate if found else None


def test_nothing_is_known_before_a_second_after_it_was_obeyed() -> None:
    weights = settled()
    assert [share(weights, time) for time in (900, 1000.5, 1001.9, 1002)] == [None, None, None, 0.1]


def test_around_a_change_nothing_is_known_and_after_it_the_new_share() -> None:
    weights = settled()
    weights.see_route(route(50, 1100), 30, EPOCH, 1100.1)
    assert share(weights, 1099.5) == 0.1
    assert [share(weights, time) for time in (1099.9, 1100, 1200)] == [None, None, None]
    weights.see_reports({"gw": report(30)}, 1100.2)
    assert [share(weights, time) for time in (1099.5, 1101, 1101.3)] == [0.1, None, 0.5]


def test_each_gateway_has_its_own_moment() -> None:
    weights = settled()
    weights.see_reports({"gw": report(20), "slow": report(20)}, 1050)
    weights.see_route(route(50, 1100), 30, EPOCH, 1100)
    weights.see_reports({"gw": report(30), "slow": report(20)}, 1100.2)
    assert share(weights, 1150, "gw") == 0.5
    assert share(weights, 1150, "slow") is None
    weights.see_reports({"gw": report(30), "slow": report(31)}, 1160)
    assert share(weights, 1162, "slow") == 0.5
    assert share(weights, 1150, "a gateway that nobody knows") is None
    assert share(weights, 1162, "a gateway that nobody knows") == 0.5


def test_the_document_says_when_it_changed_if_the_news_came_late() -> None:
    weights = settled()
    weights.see_route(route(50, 1100), 30, EPOCH, 1104)
    assert share(weights, 1102) is None
    assert share(weights, 1099) == 0.1


def test_a_version_on_no_node_gets_nothing_whatever_its_weight() -> None:
    weights = settled()
    weights.see_placements(Placements(versions={"1": ("blue",)}), 40, EPOCH, 1100)
    weights.see_reports({"gw": report(20, 40)}, 1100.5)
    assert share(weights, 1105) == 0.0


def test_what_leaves_the_weights_alone_is_no_change() -> None:
    weights = settled()
    weights.see_route(route(10, 1100).model_copy(update={"update_time": ""}), 30, EPOCH, 1100)
    assert share(weights, 1100) == 0.1


def test_becoming_sticky_is_a_change() -> None:
    weights = settled()
    weights.see_route(route(10, 1100, sticky=True), 30, EPOCH, 1100)
    assert share(weights, 1100) is None
    weights.see_reports({"gw": report(30)}, 1101)
    assert weights.share("gw", 1103, 1, 2) == Share(0.1, True)


def test_a_wiped_store_changes_nothing_until_its_owners_say_so() -> None:
    weights = settled()
    weights.see_route(None, 0, LATER, 1100)
    weights.see_placements(None, 0, LATER, 1100)
    assert share(weights, 1100) == 0.1
    weights.see_placements(PLACED, 3, LATER, 1101)
    weights.see_route(route(10, 1000), 4, LATER, 1102)
    weights.see_reports({"gw": report(4, 3, LATER)}, 1102)
    assert share(weights, 1101) == 0.1
    weights.see_route(route(30, 1110), 9, LATER, 1110)
    weights.see_reports({"gw": report(9, 3, LATER)}, 1111)
    assert share(weights, 1113) == 0.3


def test_a_change_under_way_when_the_store_was_wiped_is_obeyed_by_the_new_index() -> None:
    weights = settled()
    weights.see_route(route(50, 1100), 30, EPOCH, 1100)
    weights.see_placements(PLACED, 3, LATER, 1101)
    weights.see_route(route(50, 1100), 4, LATER, 1101)
    assert share(weights, 1105) is None
    weights.see_reports({"gw": report(4, 3, LATER)}, 1106)
    assert share(weights, 1108) == 0.5


def test_a_deleted_route_has_no_share() -> None:
    weights = settled()
    weights.see_route(None, 0, EPOCH, 1100)
    weights.see_reports({"gw": report(30)}, 1100)
    assert share(weights, 1105) is None


def test_steady_is_a_time_without_any_change() -> None:
    weights = settled()
    first = weights.latest()
    assert weights.steady("gw", 1003, 1050) is first
    assert weights.steady("gw", 1001.5, 1050) is None
    weights.see_route(route(50, 1100), 30, EPOCH, 1100)
    weights.see_reports({"gw": report(30)}, 1100)
    assert weights.steady("gw", 1050, 1099) is first
    assert weights.steady("gw", 1099, 1105) is None
    assert weights.steady("gw", 1102, 1105) is weights.latest()


def test_only_the_compared_versions_share() -> None:
    weights = ModelWeights()
    weights.see_reports({"gw": report(5, 5)}, 0)
    weights.see_placements(Placements(versions={v: (v,) for v in "123"}), 1, EPOCH, 1)
    thirds = tuple(Weighted(version=version, weight=weight) for version, weight in ((1, 60), (2, 20), (3, 20)))
    weights.see_route(RouteDocument(versions=thirds), 2, EPOCH, 2)
    assert weights.share("gw", 10, 1, 2) == Share(0.25, False)
    assert weights.share("gw", 10, 8, 9) is None


def test_a_node_that_left_the_placements_before_it_was_gone_was_moved() -> None:
    weights = ModelWeights()
    weights.see_placements(Placements(versions={"2": ("blue", "green")}), 1, "e", 10)
    weights.see_placements(Placements(versions={"2": ("green",)}), 2, "e", 20)
    assert not weights.moved(2, "blue", 20.5), "it may have died"
    assert weights.moved(2, "blue", 30)
    assert not weights.moved(2, "green", 30)
    weights.see_placements(Placements(versions={"2": ("blue",)}), 3, "e", 40)
    assert not weights.moved(2, "blue", 50)
