"""A Triton backend in Python that serves `backend: "onnxruntime"` repositories unchanged.

Triton's Python backend runs one process an instance and hands `execute` the requests its dynamic batcher put together.
They become one session run where their shapes allow it; a request that is wrong gets an error of its own.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ort_batch
import ort_graph
import triton_python_backend_utils as pb_utils
from ort_bfloat import from_bits, to_bits

Decode = Callable[[Any], np.ndarray]


class TritonPythonModel:
    """One instance of one model version; the names of class and methods are Triton's."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Fills in what a configuration leaves out, from the graph; a whole configuration costs no session here."""
        said = config.as_dict()
        if said["input"] and said["output"]:
            return config
        session = _open(Path(pb_utils.get_model_dir()) / _file_name(said), said)
        graph = _checked(lambda: ort_graph.Graph.of(session))
        size = ort_graph.chosen_batch_size(graph, said)
        if size > said["max_batch_size"]:
            config.set_max_batch_size(size)
            if "sequence_batching" not in said:
                config.set_dynamic_batching()
        # Into the dictionary itself: `add_input` and `add_output` know no `reshape`.
        for kind, ports in (("input", graph.inputs), ("output", graph.outputs)):
            if not said[kind]:
                said[kind].extend(port.config(size > 0) for port in ports)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the session and prepares everything a request needs."""
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / _file_name(config)
        session = _open(path, config, args["model_instance_kind"], args["model_instance_device_id"])
        graph = _checked(lambda: ort_graph.Graph.of(session))
        _checked(lambda: ort_graph.check(graph, config))
        from ort_session import runner  # noqa: PLC0415 - onnxruntime takes half a second: not in auto_complete_config

        self._session_run = runner(session)
        self._batches = config["max_batch_size"] > 0
        self._outputs = [entry["name"] for entry in config["output"]]
        scalars = {port.name for port in graph.ports if port.is_scalar} if not self._batches else set()
        self._decode = {e["name"]: _decoder(e, e["name"] in scalars) for e in config["input"]}
        self._encode = {e["name"]: _encoder(e, self._batches, e["name"] in scalars) for e in config["output"]}
        gc.collect()
        gc.freeze()  # what is loaded stays: collections look only at what requests make

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        if len(requests) == 1:
            return [self._single(requests[0])]
        outcomes: dict[int, Any] = {}
        feeds: dict[int, ort_batch.Feed] = {}
        for position, request in enumerate(requests):
            try:
                feeds[position] = self._feed(request)
            except ValueError as error:
                outcomes[position] = error
        names = self._wanted(requests)
        groups = ort_batch.group(feeds) if self._batches else [[position] for position in feeds]
        for positions in groups:
            done = ort_batch.run_group(lambda feed: self._session_run(names, feed), [feeds[p] for p in positions])
            outcomes.update(zip(positions, done, strict=True))
        return [self._response(names, outcomes[position]) for position in range(len(requests))]

    def _single(self, request: Any) -> Any:
        names = self._wanted((request,))
        try:
            return self._response(names, self._session_run(names, self._feed(request)))
        except Exception as error:
            return _failure(error)

    def _feed(self, request: Any) -> dict[str, np.ndarray]:
        decode = self._decode
        feed = {}
        for tensor in request.inputs():
            name = tensor.name()
            feed[name] = decode[name](tensor)
        return feed

    def _wanted(self, requests: Sequence[Any]) -> list[str]:
        """The outputs any of the requests asked for; Triton itself drops what a single request did not ask for."""
        if len(self._outputs) == 1:
            return self._outputs
        asked = {name for request in requests for name in request.requested_output_names()}
        return [name for name in self._outputs if name in asked]

    def _response(self, names: Sequence[str], outcome: Any) -> Any:
        if isinstance(outcome, Exception):
            return _failure(outcome)
        encode = self._encode
        return pb_utils.InferenceResponse([encode[name](array) for name, array in zip(names, outcome, strict=True)])


def _file_name(config: dict[str, Any]) -> str:
    return config.get("default_model_filename") or "model.onnx"


def _open(path: Path, config: dict[str, Any], kind: str = "CPU", device: str = "0") -> Any:
    from ort_session import open_session  # noqa: PLC0415 - see initialize

    if not path.exists():
        raise pb_utils.TritonModelException(f"there is no {path.name} in the version's folder {path.parent}")
    try:
        return open_session(path, config, kind, device)
    except Exception as error:
        raise pb_utils.TritonModelException(f"ONNX Runtime does not load {path.name}: {error}") from error


def _checked(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except ort_graph.GraphError as error:
        raise pb_utils.TritonModelException(str(error)) from error


def _decoder(entry: dict[str, Any], scalar: bool) -> Decode:
    """From Triton's tensor to the array a session takes; no copies but for strings."""
    decode = {"TYPE_BF16": to_bits, "TYPE_STRING": _decode_strings}.get(entry["data_type"], pb_utils.Tensor.as_numpy)
    return (lambda tensor: decode(tensor).reshape(())) if scalar else decode


def _decode_strings(tensor: Any) -> np.ndarray:
    """BYTES elements as text, as ONNX strings are; raises ValueError naming the element that is not UTF-8."""
    raw = tensor.as_numpy()
    text = np.empty(raw.shape, dtype=np.object_)
    flat = text.reshape(-1)
    for index, element in enumerate(raw.reshape(-1)):
        try:
            flat[index] = element.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"input {tensor.name()!r}: element {index} is not valid UTF-8 ({error.reason})") from None
    return text


def _encoder(entry: dict[str, Any], batched: bool, scalar: bool) -> Callable[[np.ndarray], Any]:
    """From a session's array to Triton's tensor, in the shape the configuration promises clients."""
    name = entry["name"]
    if scalar or "reshape" in entry:
        plain = _encoder({"name": name, "data_type": entry["data_type"]}, batched, False)
        dims = [int(d) for d in entry["dims"]]
        return lambda array: plain(array.reshape([*array.shape[: int(batched)], *dims]))
    if entry["data_type"] == "TYPE_BF16":
        return lambda array: from_bits(pb_utils.Tensor.from_dlpack, name, array)
    return lambda array: pb_utils.Tensor(name, array)


def _failure(error: Exception) -> Any:
    """The error of one request; what the request's own content caused is told apart from what broke here."""
    blamed = isinstance(error, ValueError) or type(error).__name__ in ("InvalidArgument", "NotFound")
    code = pb_utils.TritonError.INVALID_ARG if blamed else pb_utils.TritonError.INTERNAL
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {error}", code))
