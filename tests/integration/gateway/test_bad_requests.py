"""Bad requests of models under judgement are told with who asked; nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
from bmase.gateway.v1 import route_pb2 as pb
from tritonclient.utils import InferenceServerException

from services.monitor.intake.events import BadEvent
from tests.support.gateway import Platform, ask, eventually, fail
from tests.support.intake import Intake


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Intake]]:
    """`lin` is under judgement, 200 ms are slow; `calm` is not."""
    folder = tmp_path_factory.mktemp("judged")
    platform = Platform(folder)
    intake = Intake(folder, platform.consul)
    try:
        platform.start()
        platform.place("lin", {1: ["blue"], 2: ["green"]})
        platform.place("calm", {1: ["blue"]})
        platform.gateway.set_route("lin", {1: 1, 2: 1}, overrides=[pb.Override(header="x-tester", version=2)])
        platform.gateway.set_route("calm", {1: 1})
        intake.start()
        eventually(
            lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "the monitor is found"
        )
        platform.show("lin", percent=0, judged=True, slow_ms=200.0)
        yield platform, intake
    finally:
        intake.close()
        platform.close()


@pytest.fixture
def platform(judged: tuple[Platform, Intake]) -> Platform:
    return judged[0]


@pytest.fixture
def intake(judged: tuple[Platform, Intake]) -> Intake:
    judged[1].forget()
    return judged[1]


@pytest.fixture
def client(platform: Platform) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(platform.gateway.address) as made:
        yield made


def told(intake: Intake, count: int = 1) -> list[BadEvent]:
    """So many events, and no more in the time in which more would have come."""
    eventually(lambda: len(intake.events()) >= count, f"{count} events")
    time.sleep(0.3)
    events = intake.events()
    assert len(events) == count, events
    return events


def test_an_error_of_the_model(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    begun = time.time()
    assert fail(client, "lin", headers={"x-bmase-client": "someone", "x-request-id": "r-1"}) == "INTERNAL"
    (event,) = told(intake)
    assert (event.gateway, event.model, event.version in {1, 2}) == ("gw", "lin", True)
    assert (event.client, event.request_id) == ("someone", "r-1")
    assert (event.grpc_status, event.http_code, event.flags, event.answered) == ("INTERNAL", 200, "", True)
    assert begun - 0.1 < event.time < time.time()


def test_who_asked_without_saying_so(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    fail(client, "lin")
    fail(client, "lin", headers={"x-bmase-tenant": "t"})
    assert sorted(event.client for event in told(intake, 2)) == ["127.0.0.1", "t"]


def test_a_sticky_client_is_what_the_route_hashes(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    named = {"x-bmase-client": "invented", "x-session": "secret"}
    try:
        platform.gateway.set_route("lin", {1: 1, 2: 1}, sticky=pb.Sticky(source_ip=True))
        fail(client, "lin", headers=named)
        platform.gateway.set_route("lin", {1: 1, 2: 1}, sticky=pb.Sticky(header="x-session"))
        fail(client, "lin", headers=named)
        fail(client, "lin", headers={"x-bmase-client": "unhashed"})
        by_address, by_header, by_chance = sorted(told(intake, 3), key=lambda event: event.time)
    finally:
        platform.gateway.set_route("lin", {1: 1, 2: 1}, overrides=[pb.Override(header="x-tester", version=2)])
    assert (by_address.client, by_address.stuck) == ("127.0.0.1", True)
    assert by_header.client.startswith("x-session:")
    assert "secret" not in by_header.client
    assert (by_chance.client, by_chance.stuck) == ("unhashed", False)


def test_it_arrives_soon(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    begun = time.monotonic()
    fail(client, "lin")
    eventually(intake.events, "the event")
    assert time.monotonic() - begun < 0.7, "Envoy's own interval is a second"


def test_a_slow_answer(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    ask(client, "lin", -0.05)
    ask(client, "lin", -0.3)
    (event,) = told(intake)
    assert (event.grpc_status, event.answered) == ("OK", True)
    assert 290 < event.duration_ms < 1000


def test_a_client_that_did_not_wait_for_a_slow_answer(
    intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    with pytest.raises(InferenceServerException):
        ask(client, "lin", -1.0, client_timeout=0.4)
    (event,) = told(intake)
    assert event.duration_ms >= 350
    assert not event.answered or event.grpc_status != "OK"


def test_an_error_over_http(platform: Platform, intake: Intake) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    url = f"http://{platform.gateway.address}/v2/models/lin/infer"
    requests.post(url, json=body, timeout=10).raise_for_status()
    assert not_a_number(platform) == 500
    (event,) = told(intake)
    assert (event.http_code, event.grpc_status, event.answered) == (500, "", True)


def not_a_number(platform: Platform, **headers: bytes) -> int:
    """A bad request over HTTP; its status."""
    nan = np.array([np.nan], np.float32).tobytes()
    head = b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}]}'
    named = {"inference-header-content-length": str(len(head)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    url = f"http://{platform.gateway.address}/v2/models/lin/infer"
    return requests.post(url, data=head + nan, headers=named, timeout=10).status_code


def test_a_client_whose_name_is_no_utf8_loses_nobodys_event(platform: Platform, intake: Intake) -> None:
    assert not_a_number(platform, x_bmase_client=b"caf\xe9") == 500
    assert not_a_number(platform, x_bmase_client=b"other") == 500
    # Each comes by a log stream of the Envoy worker that served it, so in any order.
    first, second = sorted(event.client for event in told(intake, 2))
    assert first.startswith("caf")
    assert second == "other"


def test_what_is_not_judged_is_not_told(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    fail(client, "calm")
    ask(client, "calm", -0.3)
    fail(client, "lin", model_version="1")
    ask(client, "lin", -0.3, model_version="2")
    fail(client, "lin", headers={"x-tester": "me"})
    with pytest.raises(InferenceServerException):
        client.infer("lin", [])  # a client's mistake
    with pytest.raises(InferenceServerException):
        ask(client, "nobody")
    for _ in range(50):
        ask(client, "lin")
    assert fail(client, "lin", headers={"x-request-id": "last"}) == "INTERNAL"
    (event,) = told(intake)
    assert event.request_id == "last"


def test_counters_say_how_the_version_was_chosen(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    ask(client, "lin")
    ask(client, "lin", model_version="1")
    ask(client, "lin", headers={"x-tester": "me"})
    text = requests.get(f"http://{platform.gateway.statistics}/stats/prometheus", timeout=5).text
    for version, via in (("1", "version"), ("2", "override")):
        labels = f'{{model="lin",version="{version}",code="200",status="OK",via="{via}"}}'
        assert f"envoy_bmase_requests{labels}" in text
    assert 'code="200",status="OK",via="weight"}' in text


def test_a_node_that_is_gone_is_told_apart(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    platform.gateway.set_weights("lin", {1: 1})
    platform.nodes["blue"].process.kill()
    eventually(lambda: platform.gateway.stat("cluster.nodes_blue.membership_healthy") == 0, "it is noticed")
    intake.forget()
    with pytest.raises(InferenceServerException):
        ask(client, "lin")
    (event,) = told(intake)
    assert (event.answered, event.flags, event.grpc_status) == (False, "UH", "UNAVAILABLE")
    platform.nodes["blue"].start(["lin", "calm"])
    platform.gateway.set_weights("lin", {1: 1, 2: 1})


def test_when_the_judgement_ends_nothing_is_told(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    eventually(lambda: ask(client, "calm") == 1, "blue is back", timeout=20)
    platform.show("lin", percent=0)
    intake.forget()
    fail(client, "lin")
    ask(client, "lin", -0.3)
    time.sleep(0.5)
    assert intake.events() == []
