"""An explainer in a real Triton, beside the model that it explains; Triton's own HTTP stands in for the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from bmase.explaining.maker import make_explainer
from bmase.registry.v1 import registry_pb2
from onnx import helper, numpy_helper
from tritonclient.utils import InferenceServerException

from tests.support import onnx_models
from tests.support.triton import Triton

WIDTH, PLANTED = 5, {0: 3, 1: 1}  # value of the output -> the feature that it looks at
SIGNATURE = registry_pb2.Signature(
    inputs=[registry_pb2.Tensor(name="x", datatype="FP32", shape=[WIDTH])],
    outputs=[registry_pb2.Tensor(name="y", datatype="FP32", shape=[2])],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """y = tanh(x @ w), two values of the output that look at one feature each."""
    triton = Triton(tmp_path_factory.mktemp("triton"), extra=["--no-auto-complete"])
    weights = np.full((WIDTH, 2), 0.05, np.float32)
    for value, feature in PLANTED.items():
        weights[feature, value] = 2
    planted = onnx_models.model(
        [helper.make_node("MatMul", ["x", "w"], ["score"]), helper.make_node("Tanh", ["score"], ["y"])],
        [onnx_models.port("x", "FP32", ["batch", WIDTH])],
        [onnx_models.port("y", "FP32", ["batch", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    config = onnx_models.config_text("planted", [("x", "FP32", [WIDTH])], [("y", "FP32", [2])])
    onnx_models.write(triton.repository, "planted", planted, config)
    background = {"x": np.random.default_rng(0).normal(size=(6, WIDTH))}
    make_explainer("planted", SIGNATURE, background, f"http://{triton.http}", triton.repository / "planted.explain")
    triton.start(models=["planted", "planted.explain"])
    yield triton
    triton.kill()


def ask(server: Triton, rows: np.ndarray, request_id: str = "", **parameters: Any) -> Mapping[str, np.ndarray]:
    given = grpc_client.InferInput("x", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows)
    with server.client() as client:
        answer = client.infer("planted.explain", [given], request_id=request_id, parameters=parameters)
        return {out.name: answer.as_numpy(out.name) for out in answer.get_response().outputs}


@pytest.mark.parametrize("value", PLANTED)
def test_the_value_that_is_asked_for_is_explained(server: Triton, value: int) -> None:
    found = ask(server, np.full((3, WIDTH), 0.3, np.float32), version=1, output_index=value)
    assert found["output_index"].tolist() == [[value]] * 3
    assert found["version"].tolist() == [[1]] * 3
    assert (np.abs(found["x.attribution"]).argmax(axis=1) == PLANTED[value]).all()
    gap = found["base"] + found["x.attribution"].sum(axis=1, keepdims=True) - found["explained"]
    assert np.abs(gap).max() <= 1e-6


def test_of_each_row_the_highest_value_is_explained(server: Triton) -> None:
    rows = np.zeros((2, WIDTH), np.float32)
    rows[0, PLANTED[0]], rows[1, PLANTED[1]] = 1, 1
    found = ask(server, rows, version=1)
    assert found["output_index"].tolist() == [[0], [1]]
    assert found["x.attribution"].argmax(axis=1).tolist() == [PLANTED[0], PLANTED[1]]


def test_a_nodes_first_request_is_answered_without_the_model(server: Triton) -> None:
    found = ask(server, np.ones((1, WIDTH), np.float32), request_id="bmase-warmup")
    assert found["version"].item() == 0
    np.testing.assert_allclose(found["base"] + found["x.attribution"].sum(), found["explained"], atol=1e-6)


def test_an_address_that_is_not_a_gateways_is_said(server: Triton) -> None:
    with pytest.raises(InferenceServerException, match="does not say which version of 'planted' it is"):
        ask(server, np.ones((1, WIDTH), np.float32))
