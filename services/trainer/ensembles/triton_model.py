"""What Triton's Python backend runs for an ensemble whose members lie side by side (`beside`).

It is copied into the version, and stands alone there: numpy and onnxruntime are all that it needs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance; the names of class and methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the members."""
        folder = Path(args["model_repository"]) / args["model_version"]
        plan = json.loads((folder / "members.json").read_text())
        self._inputs, self._output = plan["inputs"], plan["output"]
        self._members = [
            (_session(folder / each["file"]), np.float32(each["weight"]), each["logits"]) for each in plan["members"]
        ]

    def execute(self, requests: list[Any]) -> list[Any]:
        """The weighted average of the members' answers to each request; a wrong request has an error of its own."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            feeds = {name: _fed(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs}
            parts = [
                weight * (_chances(answer) if logits else answer)
                for session, weight, logits in self._members
                for answer in session.run([self._output], feeds)
            ]
            total = np.sum(parts, axis=0, dtype=np.float32)
            return pb_utils.InferenceResponse([pb_utils.Tensor(self._output, total)])
        except Exception as error:  # whatever a request makes onnxruntime say
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)[:500]))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _fed(tensor: Any) -> np.ndarray:
    array = np.asarray(tensor.as_numpy())
    if array.dtype != np.object_:
        return array
    return np.array([text.decode() for text in array.ravel()], dtype=object).reshape(array.shape)


def _chances(logits: np.ndarray) -> np.ndarray:
    """Over several classes, or of the positive one."""
    if logits.ndim < 2 or logits.shape[-1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
