"""Bodies of HTTP inference: JSON, and after it the tensors that say how many bytes of the rest are theirs.

How long the JSON is stands in a header. Where that was not kept, it is found by reading: the JSON is one object.
"""

from __future__ import annotations

import json
from typing import Any

from services.monitor.oip.message import MAX_TENSORS, Malformed, Message, Tensor, Tensors
from services.monitor.oip.packing import uncompressed
from services.monitor.oip.tensors import from_raw, from_values

_DECODER = json.JSONDecoder()


def read_request(data: bytes, json_bytes: int = 0) -> Message:
    """A request's inputs; `json_bytes` 0: not known."""
    return _read(data, json_bytes, "inputs")


def read_response(data: bytes, json_bytes: int = 0) -> Message:
    """An answer's outputs."""
    return _read(data, json_bytes, "outputs")


def _read(data: bytes, json_bytes: int, side: str) -> Message:
    document, rest = _split(uncompressed(data), json_bytes)
    tensors = document.get(side, [])
    if not isinstance(tensors, list) or len(tensors) > MAX_TENSORS:
        raise Malformed(f"{side!r} is no list of at most {MAX_TENSORS} tensors")
    made: Tensors = {}
    at = 0
    for item in tensors:
        name, tensor, size = _tensor(item, rest[at:])
        made[name] = tensor
        at += size
    if at != len(rest):
        raise Malformed(f"{len(rest)} bytes follow the JSON, its tensors take {at}")
    sequence = bool(_parameters(document).get("sequence_id"))
    request_id, model, version = (_text(document, key) for key in ("id", "model_name", "model_version"))
    return Message(request_id, model, version, made, sequence)


def _split(body: bytes, json_bytes: int) -> tuple[dict[str, Any], memoryview]:
    """The JSON object and what follows it."""
    try:
        if json_bytes:
            return _object(json.loads(body[:json_bytes])), memoryview(body)[json_bytes:]
        if body.endswith(b"}"):
            try:
                return _object(json.loads(body)), memoryview(b"")
            except ValueError:  # binary data may end so, too
                pass
        # In latin-1 a character is a byte, so the place where the object ends is that in the bytes.
        end = _DECODER.raw_decode(body.decode("latin-1"))[1]
        return _object(json.loads(body[:end])), memoryview(body)[end:]
    except (ValueError, RecursionError):
        raise Malformed("the body does not begin with a JSON object") from None


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Malformed("the body is no JSON object")
    return found


def _tensor(item: Any, rest: memoryview) -> tuple[str, Tensor, int]:
    """Name, values, and how many bytes of the rest they took."""
    if not isinstance(item, dict):
        raise Malformed("a tensor is no JSON object")
    name, datatype, shape = _text(item, "name"), _text(item, "datatype"), item.get("shape")
    if not isinstance(shape, list):
        raise Malformed(f"{name!r:.80} has no shape")
    size = _parameters(item).get("binary_data_size")
    if size is None:
        return name, from_values(name, datatype, shape, _values(name, item)), 0
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Malformed(f"{name!r:.80} claims bytes that are not there")
    return name, from_raw(name, datatype, shape, rest[:size]), size


def _values(name: str, item: dict[str, Any]) -> list[Any]:
    values = item.get("data")
    if not isinstance(values, list):
        raise Malformed(f"{name!r:.80} has no data")
    return values


def _parameters(item: dict[str, Any]) -> dict[str, Any]:
    found = item.get("parameters") or {}
    if not isinstance(found, dict):
        raise Malformed("parameters are no JSON object")
    return found


def _text(item: dict[str, Any], key: str) -> str:
    found = item.get(key, "")
    if not isinstance(found, str):
        raise Malformed(f"{key} is no text")
    try:
        found.encode()
    except UnicodeEncodeError:  # JSON can name half a character, which nothing else can hold
        raise Malformed(f"{key} is no text") from None
    return found
