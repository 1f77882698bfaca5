from __future__ import annotations

import pytest
from bmase.gateway.v1 import route_pb2
from bmase.patcher.v1 import deployment_pb2 as pb

from services.kit.decode import decode
from services.kit.errors import DomainError, InvalidArgument
from services.patcher import requests as rq
from services.patcher.loop import LONGEST_NAP, SHORTEST_NAP, nap
from services.patcher.routes import without
from services.patcher.state import Replica, Seat, State


@pytest.mark.parametrize(
    "name", ["", "models/a", "models/A/deployments/1", "models/a/deployments/01", "models/a/deployments/-1",
             "models/a/deployments/2147483648", "models/a/deployments/stable", "models/a/deployments/1\n"],
)  # fmt: skip
def test_names_of_existing_deployments(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(rq.Named, pb.GetDeploymentRequest(name=name))
    assert [violation.field for violation in refused.value.violations] == ["name"]


@pytest.mark.parametrize("version", ["1", "2147483647", "latest", "stable", "candidate-2"])
def test_what_may_be_created(version: str) -> None:
    asked = pb.CreateDeploymentRequest(deployment=pb.Deployment(name=f"models/a/deployments/{version}"))
    assert decode(rq.Create, asked).deployment.name == ("a", version)


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = pb.Deployment(name="x", replicas=101, pool="no pool", memory_bytes=-1)
    with pytest.raises(InvalidArgument) as refused:
        decode(rq.Create, pb.CreateDeploymentRequest(deployment=wrong, request_id="?"))
    fields = {violation.field for violation in refused.value.violations}
    names = ("name", "replicas", "pool", "memory_bytes")
    assert fields == {"request_id", *(f"deployment.{name}" for name in names)}


def test_a_request_without_a_deployment_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        decode(rq.Create, pb.CreateDeploymentRequest())


def test_page_tokens_name_a_row() -> None:
    assert rq.page_start("") == ("", 0)
    assert rq.page_start(rq.page_token(("a.b", 7))) == ("a.b", 7)
    for wrong in ("?", "YQ==", "YS9i"):
        with pytest.raises(DomainError):
            rq.page_start(wrong)


def route(**weights: int) -> route_pb2.Route:
    versions = [route_pb2.WeightedVersion(version=int(v[1:]), weight=w) for v, w in weights.items()]
    return route_pb2.Route(name="routes/m", versions=versions)


def test_a_route_lets_go_of_a_version_everywhere() -> None:
    whole = route(v1=90, v2=10)
    whole.overrides.add(header="x", version=2)
    whole.overrides.add(header="y", version=1)
    whole.mirror.version = 2
    left = without(whole, 2)
    assert left is not None
    assert [v.version for v in left.versions] == [1]
    assert [o.header for o in left.overrides] == ["y"]
    assert not left.HasField("mirror")
    assert without(whole, 3) == whole
    assert len(whole.versions) == 2, "the route that was given is left alone"


def test_a_route_without_any_traffic_left_goes() -> None:
    assert without(route(v1=100), 1) is None
    assert without(route(v1=100, v2=0), 1) is None


def test_naps_end_with_the_first_drain() -> None:
    def draining(deadline: float) -> State:
        replica = Replica("m", 1, "blue", Seat.DRAINING, deadline=deadline)
        return State(replicas={replica.id: replica})

    assert nap(State(), 100.0) == LONGEST_NAP
    assert nap(draining(100.5), 100.0) == 0.5
    assert nap(draining(99.0), 100.0) == SHORTEST_NAP
    assert nap(draining(900.0), 100.0) == LONGEST_NAP
