"""Arrays to bytes and back, held against tritonclient's own encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bmase.core import inference, tensors
from bmase.errors import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from tritonclient import utils
from tritonclient.grpc import InferInput, service_pb2


@pytest.mark.parametrize("datatype", [*tensors.DTYPES, "BYTES"])
def test_the_bytes_are_those_of_tritonclient(datatype: str) -> None:
    array = (
        np.array([[b"a", "ü"], [b"", b"long" * 99]], dtype=object)
        if datatype == "BYTES"
        else np.arange(6).reshape(2, 3).astype(tensors.DTYPES[datatype])
    )
    theirs = InferInput("x", list(array.shape), datatype)
    theirs.set_data_from_numpy(array)
    assert tensors.datatype_of(array) == datatype
    assert tensors.encode(array, datatype) == theirs._get_content()


@given(hn.arrays(hn.floating_dtypes(endianness="<", sizes=(16, 32, 64)), hn.array_shapes(min_dims=0, max_dims=4)))
def test_numbers_survive(array: tensors.Array) -> None:
    datatype = tensors.datatype_of(array)
    back = tensors.decode(tensors.encode(array, datatype), datatype, array.shape)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_strings_survive(items: list[bytes]) -> None:
    array = np.array([*items, None], dtype=object)[:-1]
    back = tensors.decode(tensors.encode(array, "BYTES"), "BYTES", array.shape)
    assert back.tolist() == items


def test_big_endian_and_strided_arrays_are_sent_right() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    assert tensors.datatype_of(array) == "FP32"
    assert tensors.decode(tensors.encode(array, "FP32"), "FP32", (3, 2)).tolist() == array.tolist()


def test_bf16_rounds_to_nearest_and_keeps_what_is_not_a_number() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.0, 1.00390625, 3.14159, -0.0, np.inf, -np.inf, 1e-40], np.float32)
    exact = array.astype(ml_dtypes.bfloat16)
    assert tensors.encode(array, "BF16") == exact.tobytes()
    assert tensors.datatype_of(exact) == "BF16"
    assert tensors.encode(exact, "BF16") == exact.tobytes()
    np.testing.assert_array_equal(tensors.decode(exact.tobytes(), "BF16", (7,)), exact.astype(np.float32))
    assert np.isnan(tensors.decode(tensors.encode(np.array([np.nan], np.float32), "BF16"), "BF16", (1,))).all()


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["2026-01-01"], dtype="datetime64[D]")])
def test_types_without_a_name_are_refused(array: tensors.Array) -> None:
    with pytest.raises(InvalidArgument, match="cannot be sent"):
        tensors.datatype_of(array)


def test_unknown_datatypes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="FP8"):
        tensors.encode(np.zeros(1), "FP8")
    with pytest.raises(InvalidArgument, match="FP8"):
        tensors.decode(b"", "FP8", (0,))


def test_a_request_says_everything() -> None:
    call = inference.infer(
        "models/digits",
        {"x": np.zeros((1, 2), np.float32), "flag": [True]},
        "v3",
        outputs=["y"],
        parameters={"a": True, "b": 2, "c": 0.5, "d": "z"},
        datatypes={"x": "FP16"},
        request_id="7",
    )
    sent: Any = call.request
    assert (sent.model_name, sent.model_version, sent.id) == ("digits", "3", "7")
    assert [(i.name, i.datatype, list(i.shape)) for i in sent.inputs] == [("x", "FP16", [1, 2]), ("flag", "BOOL", [1])]
    assert [len(raw) for raw in sent.raw_input_contents] == [4, 1]
    assert sent.parameters["a"].bool_param is True
    assert sent.parameters["b"].int64_param == 2
    assert sent.parameters["c"].double_param == 0.5
    assert sent.parameters["d"].string_param == "z"


def test_answers_are_read_from_raw_and_from_typed_contents() -> None:
    answer = service_pb2.ModelInferResponse(model_name="digits", model_version="3")
    answer.outputs.add(name="y", datatype="FP32", shape=[2])
    answer.raw_output_contents.append(np.array([1, 2], np.float32).tobytes())
    read = inference.read(answer)
    assert (read.model_version, read["y"].tolist()) == ("3", [1.0, 2.0])

    typed = service_pb2.ModelInferResponse()
    typed.outputs.add(name="y", datatype="INT64", shape=[1, 2]).contents.int64_contents.extend([1, 2])
    typed.outputs.add(name="s", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"x")
    read = inference.read(typed)
    assert read["y"].tolist() == [[1, 2]]
    assert read["s"].tolist() == [b"x"]


def test_strings_are_read_as_tritonclient_reads_them() -> None:
    array = np.array([b"", b"abc"], dtype=object)
    raw = utils.serialize_byte_tensor(array).item()
    assert tensors.decode(raw, "BYTES", (2,)).tolist() == array.tolist()
