"""Protobuf messages: every datatype, raw and typed, framed and bare; and what is no message."""

from __future__ import annotations

import contextlib
import gzip
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from services.monitor.oip import Malformed, Side, grpc_message, read
from tests.support.inference import request, response

NUMBERS: dict[str, Any] = {
    "BOOL": np.array([[True, False, True]]),
    "UINT8": np.array([[0, 7, 255]], np.uint8),
    "UINT16": np.array([[0, 7, 65535]], np.uint16),
    "UINT32": np.array([[0, 7, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 7, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 0, 127]], np.int8),
    "INT16": np.array([[-32768, 0, 32767]], np.int16),
    "INT32": np.array([[-(2**31), 0, 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 0, 2**63 - 1]], np.int64),
    "FP16": np.array([[-1.5, 0, 65504]], np.float16),
    "FP32": np.array([[-1.5, np.inf, 1e38]], np.float32),
    "FP64": np.array([[-1.5, np.inf, 1e300]], np.float64),
}
TYPED = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


@pytest.mark.parametrize("datatype", sorted(NUMBERS))
def test_raw_contents_are_the_array(datatype: str) -> None:
    array = NUMBERS[datatype]
    found = read("grpc", Side.REQUEST, request({"x": array}, "digits", "id-1"))
    assert (found.model, found.id) == ("digits", "id-1")
    assert found.tensors["x"].datatype == datatype
    np.testing.assert_array_equal(found.tensors["x"].array, array)
    assert found.tensors["x"].array.dtype.kind == array.dtype.kind


@pytest.mark.parametrize("datatype", sorted(TYPED))
def test_typed_contents_are_the_array(datatype: str) -> None:
    array = NUMBERS[datatype]
    made = service_pb2.ModelInferRequest(model_name="m")
    tensor = made.inputs.add(name="x", datatype=datatype, shape=array.shape)
    getattr(tensor.contents, TYPED[datatype]).extend(array.reshape(-1).tolist())
    found = read("grpc", Side.REQUEST, made.SerializeToString()).tensors["x"]
    np.testing.assert_array_equal(found.array, array)
    assert found.array.dtype == array.dtype


def test_bfloat16_is_widened_without_loss_and_narrowed_back() -> None:
    array = np.array([1.0, -2.5, 3e38, 0.0], ml_dtypes.bfloat16)
    made = service_pb2.ModelInferRequest(model_name="m")
    made.inputs.add(name="x", datatype="BF16", shape=[4])
    made.raw_input_contents.append(array.tobytes())
    found = read("grpc", Side.REQUEST, made.SerializeToString())
    np.testing.assert_array_equal(found.tensors["x"].array, array.astype(np.float32))
    assert grpc_message.request_of("m", found).raw_input_contents[0] == array.tobytes()


def test_strings_are_bytes_whatever_is_in_them() -> None:
    array = np.array([[b"", b"\x00\xff", "größer".encode()]], object)
    found = read("grpc", Side.RESPONSE, response({"y": array}))
    assert found.tensors["y"].array.tolist() == array.tolist()


def test_typed_strings() -> None:
    made = service_pb2.ModelInferResponse()
    tensor = made.outputs.add(name="y", datatype="BYTES", shape=[2, 1])
    tensor.contents.bytes_contents.extend([b"a", b"b"])
    assert read("grpc", Side.RESPONSE, made.SerializeToString()).tensors["y"].array.tolist() == [[b"a"], [b"b"]]


@pytest.mark.parametrize("packed", [False, True])
def test_a_frame_is_taken_off(packed: bool) -> None:
    body = request({"x": NUMBERS["FP32"]})
    inside = gzip.compress(body) if packed else body
    framed = bytes([packed]) + len(inside).to_bytes(4, "big") + inside
    np.testing.assert_array_equal(read("grpc", Side.REQUEST, framed).tensors["x"].array, NUMBERS["FP32"])


def test_an_empty_tensor_and_no_bytes_at_all() -> None:
    empty = read("grpc", Side.REQUEST, request({"x": np.empty((0, 4), np.float32)}))
    assert empty.tensors["x"].array.shape == (0, 4)
    assert read("grpc", Side.RESPONSE, b"").tensors == {}


def test_a_request_is_made_again_from_what_was_read() -> None:
    arrays = {"x": NUMBERS["FP16"], "flag": NUMBERS["BOOL"], "word": np.array([b"a", b"bc"], object)}
    again = grpc_message.request_of("digits", read("grpc", Side.REQUEST, request(arrays, "digits", "1")))
    assert again.SerializeToString() == request(arrays, "digits", "1")


def test_a_part_of_a_sequence_is_known_as_such() -> None:
    assert read("grpc", Side.REQUEST, request({"x": NUMBERS["FP32"]}, sequence_id=7)).sequence
    assert not read("grpc", Side.REQUEST, request({"x": NUMBERS["FP32"]}, priority=7)).sequence


def _altered(**change: Any) -> bytes:
    made = service_pb2.ModelInferRequest(model_name="m")
    tensor = made.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    made.raw_input_contents.append(b"\x00" * 8)
    for key, value in change.items():
        if key == "raw":
            made.raw_input_contents[0] = value
        elif key == "shape":
            del tensor.shape[:]
            tensor.shape.extend(value)
        else:
            setattr(tensor, key, value)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x09abc",
        b"\x01\x00\x00\x00\x03abc",
        b"\xff\xff\xff\xff\xff\xff",
        _altered(raw=b"\x00" * 7),
        _altered(shape=[1, -2]),
        _altered(shape=[2**62, 2**62]),
        _altered(shape=[0] + [2**62] * 3, raw=b""),
        _altered(shape=[1] * 40),
        _altered(datatype="FP31"),
        _altered(datatype="BYTES", raw=b"\x00" * 7),
        _altered(name=""),
        _altered(name="x" * 300),
        _altered(datatype="BYTES", shape=[1], raw=b"\xff\xff\xff\xff"),
        _altered(datatype="BYTES", shape=[2**40], raw=b"\x00\x00\x00\x00"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read("grpc", Side.REQUEST, data)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\x00" * (80 * 1024 * 1024), compresslevel=1)
    with pytest.raises(Malformed, match="larger than"):
        read("grpc", Side.REQUEST, b"\x01" + len(bomb).to_bytes(4, "big") + bomb)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), side=st.sampled_from(list(Side)), protocol=st.sampled_from(["grpc", "http"]))
def test_any_bytes_are_read_or_refused(data: bytes, side: Side, protocol: str) -> None:
    with contextlib.suppress(Malformed):
        read(protocol, side, data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(request({"x": NUMBERS["FP32"], "word": np.array([b"a", b"bc"], object)}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        read("grpc", Side.REQUEST, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
