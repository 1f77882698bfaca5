"""What the registry reads out of ONNX files, sound and unsound."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from bmase import onnxfile
from bmase.errors import InvalidArgument
from onnx import TensorProto, helper, numpy_helper

from services.registry.onnxmodel import OnnxModel, read_onnx
from services.registry.onnxslim import MalformedError, mark_of, slim_model
from services.registry.signature import Tensor


def linear(
    rows: int = 4,
    columns: int = 3,
    first: str | int = "batch",
    weights: TensorProto | None = None,
) -> onnx.ModelProto:
    """y = x W, with x [first, rows] and y [first, columns]."""
    if weights is None:
        weights = numpy_helper.from_array(np.ones((rows, columns), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [first, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [first, columns])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def read(model: onnx.ModelProto | bytes, **others: int) -> OnnxModel:
    raw = model if isinstance(model, bytes) else model.SerializeToString()
    return read_onnx(io.BytesIO(raw), "model.onnx", {"model.onnx": len(raw), **others})


def refusal(model: onnx.ModelProto | bytes, **others: int) -> str:
    with pytest.raises(MalformedError) as caught:
        read(model, **others)
    return str(caught.value)


def test_reads_names_types_and_shapes() -> None:
    found = read(linear())
    assert found.tensors.inputs == (Tensor("x", "FP32", (-1, 4)),)
    assert found.tensors.outputs == (Tensor("y", "FP32", (-1, 3)),)
    assert found.batchable


def test_fixed_first_dimension_is_no_batch() -> None:
    assert not read(linear(first=8)).batchable


def test_first_dimensions_with_different_names_are_no_batch() -> None:
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["items", 4]))
    assert not read(model).batchable


def test_a_name_that_also_means_another_dimension_is_no_batch() -> None:
    model = linear(first="n")
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", "n"]))
    assert not read(model).batchable


def test_an_output_without_shape_is_inferred() -> None:
    model = linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert read(model).tensors.outputs == (Tensor("y", "FP32", (-1, 3)),)


def test_weights_listed_as_inputs_are_no_inputs() -> None:
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    assert [tensor.name for tensor in read(model).tensors.inputs] == ["x"]


def test_large_weights_are_left_out_and_the_model_is_still_judged() -> None:
    weights = numpy_helper.from_array(np.ones((4, 100_000), np.float32), "w")
    raw = linear(columns=100_000, weights=weights).SerializeToString()
    slim = slim_model(io.BytesIO(raw), len(raw))
    assert slim.ByteSize() < 1000
    assert mark_of(slim.graph.initializer[0]) == (9, 1_600_000)
    assert read(raw).batchable


def test_memory_does_not_follow_the_size_of_the_weights() -> None:
    class Zeros(io.RawIOBase):
        """A file of `head` and then nothing but zeros."""

        def __init__(self, head: bytes) -> None:
            self._head, self._at = head, 0

        def read(self, size: int = -1) -> bytes:
            piece = self._head[self._at : self._at + size].ljust(size, b"\0")
            self._at += size
            return piece

        def seek(self, offset: int, whence: int = 0) -> int:
            self._at = offset
            return offset

    size = 2**30
    columns = size // 16
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, columns])
    model = linear(columns=columns, weights=tensor)
    model.graph.ClearField("initializer")
    held = tensor.SerializeToString() + b"\x4a" + varint(size)
    graph = model.graph.SerializeToString() + b"\x2a" + varint(len(held) + size) + held
    model.ClearField("graph")
    head = model.SerializeToString() + b"\x3a" + varint(len(graph) + size) + graph
    tracemalloc.start()
    found = read_onnx(Zeros(head), "model.onnx", {"model.onnx": len(head) + size})  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tensors.outputs[0].shape == (-1, columns)
    assert peak < 10 * 2**20


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_a_large_constant_and_weights_in_a_branch_are_left_out_too() -> None:
    big = numpy_helper.from_array(np.ones((100_000,), np.float32), "big")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [100_000])],
        [numpy_helper.from_array(np.ones((100_000,), np.float32), "inner")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value=big),
            helper.make_node("If", ["flag"], ["picked"], then_branch=branch, else_branch=branch),
            helper.make_node("Add", ["c", "picked"], ["y"]),
        ],
        "branches",
        [helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [100_000])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = read(model)
    assert found.tensors.inputs == (Tensor("flag", "BOOL", ()),)
    assert not found.batchable


@pytest.mark.parametrize("cut", [1, 10, 40, 60, 100])
def test_a_truncated_file_is_refused(cut: int) -> None:
    raw = linear().SerializeToString()
    assert refusal(raw[:-cut])


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, b"PK\x03\x04" + b"x" * 100, b"\x80\x04\x95 pickle", b"{}" * 50])
def test_other_files_are_refused(raw: bytes) -> None:
    assert "empty" in refusal(raw) or "ONNX" in refusal(raw)


def test_an_unknown_operator_is_named() -> None:
    model = linear()
    model.graph.node[0].op_type = "NoSuchOperator"
    assert "NoSuchOperator" in refusal(model)


def test_a_node_with_an_input_from_nowhere_is_named() -> None:
    model = linear()
    model.graph.node[0].input[1] = "nowhere"
    assert "nowhere" in refusal(model)


def test_a_function_that_calls_itself_is_refused() -> None:
    model = linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.opset_import.append(helper.make_opsetid("own", 1))
    call = helper.make_node("F", ["a"], ["b"], domain="own")
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], [call], [helper.make_opsetid("own", 1)]))
    model.graph.node[0].CopyFrom(helper.make_node("F", ["x"], ["y"], domain="own"))
    assert "Cycle" in refusal(model)


def test_weights_of_the_wrong_size_are_named() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3], raw_data=b"\0" * 44)
    text = refusal(linear(weights=tensor))
    assert "'w'" in text
    assert "needs 48 bytes" in text


def external(location: str, offset: int = 0, length: int | None = 48) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="offset", value=str(offset))
    if length is not None:
        tensor.external_data.add(key="length", value=str(length))
    return tensor


def test_external_data_inside_the_version_is_accepted() -> None:
    assert read(linear(weights=external("weights.bin", 16)), **{"weights.bin": 64}).batchable


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (external("other.bin"), "not among the files"),
        (external("../weights.bin"), "outside the version"),
        (external("/etc/passwd"), "outside the version"),
        (external(""), "outside the version"),
        (external("weights.bin", 32), "only 64"),
        (external("weights.bin", 32, None), "only 64"),
        (external("weights.bin", -5), "negative"),
        (external("weights.bin", 0, 40), "needs 48"),
    ],
)
def test_external_data_elsewhere_is_refused(tensor: TensorProto, said: str) -> None:
    assert said in refusal(linear(weights=tensor), **{"weights.bin": 64})


def attribute(model: onnx.ModelProto) -> onnx.AttributeProto:
    return model.graph.node[0].attribute.add(name="a")


def second_graph(model: onnx.ModelProto) -> onnx.GraphProto:
    holder = attribute(model)
    holder.g.name = "first"
    return holder.graphs.add()


PLACES: dict[str, Callable[[onnx.ModelProto], TensorProto]] = {
    "weights": lambda m: m.graph.initializer.add(),
    "sparse weights": lambda m: m.graph.sparse_initializer.add().values,
    "places of sparse weights": lambda m: m.graph.sparse_initializer.add().indices,
    "attribute": lambda m: attribute(m).t,
    "attributes": lambda m: attribute(m).tensors.add(),
    "sparse attribute": lambda m: attribute(m).sparse_tensor.values,
    "sparse attributes": lambda m: attribute(m).sparse_tensors.add().indices,
    "branch": lambda m: attribute(m).g.initializer.add(),
    "branches": lambda m: attribute(m).graphs.add().initializer.add(),
    "branches beside a branch": lambda m: second_graph(m).initializer.add(),
    "function": lambda m: m.functions.add().node.add().attribute.add().t,
    "default of a function": lambda m: m.functions.add().attribute_proto.add().t,
    "training": lambda m: m.training_info.add().initialization.initializer.add(),
    "training step": lambda m: m.training_info.add().algorithm.initializer.add(),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_tensor_has_its_data_outside_wherever_it_stands(place: str, tmp_path: Path) -> None:
    model = linear()
    PLACES[place](model).CopyFrom(external("../up.bin"))
    assert "outside the version" in refusal(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidArgument, match="outside of its folder"):
        onnxfile.external_files(tmp_path / "model.onnx")


@pytest.mark.parametrize("place", PLACES)
def test_large_contents_are_left_out_wherever_they_stand(place: str) -> None:
    model = linear()
    PLACES[place](model).CopyFrom(numpy_helper.from_array(np.ones(100_000, np.float32), "big"))
    raw = model.SerializeToString()
    assert slim_model(io.BytesIO(raw), len(raw)).ByteSize() < 1000


def test_what_a_model_was_trained_with_does_not_keep_it_from_being_judged() -> None:
    model = linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    large = numpy_helper.from_array(np.ones(100_000, np.float32), "big")
    model.training_info.add().initialization.initializer.append(large)
    assert read(model).tensors.outputs == (Tensor("y", "FP32", (-1, 3)),)


def test_outputs_that_are_no_tensors_are_refused_with_the_way_out() -> None:
    model = linear()
    model.graph.output.append(helper.make_tensor_sequence_value_info("probabilities", TensorProto.FLOAT, None))
    model.graph.node.append(helper.make_node("SequenceConstruct", ["y"], ["probabilities"]))
    text = refusal(model)
    assert "'probabilities' is a sequence" in text
    assert "zipmap" in text


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ([(f"i{index}", [1]) for index in range(1000)], "1001 inputs"),
        ([("x" * 256, [1])], "256 characters"),
        ([("deep", [1] * 17)], "17 dimensions"),
    ],
)
def test_more_than_a_signature_may_have_is_refused(extra: list[tuple[str, list[int]]], said: str) -> None:
    model = linear()
    for name, shape in extra:
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    assert said in refusal(model)


def test_deep_nesting_is_refused() -> None:
    inner = onnx.GraphProto(doc_string="x" * 20_000).SerializeToString()  # above the size that is copied whole
    for _ in range(60):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = tag + varint(len(inner)) + inner
    assert "nested deeper" in refusal(b"\x3a" + varint(len(inner)) + inner)
