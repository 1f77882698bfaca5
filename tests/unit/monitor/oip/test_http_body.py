"""HTTP bodies, as the client library makes them: JSON, JSON with binary tensors, compressed."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient import http as triton_http
from tritonclient.utils import np_to_triton_dtype

from services.monitor.oip import Malformed, Message, Side, read

ARRAYS = {
    "image": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "word": np.array([["größer", "b"]], object),
    "flag": np.array([[True, False]]),
    "count": np.array([[-3]], np.int64),
}


def body(binary: bool) -> tuple[bytes, int]:
    """A request's body and the length of its JSON, 0 when it is all of it."""
    inputs = []
    for name, array in ARRAYS.items():
        tensor = triton_http.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    made, length = triton_http.InferenceServerClient.generate_request_body(inputs, request_id="r-1")
    return bytes(made), length or 0


def check(found: Message) -> None:
    assert found.id == "r-1"
    assert found.tensors["word"].array.tolist() == [["größer".encode(), b"b"]]
    for name in ("image", "flag", "count"):
        np.testing.assert_array_equal(found.tensors[name].array, ARRAYS[name])
        assert found.tensors[name].array.dtype == ARRAYS[name].dtype


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_the_clients_body_is_its_arrays(binary: bool, told: bool) -> None:
    made, length = body(binary)
    check(read("http", Side.REQUEST, made, length if told else 0))


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_body(compress: Any) -> None:
    check(read("http", Side.REQUEST, compress(body(binary=True)[0])))


def test_binary_data_that_ends_like_json() -> None:
    document = {"outputs": [{"name": "y", "datatype": "UINT8", "shape": [3], "parameters": {"binary_data_size": 3}}]}
    found = read("http", Side.RESPONSE, json.dumps(document).encode() + b'{"}')
    assert found.tensors["y"].array.tobytes() == b'{"}'


def test_flat_and_nested_data_are_the_same() -> None:
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        document = {"outputs": [{"name": "y", "datatype": "INT32", "shape": [2, 2], "data": data}]}
        found = read("http", Side.RESPONSE, json.dumps(document).encode())
        assert found.tensors["y"].array.tolist() == [[1, 2], [3, 4]]


def tensor(**change: Any) -> bytes:
    item: dict[str, Any] = {"name": "y", "datatype": "INT8", "shape": [2], "data": [1, 2]}
    return json.dumps({"inputs": [{**item, **change}]}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{",
        b"null",
        b'{"inputs": 3}',
        b'{"inputs": [3]}',
        b'{"id": 3}',
        b'{"inputs": []} and more',
        b'{"a":' * 100_000,
        b"[" * 100_000,
        tensor(data=[1]),
        tensor(data=[1, 300]),
        tensor(data=["a", "b"]),
        tensor(data=[[1], [2, 3]]),
        tensor(data=None),
        tensor(shape="2"),
        tensor(shape=[2.0]),
        tensor(shape=[True, 2]),
        tensor(shape=[2**70]),
        tensor(name=7),
        tensor(datatype="BYTES"),
        tensor(datatype="INT7"),
        tensor(parameters=[1]),
        tensor(parameters={"binary_data_size": 2}),
        tensor(parameters={"binary_data_size": -1}),
        tensor(parameters={"binary_data_size": "2"}),
        gzip.compress(tensor(), mtime=0)[:-6],
    ],
)
def test_what_is_no_body_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read("http", Side.REQUEST, data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_body_is_read_or_refused(data: st.DataObject) -> None:
    made, length = body(binary=True)
    whole = bytearray(made)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    told = data.draw(st.sampled_from([0, length, length - 3, 10_000]))
    with contextlib.suppress(Malformed):
        read("http", Side.REQUEST, bytes(whole), told)


def test_half_a_character_is_no_name_but_may_be_a_value() -> None:
    with pytest.raises(Malformed):
        read("http", Side.REQUEST, tensor(name="\ud800"))
    found = read("http", Side.REQUEST, tensor(datatype="BYTES", shape=[1], data=["\ud800"]))
    assert found.tensors["y"].array[0] == b"\xed\xa0\x80"
