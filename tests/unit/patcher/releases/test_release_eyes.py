"""Whether a version answers, as far as documents tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tritonclient.grpc import service_pb2

from services.patcher.documents import NodeInfo, Status, Step
from services.patcher.observation import NodeView, Observation
from services.patcher.releases.eyes import _named, deployed
from services.patcher.releases.observation import Stand
from services.patcher.state import Deployment, NodeRecord, Phase, Replica, RouteWish, Seat, State

KEY = ("digits", 2)
DEPLOYMENT = Deployment("digits", 2, "d2", held=True, route=RouteWish.SETTLED)
STATE = State(
    deployments={KEY: DEPLOYMENT},
    replicas={(*KEY, "green"): Replica("digits", 2, "green", Seat.SERVING)},
    nodes={"green": NodeRecord(NodeInfo(name="green", grpc="h:1"))},
)
READY = Status(model="digits", version=2, digest="d2", state=Step.READY)


def seen(node: NodeView, status: Status | None = READY, settled: bool = True) -> Observation:
    statuses = {("green", "digits"): status} if status else {}
    return Observation(now=1.0, settled=settled, nodes={"green": node}, statuses=statuses)


@pytest.mark.parametrize(
    ("node", "status", "settled", "answers"),
    [
        (NodeView(alive=True), READY, True, True),
        (NodeView(alive=True), None, True, True),  # its agent has only just come back
        (NodeView(alive=True), READY.model_copy(update={"state": Step.FAILED}), True, False),
        (NodeView(alive=True, usable=False), READY, True, False),
        (NodeView(alive=False), None, True, True),  # the agent is silent, its Triton was not asked yet
        (NodeView(alive=False, mute=True), None, True, False),
        (NodeView(alive=False, mute=True), None, False, True),  # Consul's silence proves nothing
        (NodeView(alive=False, answering=False), None, True, False),
    ],
)
def test_silence_is_told_from_loss(node: NodeView, status: Status | None, settled: bool, answers: bool) -> None:
    assert deployed(KEY, STATE, seen(node, status, settled)).answers is answers


def test_what_does_not_serve_yet_does_not_answer() -> None:
    assigned = {(*KEY, "green"): Replica("digits", 2, "green", Seat.ASSIGNED)}
    found = deployed(KEY, replace(STATE, replicas=assigned), seen(NodeView(alive=True)))
    assert (found.stand, found.answers) != (Stand.READY, True)
    assert not found.answers


def test_absent_and_leaving() -> None:
    assert deployed(KEY, State(), seen(NodeView(alive=True))).stand is Stand.ABSENT
    leaving = replace(STATE, deployments={KEY: replace(DEPLOYMENT, phase=Phase.DRAINING)})
    assert deployed(KEY, leaving, seen(NodeView(alive=True))).stand is Stand.LEAVING


def test_the_question_to_a_node_is_tritons_own() -> None:
    asked = service_pb2.ModelReadyRequest.FromString(_named("digits", "12"))
    assert (asked.name, asked.version) == ("digits", "12")
