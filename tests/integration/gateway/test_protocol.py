"""Unmodified clients of the Open Inference Protocol: every call they have, by both protocols."""

from __future__ import annotations

import queue
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.support.gateway import Platform, ask, eventually

X = np.array([[1.0]], np.float32)


def tensor(kind: Any = triton_grpc, x: np.ndarray = X) -> list[Any]:
    made = kind.InferInput("x", list(x.shape), "FP32")
    made.set_data_from_numpy(x)
    return [made]


def test_the_platform_answers_for_itself(client: triton_grpc.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata.name == "bmase"
    assert metadata.version
    rows = [{"name": "lin", "version": version, "state": "READY"} for version in ("1", "2")]
    eventually(
        lambda: all(row in client.get_model_repository_index(as_json=True)["models"] for row in rows), "the index"
    )


def test_calls_about_a_model_reach_its_node(client: triton_grpc.InferenceServerClient) -> None:
    assert client.is_model_ready("lin")
    assert client.is_model_ready("lin", "2")
    assert client.get_model_metadata("lin", "2").versions == ["2"]
    assert client.get_model_config("lin", "1").config.name == "lin"
    assert client.get_inference_statistics("lin", "1").model_stats[0].name == "lin"


def test_a_model_that_is_not_served_is_not_ready(client: triton_grpc.InferenceServerClient) -> None:
    """False and no error, as from Triton: clients that wait for a model ask just this."""
    assert client.is_model_ready("nobody") is False
    assert client.is_model_ready("lin", "9") is False


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_explicit_version_wins_over_the_weights(client: triton_grpc.InferenceServerClient, version: str) -> None:
    assert {ask(client, "lin", model_version=version) for _ in range(40)} == {int(version)}


def test_a_stream_of_requests(platform: Platform) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        for value in range(5):
            client.async_stream_infer("lin", tensor(x=np.array([[float(value)]], np.float32)), model_version="2")
        got = [answers.get(timeout=10) for _ in range(5)]
    assert [result.as_numpy("y")[0, 0] for result in got] == [0, 1, 2, 3, 4]
    assert {result.as_numpy("version")[0, 0] for result in got} == {2}


def test_a_stream_to_nothing_is_not_found(platform: Platform) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
        client.start_stream(lambda result, error: answers.put(error))
        client.async_stream_infer("nobody", tensor())
        assert answers.get(timeout=10).status() == "StatusCode.NOT_FOUND"


@pytest.mark.anyio
async def test_asyncio_clients(platform: Platform) -> None:
    async with triton_aio.InferenceServerClient(platform.gateway.address) as client:
        assert await client.is_server_ready()
        result = await client.infer("lin", tensor(triton_aio), model_version="1")
        assert result.as_numpy("version")[0, 0] == 1


def test_http_clients(platform: Platform) -> None:
    with triton_http.InferenceServerClient(platform.gateway.address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata()["name"] == "bmase"
        row = {"name": "lin", "version": "1", "state": "READY", "reason": ""}
        eventually(lambda: row in client.get_model_repository_index(), "the index")
        assert client.is_model_ready("lin")
        assert client.get_model_metadata("lin", "2")["versions"] == ["2"]
        assert client.get_model_config("lin")["name"] == "lin"
        assert client.get_inference_statistics("lin")["model_stats"][0]["name"] == "lin"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["1", "2"])
def test_http_inference_in_json_and_in_binary(platform: Platform, binary: bool, version: str) -> None:
    given = triton_http.InferInput("x", [1, 1000], "FP32")
    values = np.arange(1000, dtype=np.float32)[None]
    given.set_data_from_numpy(values, binary_data=binary)
    wanted = [triton_http.InferRequestedOutput(name, binary_data=binary) for name in ("y", "version")]
    with triton_http.InferenceServerClient(platform.gateway.address) as client:
        result = client.infer("lin", [given], outputs=wanted, model_version=version)
    assert np.array_equal(result.as_numpy("y"), values)
    assert result.as_numpy("version")[0, 0] == int(version)


def test_a_request_as_curl_sends_it(platform: Platform) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [3, 4]}]}
    answer = requests.post(f"http://{platform.gateway.address}/v2/models/lin/versions/2/infer", json=body, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["x-bmase-version"] == "2"
    assert {o["name"]: o["data"] for o in answer.json()["outputs"]} == {"y": [3, 4], "version": [2]}


def test_a_body_without_an_announced_length(platform: Platform) -> None:
    pieces = iter([b'{"inputs": [{"name": "x", "shape": [1, 1], ', b'"datatype": "FP32", "data": [5]}]}'])
    answer = requests.post(f"http://{platform.gateway.address}/v2/models/lin/infer", data=pieces, timeout=10)
    assert answer.status_code == 200, answer.text


def test_the_index_of_what_is_ready_only(platform: Platform) -> None:
    platform.place("ghost", {})
    platform.put("bmase/routes/ghost", {"versions": [{"version": 1, "weight": 1}]})

    def index(body: str) -> dict[str, str]:
        url = f"http://{platform.gateway.address}/v2/repository/index"
        return {row["name"]: row["state"] for row in requests.post(url, data=body, timeout=10).json()}

    eventually(lambda: index("{}").get("ghost") == "UNAVAILABLE", "the index knows the model")
    assert index('{"ready": true}') == {name: state for name, state in index("").items() if state == "READY"}
    with (
        triton_grpc.InferenceServerClient(platform.gateway.address) as client,
        pytest.raises(InferenceServerException, match="none of its versions") as refused,
    ):
        ask(client, "ghost")
    assert refused.value.status() == "StatusCode.UNAVAILABLE"


def test_large_tensors_pass(client: triton_grpc.InferenceServerClient) -> None:
    x = np.ones((1, 5_000_000), np.float32)
    result = client.infer("lin", tensor(x=x), model_version="1")
    assert np.array_equal(result.as_numpy("y"), x)


def test_the_answer_says_which_version_it_is_of(platform: Platform) -> None:
    with grpc.insecure_channel(platform.gateway.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        _, call = stub.ModelReady.with_call(service_pb2.ModelReadyRequest(name="lin", version="2"), timeout=10)
    assert dict(call.initial_metadata())["x-bmase-version"] == "2"


def test_requests_are_counted_by_model_version_and_status(platform: Platform) -> None:
    with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
        ask(client, "lin", model_version="2")
        with pytest.raises(InferenceServerException):
            client.infer("lin", tensor(x=np.zeros((1, 1, 1), np.float32)), model_version="2")
    text = platform.gateway.admin("/stats/prometheus")
    assert 'envoy_bmase_requests{model="lin",version="2",code="200",status="OK",via="version"}' in text
    assert 'envoy_bmase_requests{model="lin",version="2",code="200",status="INVALID_ARGUMENT",via="version"}' in text
