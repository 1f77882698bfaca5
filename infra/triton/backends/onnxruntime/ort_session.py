"""An ONNX Runtime session made as a Triton model configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from ort_bfloat import ONNX_BFLOAT16, bits_of_value

_LEVELS = {
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
Run = Callable[[Sequence[str], Mapping[str, np.ndarray]], Sequence[np.ndarray]]


def options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """Session options under the names NVIDIA's ONNX Runtime backend uses.

    One thread unless the configuration says more: several instances and models share the machine, and a thread pool in
    each session makes them fight for its cores.
    """
    said = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    made = ort.SessionOptions()
    made.intra_op_num_threads = _whole(said, "intra_op_thread_count", 1)
    made.inter_op_num_threads = _whole(said, "inter_op_thread_count", 1)
    if _whole(said, "execution_mode", 0) == 1:
        made.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    made.graph_optimization_level = _level(config)
    made.enable_cpu_mem_arena = said.get("enable_mem_arena", "1") == "1"
    made.enable_mem_pattern = said.get("enable_mem_pattern", "1") == "1"
    for key in (k for k in said if k.startswith("session.")):
        made.add_session_config_entry(key, said[key])
    made.log_severity_level = 3  # errors; they also come back as exceptions
    return made


def _whole(said: Mapping[str, str], key: str, default: int) -> int:
    try:
        return int(said.get(key, default))
    except ValueError:
        raise ValueError(f"parameter {key!r} is {said[key]!r}, which is no whole number") from None


def _level(config: Mapping[str, Any]) -> ort.GraphOptimizationLevel:
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level not in _LEVELS:
        raise ValueError(f"optimization.graph.level is {level}; allowed are {sorted(_LEVELS)}")
    return _LEVELS[level]


def providers(config: Mapping[str, Any], kind: str, device: str) -> list[Any]:
    """Execution providers, best first: CUDA for an instance placed on a GPU when this build has it, then the CPU."""
    if kind == "CPU" or "CUDAExecutionProvider" not in ort.get_available_providers():
        return ["CPUExecutionProvider"]
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    chosen = [a for a in accelerators.get("gpu_execution_accelerator", ()) if a.get("name") == "cuda"]
    cuda = {"device_id": device, **(chosen[0].get("parameters", {}) if chosen else {})}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def open_session(path: Path, config: Mapping[str, Any], kind: str = "CPU", device: str = "0") -> ort.InferenceSession:
    """Loads the graph at `path`, or inside the folder `path` (graphs with external data)."""
    inside = path / path.name if path.is_dir() else path
    return ort.InferenceSession(str(inside), options(config), providers=providers(config, kind, device))


def runner(session: ort.InferenceSession) -> Run:
    """Runs the session on arrays; the longer way only for graphs with BF16 at their edge, which arrays cannot say."""
    ports = (*session.get_inputs(), *session.get_overridable_initializers(), *session.get_outputs())
    if not any(port.type == "tensor(bfloat16)" for port in ports):
        return session.run
    bits = frozenset(port.name for port in ports if port.type == "tensor(bfloat16)")

    def run(names: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        values = {name: _value(array, name in bits) for name, array in feed.items()}
        outputs = session.run_with_ort_values(list(names), values)
        return [bits_of_value(v) if n in bits else v.numpy() for n, v in zip(names, outputs, strict=True)]

    return run


def _value(array: np.ndarray, is_bits: bool) -> ort.OrtValue:
    if is_bits:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), ONNX_BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)
