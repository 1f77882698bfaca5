"""A real Triton runs members of two backends side by side and answers with the weighted average of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from google.protobuf import text_format
from scipy.special import softmax
from tritonclient.grpc import model_config_pb2 as triton_config
from tritonclient.utils import InferenceServerException

from services.trainer.ensembles.beside import side_by_side
from services.trainer.ensembles.members import Member
from services.trainer.ensembles.triton import Part, scheduled
from tests.support import onnx_models
from tests.support.triton import Triton

SQUARES = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x * x)]) for x in inputs]
"""
PORTS = [("x", "FP32", [4])], [("y", "FP32", [4])]


def part(name: str, weight: float, text: str) -> Part:
    return Part(name, 1, text_format.Parse(text, triton_config.ModelConfig()), weight)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """y = 2 x + 1 in ONNX and y = x * x in Python, averaged as 3 to 1."""
    triton = Triton(tmp_path_factory.mktemp("triton"), extra=["--no-auto-complete"])
    line = onnx_models.config_text("line", *PORTS)
    squares = line.replace('"line"', '"squares"').replace('"onnxruntime"', '"python"')
    onnx_models.write(triton.repository, "line", onnx_models.affine(2, 1), line)
    folder = triton.repository / "squares"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(SQUARES)
    (folder / "config.pbtxt").write_text(squares)
    files = scheduled("numbers", 7, [part("line", 0.75, line), part("squares", 0.25, squares)])
    for path, content in files.items():
        target = triton.repository / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    beside = side_by_side([member("a", 0.75, 2, 1, []), member("b", 0.25, -1, 0, ["b"])])
    for path, content in beside.items():
        target = triton.repository / "beside" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    triton.start(models=["line", "squares", "numbers.average", "numbers", "beside"])
    yield triton
    triton.kill()


def member(name: str, weight: float, a: float, b: float, logits: list[str]) -> Member:
    """y = a x + b."""
    return Member(name, onnx_models.affine(a, b), weight, logits=name in logits)


def ask(server: Triton, x: np.ndarray, model: str = "numbers", version: str = "7") -> np.ndarray:
    given = grpc_client.InferInput("x", list(x.shape), "FP32")
    given.set_data_from_numpy(x)
    with server.client() as client:
        return client.infer(model, [given], model_version=version).as_numpy("y")


@pytest.mark.parametrize("rows", [1, 8])
def test_members_side_by_side_in_one_version_give_their_average(server: Triton, rows: int) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    expected = 0.75 * (2 * x + 1) + 0.25 * softmax(-x, axis=-1)
    np.testing.assert_allclose(ask(server, x, "beside", "1"), expected, atol=1e-6)


def test_a_wrong_request_to_members_side_by_side_fails_alone(server: Triton) -> None:
    with pytest.raises(InferenceServerException):
        ask(server, np.ones((1, 5), np.float32), "beside", "1")
    assert ask(server, np.zeros((1, 4), np.float32), "beside", "1").shape == (1, 4)


@pytest.mark.parametrize("rows", [1, 8])
def test_the_answer_is_the_weighted_average(server: Triton, rows: int) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    np.testing.assert_allclose(ask(server, x), 0.75 * (2 * x + 1) + 0.25 * x * x, atol=1e-6)


def test_requests_at_once_get_their_own_answers(server: Triton) -> None:
    batches = [np.full((1 + n % 4, 4), n, np.float32) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for x, y in zip(batches, pool.map(lambda x: ask(server, x), batches), strict=True):
            np.testing.assert_allclose(y, 0.75 * (2 * x + 1) + 0.25 * x * x, rtol=1e-6)


def test_the_ensemble_says_what_it_takes(server: Triton) -> None:
    with server.client() as client:
        metadata = client.get_model_metadata("numbers", "7")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs] == [
        ("x", "FP32", [-1, 4])
    ]
    assert [tensor.name for tensor in metadata.outputs] == ["y"]


def test_more_than_members_take_is_refused(server: Triton) -> None:
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        ask(server, np.ones((9, 4), np.float32))
