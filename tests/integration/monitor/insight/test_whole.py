"""From a client's request to what is kept of it: a real gateway, real nodes, the monitor's program, a real store."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from bmase.monitor.v1 import monitor_pb2 as pb
from bmase.monitor.v1 import monitor_pb2_grpc

from tests.support.gateway import Platform, eventually
from tests.support.monitor import Monitor
from tests.support.secantusdb import SecantusDB

MODEL = "lin"
Stub = monitor_pb2_grpc.MonitorServiceStub
Ask = Callable[[str, np.ndarray, str], None]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecantusDB]:
    with SecantusDB(tmp_path_factory.mktemp("secantusdb")) as server:
        yield server


@pytest.fixture(scope="module")
def stub(platform: Platform, store: SecantusDB) -> Iterator[Stub]:
    monitor = Monitor(platform.folder, platform.consul, samples_url=store.url("bmase"))
    try:
        monitor.start().lead()
        with monitor.stub() as made:
            yield made
    finally:
        monitor.process.kill()


def over_grpc(address: str, x: np.ndarray, name: str, version: str = "") -> None:
    tensor = triton_grpc.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    with triton_grpc.InferenceServerClient(address) as client:
        client.infer(MODEL, [tensor], request_id=name, model_version=version)


def over_http(address: str, x: np.ndarray, name: str, binary: bool) -> None:
    tensor = triton_http.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    outputs = [triton_http.InferRequestedOutput(output, binary_data=binary) for output in ("y", "version")]
    with triton_http.InferenceServerClient(address) as client:
        client.infer(MODEL, [tensor], request_id=name, outputs=outputs)


def json_over_http(address: str, x: np.ndarray, name: str) -> None:
    over_http(address, x, name, binary=False)


def binary_over_http(address: str, x: np.ndarray, name: str) -> None:
    over_http(address, x, name, binary=True)


def capture(stub: Stub, **settings: object) -> pb.Capture:
    wanted = pb.Capture(name=f"captures/{MODEL}", **settings)  # type: ignore[arg-type]
    return stub.UpdateCapture(pb.UpdateCaptureRequest(capture=wanted), timeout=10)


def shown(stub: Stub) -> pb.Capture:
    return stub.GetCapture(pb.GetCaptureRequest(name=f"captures/{MODEL}"), timeout=10)


def samples(stub: Stub, **asked: object) -> dict[str, pb.Sample]:
    request = pb.ListSamplesRequest(model=f"models/{MODEL}", page_size=1000, **asked)  # type: ignore[arg-type]
    return {sample.request_id: sample for sample in stub.ListSamples(request, timeout=15).samples}


def keep_asking(platform: Platform, stub: Stub, ask: Ask, x: np.ndarray) -> pb.Sample:
    """Asks until a request of this kind is among the samples: the gateway needs a moment for new settings."""
    names: list[str] = []

    def kept() -> set[str]:
        names.append(f"{ask.__name__}-{secrets.token_hex(4)}")
        ask(platform.gateway.address, x, names[-1])
        time.sleep(0.3)
        return set(names) & set(samples(stub))

    eventually(kept, f"a sample of {ask.__name__}", timeout=40)
    found = samples(stub)
    return next(found[name] for name in names if name in found)


@pytest.mark.parametrize("ask", [over_grpc, json_over_http, binary_over_http])
def test_a_request_is_shown_as_it_was_asked(platform: Platform, stub: Stub, ask: Ask) -> None:
    capture(stub, percent=100.0, label_output="version")
    sample = keep_asking(platform, stub, ask, np.array([[1.5, -0.0, 2.25]], np.float32))
    assert [(t.name, t.datatype, list(t.shape), list(t.values)) for t in sample.inputs] == [
        ("x", "FP32", [1, 3], ["1.5", "-0", "2.25"])
    ]
    assert {t.name: list(t.values) for t in sample.outputs} == {
        "y": ["1.5", "-0", "2.25"],
        "version": [str(sample.version)],
    }
    assert sample.prediction == str(sample.version)
    assert sample.status == ("OK" if ask is over_grpc else "200")
    assert 0 < sample.duration_ms < 5000


def test_what_is_redacted_reaches_no_file(platform: Platform, stub: Stub, store: SecantusDB) -> None:
    capture(stub, percent=100.0, redacted=["x", "y"])
    secret = np.frombuffer(secrets.token_bytes(64), np.uint8).astype(np.float32).reshape(1, -1) * 1.0625 + 0.03125
    for ask in (over_grpc, json_over_http, binary_over_http):
        sample = keep_asking(platform, stub, ask, secret)
        assert [(t.name, t.redacted, list(t.values)) for t in sample.inputs] == [("x", True, [])]
    last = sample.request_id
    store.stop()
    try:
        assert store.contains(last.encode()), "the search finds what is there"
        assert not store.contains(secret.tobytes()[:32])
        for value in secret[0, :8]:
            assert not store.contains(f"{value:.7g}".encode() + b"\x00"), "as BSON ends a text"
    finally:
        store.start()
    monitors: Path = platform.folder / "monitor"
    kept = b"".join(path.read_bytes() for path in monitors.rglob("*") if path.is_file())
    assert secret.tobytes()[:32] not in kept


def test_outcomes_meet_requests_of_real_clients(platform: Platform, stub: Stub) -> None:
    capture(stub, percent=100.0, label_output="version")
    sample = keep_asking(platform, stub, over_grpc, np.ones((1, 1), np.float32))
    outcome = pb.Outcome(request_id=sample.request_id, label="0")
    request = pb.ReportOutcomesRequest(model=f"models/{MODEL}", outcomes=[outcome])
    assert stub.ReportOutcomes(request, timeout=10).joined == 1
    assert stub.ReportOutcomes(request, timeout=10).repeated == 1
    eventually(lambda: sample.request_id in samples(stub, wrong=True), "the sample is known to be wrong", timeout=20)


def test_an_outcome_may_come_over_rest(platform: Platform, stub: Stub) -> None:
    outcome = {"request_id": f"order-{secrets.token_hex(4)}", "label": "7", "version": 3, "prediction": "1"}
    body = {"model": f"models/{MODEL}", "outcomes": [outcome]}

    def answer() -> requests.Response:
        return requests.post(f"http://{platform.gateway.address}/api/v1/outcomes", json=body, timeout=5)

    eventually(lambda: answer().status_code == 200, "the gateway knows the monitor", timeout=30)
    assert answer().json()["repeated"] == 1


def test_a_replay_is_no_traffic(platform: Platform, stub: Stub) -> None:
    capture(stub, percent=100.0, label_output="y")
    for ask in (over_grpc, json_over_http, binary_over_http):
        keep_asking(platform, stub, ask, np.array([[3.0]], np.float32))
    time.sleep(1)
    before = shown(stub).sampled
    asked = pb.ReplaySamplesRequest(model=f"models/{MODEL}", stable=1, candidate=2, count=20)
    last = list(stub.ReplaySamples(asked, timeout=60))[-1]
    assert last.done == last.total >= 3
    assert (last.disagreed, last.stable_failed, last.candidate_failed) == (0, 0, 0)
    time.sleep(1)
    assert shown(stub).sampled == before


def test_a_model_that_opts_out_leaves_nothing(platform: Platform, stub: Stub) -> None:
    capture(stub, percent=100.0)
    keep_asking(platform, stub, over_grpc, np.ones((1, 1), np.float32))
    capture(stub, percent=100.0, opt_out=True)
    eventually(lambda: not samples(stub), "what was kept is gone", timeout=20)
    for number in range(10):
        over_grpc(platform.gateway.address, np.ones((1, 1), np.float32), f"private-{number}")
    time.sleep(1)
    assert samples(stub) == {}
