"""The bounds of RouteService's requests, by the field that breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from bmase.gateway.v1 import route_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from services.gateway import requests as rq
from services.gateway.operations import Stored
from services.gateway.service import encode
from services.kit.decode import decode
from services.kit.errors import InvalidArgument


def route(**changes: Any) -> pb.Route:
    fields: dict[str, Any] = {
        "name": "routes/m",
        "versions": [pb.WeightedVersion(version=1, weight=90), pb.WeightedVersion(version=2, weight=10)],
        **changes,
    }
    return pb.Route(**fields)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "models/m"}, "route.name"),
        ({"name": "routes/../x"}, "route.name"),
        ({"versions": []}, "route.versions"),
        ({"versions": [pb.WeightedVersion(version=n, weight=1) for n in range(1, 18)]}, "route.versions"),
        ({"versions": [pb.WeightedVersion(version=1, weight=0)]}, "route.versions"),
        ({"versions": [pb.WeightedVersion(version=1, weight=1)] * 2}, "route.versions"),
        ({"versions": [pb.WeightedVersion(version=0, weight=1)]}, "route.versions[0].version"),
        ({"versions": [pb.WeightedVersion(version=1, weight=1_000_001)]}, "route.versions[0].weight"),
        ({"sticky": pb.Sticky(header="x-bmase-model")}, "route.sticky.header"),
        ({"sticky": pb.Sticky(header="Two Words")}, "route.sticky.header"),
        ({"sticky": pb.Sticky()}, "route.sticky"),
        ({"overrides": [pb.Override(header="grpc-timeout", version=1)]}, "route.overrides[0].header"),
        ({"overrides": [pb.Override(header=":path", version=1)]}, "route.overrides[0].header"),
        ({"overrides": [pb.Override(header="x-user", value="a\nb", version=1)]}, "route.overrides[0].value"),
        ({"overrides": [pb.Override(header="x-user", version=1)] * 17}, "route.overrides"),
        ({"mirror": pb.Mirror(version=1, percent=0)}, "route.mirror.percent"),
        ({"mirror": pb.Mirror(version=1, percent=100.5)}, "route.mirror.percent"),
        ({"timeout": Duration(seconds=-1)}, "route.timeout"),
        ({"timeout": Duration(seconds=90_000)}, "route.timeout"),
        ({"retries": 11}, "route.retries"),
        ({"retries": -2}, "route.retries"),
    ],
)
def test_broken_bounds_name_their_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(rq.UpdateRoute, pb.UpdateRouteRequest(route=route(**changes)))
    assert field in {violation.field for violation in refused.value.violations}


def test_a_route_survives_being_stored_and_shown() -> None:
    asked = route(
        sticky=pb.Sticky(header="x-user"),
        overrides=[pb.Override(header="x-tester", value="yes", version=2)],
        mirror=pb.Mirror(version=2, percent=12.5),
        timeout=Duration(seconds=1, nanos=500_000_000),
        retries=-1,
    )
    document = decode(rq.UpdateRoute, pb.UpdateRouteRequest(route=asked)).route.document("2026-01-02T03:04:05+00:00")
    stored = type(document).model_validate_json(document.encode())
    shown = encode(Stored("m", stored, 7), {})
    assert shown.update_time.ToJsonString() == "2026-01-02T03:04:05Z"
    assert shown.etag
    shown.ClearField("update_time")
    shown.ClearField("etag")
    assert shown == asked


@pytest.mark.parametrize("name", ["routes/" + "x" * 64, "routes/A", "routes/a b", "routes/", "m"])
def test_set_weights_wants_the_name_of_a_route(name: str) -> None:
    request = pb.SetWeightsRequest(name=name, versions=[pb.WeightedVersion(version=1, weight=1)])
    with pytest.raises(InvalidArgument):
        decode(rq.SetWeights, request)
