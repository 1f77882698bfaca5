"""What the monitor is shown of requests and answers, through the real Envoy."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from bmase.gateway.v1 import route_pb2 as pb
from tritonclient.grpc import service_pb2

from services.gateway.envoy.capture import BODY_BYTES
from services.gateway.envoy.shown import SAMPLED
from services.monitor.intake.pairs import Pair
from tests.support.gateway import Platform, ask, eventually, fail
from tests.support.intake import Intake

FLUSHED = SAMPLED.seconds + 0.3
SHOWN = "cluster.monitor-pairs.upstream_rq_total"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Intake]]:
    """The model `lin` on blue and green; a monitor; nothing is sampled unless a document says so."""
    folder = tmp_path_factory.mktemp("shown")
    platform = Platform(folder, capture_percent=0)
    intake = Intake(folder, platform.consul)
    try:
        platform.start()
        platform.place("lin", {1: ["blue"], 2: ["green"]})
        platform.gateway.set_route("lin", {1: 1, 2: 1}, overrides=[pb.Override(header="x-tester", version=2)])
        intake.start()
        eventually(
            lambda: platform.gateway.stat("cluster.monitor-pairs.membership_healthy") == 1, "the monitor is found"
        )
        platform.show("lin", percent=100)
        yield platform, intake
    finally:
        intake.close()
        platform.close()


@pytest.fixture
def platform(shown: tuple[Platform, Intake]) -> Platform:
    return shown[0]


@pytest.fixture
def intake(shown: tuple[Platform, Intake]) -> Intake:
    time.sleep(FLUSHED)  # what others asked arrives before it is forgotten
    shown[1].forget()
    return shown[1]


@pytest.fixture
def client(platform: Platform) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(platform.gateway.address) as made:
        yield made


def only(intake: Intake, count: int = 1) -> list[Pair]:
    """So many pairs, and no more in the time in which more would have come."""
    eventually(lambda: len(intake.pairs()) >= count, f"{count} pairs")
    time.sleep(FLUSHED)
    pairs = intake.pairs()
    assert len(pairs) == count, [(p.time, p.model, p.version) for p in pairs]
    return pairs


def test_a_grpc_request_and_its_answer(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    version = ask(client, "lin", 7.0, request_id="own", headers={"x-request-id": "r-1", "x-bmase-client": "someone"})
    (pair,) = only(intake)
    asked = service_pb2.ModelInferRequest.FromString(pair.request)
    answered = service_pb2.ModelInferResponse.FromString(pair.response)
    assert (asked.model_name, asked.id, answered.id) == ("lin", "own", "own")
    assert asked.raw_input_contents[0] == answered.raw_output_contents[0] == np.float32(7).tobytes()
    assert (pair.gateway, pair.model, pair.version, pair.via) == ("gw", "lin", version, "weight")
    assert (pair.client, pair.request_id, pair.status, pair.protocol) == ("someone", "r-1", "OK", "grpc")
    assert 0 < pair.duration_ms < 5000


def test_how_the_version_was_chosen(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    ask(client, "lin", model_version="1")
    ask(client, "lin", headers={"x-tester": "me", "x-bmase-tenant": "t"})
    named, overridden = only(intake, 2)
    assert (named.via, named.version, named.client) == ("version", 1, "127.0.0.1")
    assert (overridden.via, overridden.version, overridden.client) == ("override", 2, "t")


def test_a_request_that_failed(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    assert fail(client, "lin") == "INTERNAL"
    (pair,) = only(intake)
    assert (pair.status, pair.response, pair.version in {1, 2}) == ("INTERNAL", b"", True)


@pytest.mark.parametrize("binary", [True, False])
def test_an_http_request_and_its_answer(platform: Platform, intake: Intake, binary: bool) -> None:
    given = triton_http.InferInput("x", [1, 500], "FP32")
    values = np.arange(500, dtype=np.float32)[None]
    given.set_data_from_numpy(values, binary_data=binary)
    wanted = [triton_http.InferRequestedOutput(name, binary_data=binary) for name in ("y", "version")]
    with triton_http.InferenceServerClient(platform.gateway.address) as client:
        client.infer("lin", [given], outputs=wanted, headers={"x-request-id": "h-1"})
    (pair,) = only(intake)
    assert (pair.protocol, pair.status, pair.via, pair.request_id) == ("http", "200", "weight", "h-1")
    for body, length, key in (
        (pair.request, pair.request_header_length, "inputs"),
        (pair.response, pair.response_header_length, "outputs"),
    ):
        assert bool(length) is binary
        tensor = json.loads(body[:length] if binary else body)[key][0]
        sent = np.frombuffer(body[length : length + 2000], np.float32) if binary else np.array(tensor["data"])
        assert tensor["shape"] == [1, 500]
        assert np.array_equal(sent, values[0])


def test_only_inference_is_shown(platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    before = platform.gateway.stat(SHOWN)
    assert client.is_model_ready("lin", "1")
    assert client.get_model_metadata("lin", "1").name == "lin"
    requests.get(f"http://{platform.gateway.address}/v2/models/lin/versions/1/ready", timeout=5).raise_for_status()
    answers: list[object] = []
    client.start_stream(lambda result, error: answers.append(error or result))
    tensor = triton_grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 1), np.float32))
    client.async_stream_infer("lin", [tensor])
    eventually(lambda: answers, "the stream's answer")
    client.stop_stream()
    time.sleep(FLUSHED)
    assert platform.gateway.stat(SHOWN) == before
    assert intake.pairs() == []


def test_what_is_too_large_is_left_out(intake: Intake, client: triton_grpc.InferenceServerClient) -> None:
    x = np.zeros((1, BODY_BYTES // 4), np.float32)
    tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    assert np.array_equal(client.infer("lin", [tensor]).as_numpy("y"), x)
    ask(client, "lin", 3.0)
    (pair,) = only(intake)
    assert len(pair.request) < 1000


def test_each_model_is_shown_as_far_as_it_wants(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    platform.place("some", {1: ["blue"]})
    platform.place("none", {1: ["green"]})
    platform.gateway.set_route("some", {1: 1})
    platform.gateway.set_route("none", {1: 1})
    platform.show("some", percent=20)
    for _ in range(400):
        ask(client, "some")
        ask(client, "none")
    ask(client, "lin")
    eventually(lambda: any(pair.model == "lin" for pair in intake.pairs()), "the last one")
    counted = Counter(pair.model for pair in intake.pairs())
    assert 45 < counted["some"] < 120
    assert (counted["lin"], counted["none"]) == (1, 0)


def test_what_is_shown_says_nothing_about_the_version(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    """Envoy draws one number for both."""
    platform.show("lin", percent=10)
    platform.show("some", percent=10)
    for _ in range(1000):
        ask(client, "lin")
    platform.show("lin", percent=100)
    ask(client, "lin", 5.0)
    eventually(lambda: len(intake.pairs()) > 50, "pairs")
    counted = Counter(pair.version for pair in intake.pairs())
    assert min(counted[1], counted[2]) > 20, counted


def test_a_document_changes_what_is_shown_and_without_it_the_default_holds(
    platform: Platform, intake: Intake, client: triton_grpc.InferenceServerClient
) -> None:
    platform.show("lin", percent=0)
    for _ in range(50):
        ask(client, "lin")
    platform.show("lin", percent=100)
    ask(client, "lin", 9.0)
    assert len(only(intake)) == 1
    before = platform.applied_captures()
    platform.delete("bmase/captures/lin")
    eventually(lambda: platform.applied_captures() > before, "the default")
    intake.forget()
    for _ in range(50):
        ask(client, "lin")
    time.sleep(FLUSHED)
    assert intake.pairs() == []
    platform.show("lin", percent=100)
