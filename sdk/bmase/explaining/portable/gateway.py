"""A model behind the gateway, asked over HTTP: the Open Inference Protocol with binary tensors.

The version is chosen once, by the model's route, and named from then on: one explanation is of one version, on any
route. Requests that name their version are no evidence for a release; and their query keeps the gateway from taking
samples of them, as perturbed inputs are nothing that clients have sent.
"""

from __future__ import annotations

import http.client
import json
import math
import queue
import ssl
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

Array = np.ndarray
VERSION_HEADER, HEADER_LENGTH = "x-bmase-version", "Inference-Header-Content-Length"
UNSAMPLED = "?explanation"
CONNECTIONS = 4
SECONDS = 30.0  # for one request
ROWS = 64  # in one request to a model that says nothing about its batches
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DTYPES: dict[str, str] = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
NAMES = {np.dtype(text): name for name, text in DTYPES.items()}


class GatewayError(Exception):
    """The model gave no answer. `status` is the HTTP status, 0 when there was none at all."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Target:
    """A version that was chosen. `rows`: what it takes in one request; `batched`: any number up to that."""

    model: str
    version: int
    rows: int
    batched: bool


class Gateway:
    """Connections to one gateway, `http://host:port` or `https://host:port`; safe to use from several threads.

    ValueError for an address to which the token would travel unencrypted.
    """

    def __init__(self, address: str, token: str = "", ca: str = "") -> None:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{address!r} is not the address of a gateway: http://host:port or https://host:port")
        if token and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(f"the token would travel unencrypted to {parts.hostname}: use https://")
        self.address = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context(cafile=ca or None) if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._free: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="gateway")

    def choose(self, model: str, version: int = 0) -> Target:
        """The version that the model's route gives this explanation, or the one that is named."""
        headers, body = self._send("GET", f"{_path(model, version)}/config")
        config = json.loads(body)
        chosen = int(headers.get(VERSION_HEADER) or version)
        if not chosen:
            raise GatewayError(f"what answers at {self.address} does not say which version of {model!r} it is")
        most = int(config.get("max_batch_size", 0))
        first = [int(tensor["dims"][0]) for tensor in config.get("input", []) if not most and tensor.get("dims")]
        return Target(model, chosen, most or max([ROWS if d < 0 else d for d in first], default=1), most > 0)

    def ask(self, target: Target, inputs: Mapping[str, Array], output: str) -> Array:
        """One output for all rows (rows, values), in as many requests as the version's batches need."""
        rows = len(next(iter(inputs.values())))
        starts = range(0, rows, target.rows)
        parts = [{name: array[start : start + target.rows] for name, array in inputs.items()} for start in starts]
        answers = list(self._threads.map(lambda part: self._one(target, part, output), parts))
        return np.concatenate([answer.reshape(len(answer), -1) for answer in answers])

    def _one(self, target: Target, inputs: Mapping[str, Array], output: str) -> Array:
        header, raw = request(inputs, output)
        path = f"{_path(target.model, target.version)}/infer{UNSAMPLED}"
        headers, body = self._send("POST", path, header + raw, {HEADER_LENGTH: str(len(header))})
        return answer(body, int(headers.get(HEADER_LENGTH) or 0), output)

    def _send(self, method: str, path: str, body: bytes = b"", more: Mapping[str, str] | None = None) -> Any:
        """(headers, body) of a good answer; a connection that the other side had ended is replaced once."""
        for attempt in (1, 2):
            fresh, connection = self._connection()
            try:
                connection.request(method, path, body or None, {**self._headers, **(more or {})})
                got = connection.getresponse()
                content = got.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if not fresh and attempt == 1 and isinstance(error, ConnectionError | http.client.RemoteDisconnected):
                    continue
                raise GatewayError(f"the gateway {self.address} does not answer: {error}") from error
            self._free.put(connection)
            if got.status != http.client.OK:
                raise GatewayError(_words(content) or f"HTTP {got.status}", got.status)
            return got.headers, content
        raise GatewayError(f"the gateway {self.address} does not answer")

    def _connection(self) -> tuple[bool, http.client.HTTPConnection]:
        try:
            return False, self._free.get_nowait()
        except queue.Empty:
            if self._tls is None:
                return True, http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
            return True, http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._tls)


def request(inputs: Mapping[str, Array], output: str) -> tuple[bytes, bytes]:
    """The JSON of a request for one output, and the tensors behind it."""
    tensors, raws = [], []
    for name, array in inputs.items():
        datatype, raw = encoded(array)
        parameters = {"binary_data_size": len(raw)}
        tensors.append({"name": name, "datatype": datatype, "shape": list(array.shape), "parameters": parameters})
        raws.append(raw)
    outputs = [{"name": output, "parameters": {"binary_data": True}}]
    return json.dumps({"inputs": tensors, "outputs": outputs}).encode(), b"".join(raws)


def answer(body: bytes, header_length: int, output: str) -> Array:
    """The one output of an answer, whose tensors follow `header_length` bytes of JSON."""
    said = json.loads(body[:header_length] if header_length else body)
    found = next((each for each in said.get("outputs", []) if each["name"] == output), None)
    if found is None or found["datatype"] not in DTYPES:
        raise GatewayError(f"the answer has no numbers {output!r}")
    shape = [int(size) for size in found["shape"]]
    if not header_length:
        return np.array(found["data"], DTYPES[found["datatype"]]).reshape(shape)
    return np.frombuffer(body, DTYPES[found["datatype"]], math.prod(shape), header_length).reshape(shape)


def encoded(array: Array) -> tuple[str, bytes]:
    """The protocol's datatype and bytes."""
    if array.dtype.kind in "OSU":
        items = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
        return "BYTES", b"".join(struct.pack("<I", len(item)) + item for item in items)
    name = NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise ValueError(f"arrays of type {array.dtype} cannot be sent")
    return name, np.ascontiguousarray(array).tobytes()


def _path(model: str, version: int) -> str:
    return f"/v2/models/{quote(model, safe='')}" + (f"/versions/{version}" if version else "")


def _words(body: bytes) -> str:
    try:
        said: Any = json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace")
    return str(said.get("error", said) if isinstance(said, dict) else said)[:400]


def known(datatypes: Sequence[str]) -> bool:
    """Whether all of them can be explained through."""
    return all(datatype in DTYPES or datatype == "BYTES" for datatype in datatypes)
