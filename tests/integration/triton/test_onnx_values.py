"""Every datatype goes through the ONNX backend unchanged, over gRPC and over HTTP."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

from tests.support import onnx_models
from tests.support.triton import Triton

INTEGERS = {name: np.dtype(name.lower()) for name in onnx_models.ELEMENTS if name.startswith(("INT", "UINT"))}
FLOATS = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}
SPECIAL = [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 1e-3]


def values(datatype: str) -> np.ndarray:
    """Two rows of four elements with the type's extremes."""
    if datatype in INTEGERS:
        limits = np.iinfo(INTEGERS[datatype])
        return np.array([[limits.min, limits.max, 0, 1], [2, 3, 5, 7]], INTEGERS[datatype])
    if datatype == "BOOL":
        return np.array([[True, False, True, True], [False, False, True, False]])
    if datatype == "BYTES":
        return np.array(
            [[b"", b"plain", "größe 模型".encode(), b"nul\x00inside"], [b"a", b"b" * 5000, b" ", b"\n"]], object
        )
    if datatype == "BF16":
        return np.array(SPECIAL, np.float32).astype(ml_dtypes.bfloat16).reshape(2, 4)
    return np.array(SPECIAL, FLOATS[datatype]).reshape(2, 4)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal bit by bit, so that -0.0 and NaN count."""
    if left.dtype == object:
        return bool((left == right).all())
    return left.dtype == right.dtype and left.tobytes() == right.tobytes()


@pytest.fixture(scope="module")
def identities(triton: Triton) -> Triton:
    """Two models that hand every tensor through: one with all types numpy knows, one with BF16."""
    plain = [name for name in onnx_models.ELEMENTS if name != "BF16"]
    for model, datatypes in (("identities", plain), ("identity_bf16", ["BF16"])):
        inputs, outputs = ([(f"{side}_{name}", name, [4]) for name in datatypes] for side in "xy")
        config = onnx_models.config_text(model, inputs, outputs)
        onnx_models.write(triton.repository, model, onnx_models.identities(datatypes), config)
        triton.load(model)
    return triton


def served_by(datatype: str) -> tuple[str, list[str]]:
    """The model with this type and the types of all its inputs."""
    if datatype == "BF16":
        return "identity_bf16", ["BF16"]
    return "identities", [name for name in onnx_models.ELEMENTS if name != "BF16"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("datatype", sorted(onnx_models.ELEMENTS))
def test_a_datatype_comes_back_bit_for_bit(identities: Triton, datatype: str, protocol: str) -> None:
    library, address = (grpc_client, identities.grpc) if protocol == "grpc" else (http_client, identities.http)
    model, datatypes = served_by(datatype)
    inputs = []
    for name in datatypes:
        inputs.append(library.InferInput(f"x_{name}", [2, 4], name))
        inputs[-1].set_data_from_numpy(values(name))
    with library.InferenceServerClient(address) as client:
        asked = library.InferRequestedOutput(f"y_{datatype}")
        answer = client.infer(model, inputs, outputs=[asked])
    assert same(answer.as_numpy(f"y_{datatype}"), values(datatype))
    others = [name for name in datatypes if name != datatype]
    assert all(answer.as_numpy(f"y_{name}") is None for name in others), "only what was asked for is sent"


def test_a_graph_without_configuration_is_described_from_itself(completing: Triton) -> None:
    onnx_models.write(completing.repository, "bare", onnx_models.affine(3, 1))
    completing.load("bare")
    with completing.client() as client:
        config = client.get_model_config("bare", as_json=True)["config"]
        assert [(p["name"], p["data_type"], p["dims"]) for p in config["input"]] == [("x", "TYPE_FP32", ["4"])]
        assert [(p["name"], p["data_type"], p["dims"]) for p in config["output"]] == [("y", "TYPE_FP32", ["4"])]
        assert config["max_batch_size"] == 4
        assert infer(completing, "bare", np.ones((2, 4), np.float32)).tolist() == [[4.0] * 4] * 2


def test_the_platform_name_of_nvidias_backend_is_served_too(completing: Triton) -> None:
    onnx_models.write(completing.repository, "plat", onnx_models.affine(5, 0), 'platform: "onnxruntime_onnx"\n')
    completing.load("plat")
    assert infer(completing, "plat", np.ones((1, 4), np.float32)).tolist() == [[5.0] * 4]


@pytest.mark.parametrize(("shape", "sent"), [([], [1]), (["n"], [3]), (["n"], [0]), (["a", "b", "c"], [2, 0, 3])])
def test_shapes_without_a_batch(completing: Triton, shape: list[int | str], sent: list[int]) -> None:
    model = f"shape_{len(shape)}"
    onnx_models.write(completing.repository, model, onnx_models.identity("FP32", shape), "max_batch_size: 0\n")
    completing.load(model)
    count = int(np.prod(sent))
    answer = infer(completing, model, np.arange(count, dtype=np.float32).reshape(sent))
    assert answer.shape == tuple(sent)
    assert answer.ravel().tolist() == list(range(count))


def test_a_batch_of_scalars_is_reshaped_both_ways(triton: Triton) -> None:
    config = (
        'backend: "onnxruntime"\nmax_batch_size: 4\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }\n'
    )
    onnx_models.write(triton.repository, "scalars", onnx_models.identity("FP32", ["batch"]), config)
    triton.load("scalars")
    answer = infer(triton, "scalars", np.array([[1.0], [2.0]], np.float32))
    assert answer.tolist() == [[1.0], [2.0]]


def test_an_optional_input_keeps_its_default_when_left_out(triton: Triton) -> None:
    config = (
        'backend: "onnxruntime"\nmax_batch_size: 0\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [2] }\n'
        'input { name: "k" data_type: TYPE_FP32 dims: [2] optional: true }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [2] }\n'
    )
    onnx_models.write(triton.repository, "optional", onnx_models.scaled_by_default(), config)
    triton.load("optional")
    x = np.array([1, 2], np.float32)
    assert infer(triton, "optional", x).tolist() == [10.0, 20.0]
    assert infer(triton, "optional", x, k=np.array([3, 4], np.float32)).tolist() == [3.0, 8.0]


def infer(triton: Triton, model: str, x: np.ndarray, version: str = "", **more: np.ndarray) -> np.ndarray:
    """y of one request of FP32 inputs."""
    inputs = []
    for name, array in {"x": x, **more}.items():
        inputs.append(grpc_client.InferInput(name, list(array.shape), "FP32"))
        inputs[-1].set_data_from_numpy(array)
    with triton.client() as client:
        return client.infer(model, inputs, model_version=version).as_numpy("y")
