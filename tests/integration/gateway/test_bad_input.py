"""What must be refused, with which status and words; nobody else notices."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from tests.support.gateway import Platform, ask, eventually

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def channel(platform: Platform) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(platform.gateway.address) as made:
        yield made


@pytest.fixture(autouse=True)
def _others_go_on(client: triton_grpc.InferenceServerClient) -> Iterator[None]:
    yield
    assert ask(client, "lin", model_version="1") == 1


def raw(channel: grpc.Channel, data: bytes, method: str = INFER, **options: Any) -> tuple[str, str]:
    """Status and message of a call with these bytes as its message."""
    try:
        channel.unary_unary(method)(data, timeout=10, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


NAMES = [
    "nobody",
    "x" * 10_000,
    "../lin",
    "lin/../../etc/passwd",
    "lin/2",
    "/lin",
    "lin:http",
    'lin"}',
    "lin\\",
    "lin\n",
    "lin\0",
    "]] os.execute('id') --[[",
    "%REQ(authorization)%",
    "lin%s%d",
    "LIN",
    "لين",
    "?",
    " ",
    "(reading)",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_names_that_nothing_has(client: triton_grpc.InferenceServerClient, platform: Platform, name: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        ask(client, name)
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert "RepositoryIndex lists what is" in refused.value.message()
    assert len(refused.value.message()) < 300
    answer = requests.get(
        f"http://{platform.gateway.address}/v2/models/{requests.utils.quote(name, safe='')}/ready", timeout=10
    )
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert "error" in answer.json()


@pytest.mark.parametrize("version", ["3", "99999999999999999999", "-1", "1.0", "1 ", "x", "1/..", "01"])
def test_versions_that_are_not_deployed(client: triton_grpc.InferenceServerClient, version: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        ask(client, "lin", model_version=version)
    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_a_model_without_a_route(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    platform.place("unrouted", {5: ["blue"]})
    eventually(lambda: ask(client, "unrouted", model_version="5") == 5, "its version is served by name")
    with pytest.raises(InferenceServerException, match="has no route") as refused:
        ask(client, "unrouted")
    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_a_request_without_a_name(client: triton_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="name must be set") as refused:
        ask(client, "")
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 4,
        b"\x0a\x50lin",
        b"\x0b",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08",
        b"\x09\x01",
        b"{}",
        b"\x0a\x03lin\x8a\x00\x06nobody",  # field 1 again, its number written in two bytes
    ],
)
def test_messages_that_are_none(channel: grpc.Channel, data: bytes) -> None:
    code, words = raw(channel, data)
    assert code == "INVALID_ARGUMENT", words


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=700))
def test_no_bytes_are_taken_for_a_model(channel: grpc.Channel, data: bytes) -> None:
    code, words = raw(channel, data)
    assert code in {"INVALID_ARGUMENT", "NOT_FOUND"}, words


def test_fields_may_come_in_any_order_and_the_last_name_counts(channel: grpc.Channel) -> None:
    asked = "/inference.GRPCInferenceService/ModelMetadata"
    assert raw(channel, b"\x12\x012\x0a\x03lin", asked)[0] == "OK"
    assert raw(channel, b"\x0a\x06nobody" + b"\x1a\x01z" * 300 + b"\x0a\x03lin", asked)[0] == "OK"
    assert raw(channel, b"\x0a\x03lin" + b"\x1a\x01z" * 300 + b"\x0a\x06nobody", asked)[0] == "NOT_FOUND"


def test_a_compressed_message_is_refused_as_the_protocol_says(channel: grpc.Channel) -> None:
    code, words = raw(channel, b"\x0a\x03lin" + b"\x1a\x01z" * 500, compression=grpc.Compression.Gzip)
    assert (code, "uncompressed" in words) == ("UNIMPLEMENTED", True)


@pytest.mark.parametrize("header", ["x-bmase-model", "x-bmase-version", "x-bmase-index"])
@pytest.mark.parametrize("value", ["lin", "lin/2", "/lin", "(reading)", "ready"])
def test_headers_of_a_client_decide_nothing(channel: grpc.Channel, header: str, value: str) -> None:
    metadata = [(header, value)]
    assert raw(channel, b"\x0a\x06nobody", metadata=metadata)[0] == "NOT_FOUND"
    for method in ("ServerLive", "ServerReady", "ServerMetadata"):
        assert raw(channel, b"", f"/inference.GRPCInferenceService/{method}", metadata=metadata)[0] == "OK"
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
    _, done = call.with_call(b"\x0a\x03lin\x12\x011", timeout=10, metadata=metadata)
    assert dict(done.initial_metadata())["x-bmase-version"] == "1"


def test_envoys_own_headers_are_not_the_clients_to_set(platform: Platform, channel: grpc.Channel) -> None:
    metadata = [("x-envoy-upstream-alt-stat-name", "invented"), ("x-envoy-upstream-rq-timeout-ms", "1")]
    for _ in range(300):  # an answer takes about as long as that timeout, so one call would show little
        assert raw(channel, b"\x0a\x03lin", "/inference.GRPCInferenceService/ModelReady", metadata=metadata)[0] == "OK"
    assert "invented" not in platform.gateway.admin("/stats?filter=invented")


def test_too_large_is_said_to_be_too_large(platform: Platform, client: triton_grpc.InferenceServerClient) -> None:
    x = np.zeros((1, 7_000_000), np.float32)
    given_tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
    given_tensor.set_data_from_numpy(x)
    with pytest.raises(InferenceServerException, match="larger than") as refused:
        client.infer("lin", [given_tensor])
    assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    url = f"http://{platform.gateway.address}/v2/models/lin/infer"
    for data in (x.tobytes(), iter([x.tobytes()])):
        answer = requests.post(url, data=data, timeout=30)
        assert answer.status_code == 413
        assert "larger than" in answer.json()["error"]


def test_memory_stays_bounded_under_oversized_requests(platform: Platform) -> None:
    def resident() -> float:
        status = Path(f"/proc/{platform.gateway.envoy.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    x = np.zeros((1, 7_000_000), np.float32)
    given_tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
    given_tensor.set_data_from_numpy(x)
    before = resident()
    with triton_grpc.InferenceServerClient(platform.gateway.address) as client:
        for _ in range(15):
            with pytest.raises(InferenceServerException):
                client.infer("lin", [given_tensor])
    assert resident() - before < 150


def test_a_request_that_never_arrives_is_given_up(platform: Platform) -> None:
    """The headers of a gRPC call and then nothing: after `receive_seconds` the gateway ends it."""
    frames = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, HPACK)
        + frame(0, 0, 1, b"\0\0\0\0\x0a")
    )
    with socket.create_connection(("127.0.0.1", platform.gateway.port), timeout=15) as connection:
        connection.sendall(frames)
        begun, ended = time.monotonic(), False
        while not ended and time.monotonic() - begun < 12:
            ended = any(kind in (1, 3) and stream == 1 for kind, stream in read_frames(connection))
        took = time.monotonic() - begun
    assert ended
    assert 2 < took < 8


def test_an_http_body_that_never_arrives_is_given_up(platform: Platform) -> None:
    """One whose length is not announced is read whole before it is passed on, in `receive_seconds`."""
    head = b"POST /v2/models/lin/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
    with socket.create_connection(("127.0.0.1", platform.gateway.port), timeout=15) as connection:
        begun = time.monotonic()
        connection.sendall(head)
        answer = connection.recv(4096)
    assert 2 < time.monotonic() - begun < 8
    assert answer == b"" or answer.split(b" ", 2)[1] in {b"408", b"504"}


def literal(name: bytes, value: bytes) -> bytes:
    """An HPACK header that is not indexed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HPACK = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", INFER.encode()),
        (b":authority", b"x"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def read_frames(connection: socket.socket) -> Iterator[tuple[int, int]]:
    """Kind and stream of the next frame."""
    head = connection.recv(9, socket.MSG_WAITALL)
    if len(head) == 9:
        connection.recv(int.from_bytes(head[:3], "big"), socket.MSG_WAITALL)
        yield head[3], int.from_bytes(head[5:9], "big")


REFUSED = {
    "RepositoryModelLoad": ("PERMISSION_DENIED", "bmase deploy"),
    "RepositoryModelUnload": ("PERMISSION_DENIED", "bmase deploy"),
    "SystemSharedMemoryRegister": ("UNIMPLEMENTED", "send tensors in the request"),
    "SystemSharedMemoryStatus": ("UNIMPLEMENTED", "send tensors in the request"),
    "CudaSharedMemoryRegister": ("UNIMPLEMENTED", "send tensors in the request"),
    "TraceSetting": ("PERMISSION_DENIED", "operator"),
    "LogSettings": ("PERMISSION_DENIED", "operator"),
    "NoSuchMethod": ("UNIMPLEMENTED", "no such method"),
}


@pytest.mark.parametrize("method", REFUSED)
def test_calls_that_the_platform_does_not_offer(channel: grpc.Channel, method: str) -> None:
    code, words = raw(channel, b"", f"/inference.GRPCInferenceService/{method}")
    assert code == REFUSED[method][0]
    assert REFUSED[method][1] in words


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/v2/repository/models/lin/load", 403),
        ("POST", "/v2/repository/models/lin/unload", 403),
        ("GET", "/v2/systemsharedmemory/status", 501),
        ("POST", "/v2/cudasharedmemory/region/x/register", 501),
        ("GET", "/v2/trace/setting", 403),
        ("POST", "/v2/models/lin/trace/setting", 404),
        ("GET", "/v2/logging", 403),
        ("POST", "/v2/models/lin/versions/1/../../x/infer", 404),
        ("GET", "/v2/models/", 404),
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
    ],
)
def test_paths_that_the_platform_does_not_offer(platform: Platform, verb: str, path: str, status: int) -> None:
    prepared = requests.Request(verb, "http://x").prepare()
    prepared.url = f"http://{platform.gateway.address}{path}"
    with requests.Session() as session:
        answer = session.send(prepared, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
