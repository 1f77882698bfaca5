from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from services.patcher.agent.selfcheck import onnx_model
from services.patcher.agent.tensors import Tensor, TensorError, difference, example, implausible


def fp32(*values: float, name: str = "y") -> Tensor:
    return Tensor(name, "FP32", (len(values),), np.array(values, "<f4").tobytes())


def test_values_within_the_tolerance_are_the_same() -> None:
    assert difference(fp32(1.0, 2.0005), fp32(1.0, 2.0), 1e-4, 1e-3) == ""
    assert difference(fp32(float("nan")), fp32(float("nan")), 1e-4, 1e-3) == ""
    words = difference(fp32(1.0, 2.5, 3.0), fp32(1.0, 2.0, 3.0), 1e-4, 1e-3)
    assert words == "y differs in 1 of 3 values, at most by 0.5 (allowed: 0.0001 + 0.001 of the value)"
    assert "differs" in difference(fp32(float("nan")), fp32(1.0), 1e-4, 1e-3)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (Tensor("y", "FP64", (1,), b"\0" * 8), "y is FP64, not FP32"),
        (fp32(1.0, 1.0), "y has the shape [2], not [1]"),
    ],
)
def test_type_and_shape_must_be_right(got: Tensor, words: str) -> None:
    assert difference(got, fp32(1.0), 1.0, 1.0) == words


def test_integers_and_texts_are_compared_exactly() -> None:
    one, two = (Tensor("y", "INT64", (1,), np.array([value], "<i8").tobytes()) for value in (1, 2))
    assert difference(one, two, 10.0, 10.0) == "y has other values"
    assert difference(one, one, 0.0, 0.0) == ""


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    assert Tensor("y", "BF16", (2,), np.array([0x3F80, 0xC000], "<u2").tobytes()).values().tolist() == [1.0, -2.0]


def test_bytes_that_are_no_tensor_are_an_error() -> None:
    with pytest.raises(TensorError, match="3 bytes"):
        Tensor("y", "FP32", (1,), b"abc").values()


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16"])
def test_examples_are_finite_and_never_nothing(datatype: str) -> None:
    made = example("x", datatype, [-1, 3])
    assert made.shape == (1, 3)
    assert np.isfinite(made.values()).all()
    assert made.values().any()


def test_an_example_of_texts() -> None:
    assert example("x", "BYTES", [2]).data == b"\x01\0\0\x001" * 2
    with pytest.raises(TensorError, match="unknown datatype"):
        example("x", "COMPLEX", [1])


def test_an_answer_without_a_known_value_must_at_least_be_plausible() -> None:
    assert implausible(fp32(1.0, 2.0), "FP32", [-1]) == ""
    assert implausible(fp32(1.0, float("inf")), "FP32", [-1]) == "y has values that are not finite"
    assert implausible(fp32(1.0), "FP32", [2]) == "y has the shape [1], not [2]"
    assert implausible(fp32(1.0), "INT32", [1]) == "y is FP32, not INT32"


def test_the_self_check_is_a_sound_model_that_computes_two_x_plus_one() -> None:
    onnx.checker.check_model(onnx.load_from_string(onnx_model()), full_check=True)
    session = onnxruntime.InferenceSession(onnx_model(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([-3, 0.5], np.float32)})[0].tolist() == [-5.0, 2.0]
