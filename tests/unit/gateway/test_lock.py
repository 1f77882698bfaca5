"""While a release moves a route's traffic, nobody else does, and no leader that was away too long."""

from __future__ import annotations

import time

import pytest
from bmase.gateway.v1 import route_pb2 as pb
from bmase.reasons import Reason

from services.gateway import requests as rq
from services.gateway.documents import RouteDocument, Weighted
from services.gateway.lock import NOBODY, Hold, check, held
from services.kit.decode import decode
from services.kit.errors import DomainError, InvalidArgument

FREE = RouteDocument(versions=(Weighted(version=1, weight=1),))
ROUTE = pb.Route(name="routes/m", versions=[pb.WeightedVersion(version=1, weight=1)])
TAKEN = FREE.model_copy(update={"release": "releases/r1", "fence": 7})


def refusal(before: RouteDocument, hold: Hold) -> Reason:
    with pytest.raises(DomainError) as refused:
        held("m", before, FREE, hold)
    return refused.value.reason


def test_a_release_takes_the_route_keeps_it_and_gives_it_back() -> None:
    taken = held("m", FREE, FREE, Hold("releases/r1", 7))
    assert (taken.release, taken.fence) == ("releases/r1", 7)
    assert held("m", taken, FREE, Hold("releases/r1", 7)).release == "releases/r1"
    given_back = held("m", taken, FREE, Hold("releases/r1", 8, ends=True))
    assert (given_back.release, given_back.fence) == ("", 8)
    assert held("m", given_back, FREE, NOBODY).fence == 8


def test_others_are_refused_with_a_way_on() -> None:
    assert refusal(TAKEN, NOBODY) is Reason.RELEASE_ACTIVE
    assert refusal(TAKEN, Hold("releases/r2", 99)) is Reason.RELEASE_ACTIVE
    with pytest.raises(DomainError) as refused:
        check("m", TAKEN, NOBODY)
    assert "bmase release rollback r1" in refused.value.hint
    assert refused.value.metadata["release"] == "r1"


def test_a_leader_that_was_away_too_long_is_refused_also_after_the_release() -> None:
    assert refusal(TAKEN, Hold("releases/r1", 6)) is Reason.NOT_LEADER
    free_again = TAKEN.model_copy(update={"release": ""})
    assert refusal(free_again, Hold("releases/r1", 6)) is Reason.NOT_LEADER
    assert refusal(free_again, Hold("releases/r2", 6)) is Reason.NOT_LEADER


def test_a_new_route_may_be_a_releases_at_once() -> None:
    assert held("m", None, FREE, Hold("releases/r1", 3)).release == "releases/r1"


@pytest.mark.parametrize(
    "more", [{"fence": 3}, {"end_release": True}, {"release": "a b"}, {"release": "r", "fence": -1}]
)
def test_bounds(more: dict[str, object]) -> None:
    versions = [pb.WeightedVersion(version=1, weight=1)]
    request = pb.SetWeightsRequest(name="routes/m", versions=versions, **more)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        decode(rq.SetWeights, request)


def test_a_fence_of_the_far_future_is_refused_and_one_of_a_slow_clock_is_not() -> None:
    versions = [pb.WeightedVersion(version=1, weight=1)]
    now = time.time_ns() // 1_000_000
    ahead = pb.SetWeightsRequest(name="routes/m", versions=versions, release="r", fence=now + 3_600_000)
    assert decode(rq.SetWeights, ahead).fence == now + 3_600_000
    with pytest.raises(InvalidArgument) as refused:
        decode(rq.UpdateRoute, pb.UpdateRouteRequest(route=ROUTE, release="r", fence=2**62))
    assert [violation.field for violation in refused.value.violations] == ["fence"]
