"""Makes `model.onnx` beside this file: which of three irises has these four measurements (in centimetres)?

    .venv/bin/python -m examples.quickstart.make_model        # needs the extra `example` for the data

A softmax regression, fitted here by plain gradient descent to Fisher's 150 flowers. The file is committed, so that the
quickstart needs nothing but the suite.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from mlxtend.data import iris_data
from onnx import TensorProto, helper, numpy_helper

TARGET = Path(__file__).with_name("model.onnx")
SPECIES = ("setosa", "versicolor", "virginica")
STEPS, RATE, DECAY = 20_000, 0.1, 1e-3
OPSET, IR = 17, 8


def fit(measurements: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, 3) and bias (3,), the same on every machine: nothing here is random."""
    mean, scale = measurements.mean(axis=0), measurements.std(axis=0)
    inputs, wanted = (measurements - mean) / scale, np.eye(3)[labels]
    weights, bias = np.zeros((4, 3)), np.zeros(3)
    for _ in range(STEPS):
        error = _softmax(inputs @ weights + bias) - wanted
        weights -= RATE * (inputs.T @ error / len(inputs) + DECAY * weights)
        bias -= RATE * error.mean(axis=0)
    weights = weights / scale[:, None]
    return weights, bias - mean @ weights


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def build(weights: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """x (batch, 4) -> probabilities (batch, 3) and the likeliest species' name (batch, 1)."""
    constants = [
        numpy_helper.from_array(weights.astype(np.float32), "weights"),
        numpy_helper.from_array(bias.astype(np.float32), "bias"),
        numpy_helper.from_array(np.array(SPECIES, dtype=object), "names"),
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["likeliest"], axis=1, keepdims=1),
        helper.make_node("Gather", ["names", "likeliest"], ["species"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "iris",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("species", TensorProto.STRING, ["batch", 1]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Fits, says how well, writes."""
    measurements, labels = iris_data()
    weights, bias = fit(measurements, labels)
    right = (measurements @ weights + bias).argmax(axis=1) == labels
    TARGET.write_bytes(build(weights, bias).SerializeToString())
    print(f"{TARGET}: {right.mean():.1%} of {len(labels)} flowers named rightly, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
