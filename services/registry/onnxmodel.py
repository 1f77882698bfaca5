"""What an ONNX file says about itself: is it sound, and which tensors does it take and give.

Everything is decided on the graph without weights (`onnxslim`). Tensors whose contents are elsewhere (left out, or
external data) are turned into inputs of the graph, so that ONNX's own checker judges operators, types and order at any
model size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

import onnx
from onnx import TensorProto, checker, shape_inference

from services.registry.onnxslim import MAX_DEPTH, RAW_DATA, MalformedError, mark_of, slim_model
from services.registry.signature import Signature, Tensor, excess

# ONNX element types as datatypes of the Open Inference Protocol; others cannot travel in a request.
DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}
_BITS: dict[int, int] = {
    **dict.fromkeys((TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8), 8),
    **dict.fromkeys((TensorProto.UINT16, TensorProto.INT16, TensorProto.FLOAT16, TensorProto.BFLOAT16), 16),
    **dict.fromkeys((TensorProto.UINT32, TensorProto.INT32, TensorProto.FLOAT), 32),
    **dict.fromkeys((TensorProto.UINT64, TensorProto.INT64, TensorProto.DOUBLE), 64),
    **dict.fromkeys((TensorProto.INT4, TensorProto.UINT4), 4),
}


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """`tensors` has shapes as in the file, the batch dimension included; `batchable` says whether there is one."""

    tensors: Signature
    batchable: bool


def read_onnx(source: BinaryIO, path: str, sizes: Mapping[str, int]) -> OnnxModel:
    """Reads and checks the model file `path` of a version whose files have `sizes` in bytes; raises MalformedError."""
    model = slim_model(source, sizes[path])
    tensors = list(_tensors(model))
    for tensor in tensors:
        _check_contents(tensor, path, sizes)
    bare = _bare(model)
    if bare is not None:
        _infer_shapes(model, bare)
        _check_graph(bare)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    outputs = list(model.graph.output)
    if not outputs:
        raise MalformedError("the graph has no outputs")
    signature = Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs)))
    if too_much := excess(signature):
        raise MalformedError(f"the graph cannot be served: {too_much}")
    return OnnxModel(signature, _batchable(inputs, outputs))


# --- tensors, wherever they are -----------------------------------------------------------------------------------


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the file: each may name a file that a runtime would open."""
    yield from _graph_tensors(model.graph, 0)
    for training in model.training_info:
        yield from _graph_tensors(training.initialization, 0)
        yield from _graph_tensors(training.algorithm, 0)
    for function in model.functions:
        yield from _node_tensors(function.node, 0)
        yield from _attribute_tensors(function.attribute_proto, 0)


def _graph_tensors(graph: onnx.GraphProto, depth: int) -> Iterator[TensorProto]:
    if depth > MAX_DEPTH:
        raise MalformedError(f"graphs are nested deeper than {MAX_DEPTH}")
    yield from graph.initializer
    yield from _sparse_tensors(graph.sparse_initializer)
    yield from _node_tensors(graph.node, depth)


def _node_tensors(nodes: Iterable[onnx.NodeProto], depth: int) -> Iterator[TensorProto]:
    for node in nodes:
        yield from _attribute_tensors(node.attribute, depth)


def _attribute_tensors(attributes: Iterable[onnx.AttributeProto], depth: int) -> Iterator[TensorProto]:
    """An attribute may hold all kinds at once, whatever type it claims."""
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from _sparse_tensors([attribute.sparse_tensor])
        yield from _sparse_tensors(attribute.sparse_tensors)
        for graph in _subgraphs(attribute):
            yield from _graph_tensors(graph, depth + 1)


def _sparse_tensors(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[TensorProto]:
    for sparse in tensors:
        yield from (sparse.values, sparse.indices)


def _subgraphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _elsewhere(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or mark_of(tensor) is not None


def _check_contents(tensor: TensorProto, path: str, sizes: Mapping[str, int]) -> None:
    if any(size < 0 for size in tensor.dims):
        raise MalformedError(f"the tensor {tensor.name!r} has a negative dimension")
    if tensor.data_location == TensorProto.EXTERNAL:
        _check_external(tensor, path, sizes)
        return
    mark = mark_of(tensor)
    raw = mark[1] if mark and mark[0] == RAW_DATA else len(tensor.raw_data)
    needed = _bytes(tensor)
    if raw and needed is not None and raw != needed:
        raise MalformedError(
            f"the tensor {tensor.name!r} of shape {list(tensor.dims)} needs {needed} bytes but the file holds {raw}"
        )


def _bytes(tensor: TensorProto) -> int | None:
    bits = _BITS.get(tensor.data_type)
    return None if bits is None else (math.prod(tensor.dims) * bits + 7) // 8


def _check_external(tensor: TensorProto, path: str, sizes: Mapping[str, int]) -> None:
    where = {entry.key: entry.value for entry in tensor.external_data}
    location = where.get("location", "")
    target = str(PurePosixPath(path).parent / location)
    if not location or location.startswith("/") or ".." in PurePosixPath(location).parts or "\\" in location:
        raise MalformedError(f"the tensor {tensor.name!r} has its data at {location!r}, outside the version")
    if target not in sizes:
        raise MalformedError(
            f"the tensor {tensor.name!r} has its data in {target!r}, which is not among the files of the version"
        )
    offset, length = _whole(where.get("offset", "0"), tensor), _whole(where.get("length", "-1"), tensor)
    needed = _bytes(tensor)
    if length >= 0 and needed is not None and length != needed:
        raise MalformedError(f"the tensor {tensor.name!r} needs {needed} bytes but refers to {length} of {target!r}")
    end = offset + (length if length >= 0 else needed or 0)
    if end > sizes[target]:
        raise MalformedError(
            f"the tensor {tensor.name!r} has its data at bytes {offset} to {end} of {target!r}, "
            f"which has only {sizes[target]}"
        )


def _whole(text: str, tensor: TensorProto) -> int:
    try:
        value = int(text)
    except ValueError:
        raise MalformedError(f"the tensor {tensor.name!r} has {text[:40]!r} where a number of bytes must be") from None
    if value < -1:
        raise MalformedError(f"the tensor {tensor.name!r} has a negative place in its external data")
    return value


# --- the graph ------------------------------------------------------------------------------------------------------


def _check_graph(bare: onnx.ModelProto) -> None:
    """ONNX's own checker: operators, their attributes, the order of nodes, names."""
    for value in (*bare.graph.input, *bare.graph.output):
        if _open(value):
            value.type.tensor_type.shape.SetInParent()  # runtimes load it without, so it is no fault of the file
    try:
        checker.check_model(bare)
    except checker.ValidationError as error:
        raise MalformedError(_one_line(str(error))) from None


def _bare(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy whose tensors with contents elsewhere became inputs; None when one of them can be no input."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.ClearField("training_info")  # how it was trained says nothing about how it is served
    declared = {value.name for value in bare.graph.input}
    for graph in _graphs(bare.graph):
        for name, kind, dims in _removed(graph):
            if name not in declared:
                declared.add(name)
                bare.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, dims))
    return None if any(_elsewhere(tensor) for tensor in _tensors(bare)) else bare


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in _subgraphs(attribute):
                yield from _graphs(inner)


def _removed(graph: onnx.GraphProto) -> Iterator[tuple[str, int, list[int]]]:
    """Takes initialisers and constants out whose contents are elsewhere: name, element type and shape of each."""
    for index in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[index]
        if _elsewhere(tensor):
            yield tensor.name, tensor.data_type, list(tensor.dims)
            del graph.initializer[index]
    for index in reversed(range(len(graph.sparse_initializer))):
        sparse = graph.sparse_initializer[index]
        if _elsewhere(sparse.values) or _elsewhere(sparse.indices):
            yield sparse.values.name, sparse.values.data_type, list(sparse.dims)
            del graph.sparse_initializer[index]
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        held = [attribute.t for attribute in node.attribute if attribute.HasField("t") and _elsewhere(attribute.t)]
        if node.op_type == "Constant" and node.domain in {"", "ai.onnx"} and held and node.output:
            yield node.output[0], held[0].data_type, list(held[0].dims)
            del graph.node[index]


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines() if line.strip())[:600]


# --- the signature --------------------------------------------------------------------------------------------------


def _infer_shapes(model: onnx.ModelProto, bare: onnx.ModelProto) -> None:
    """Gives outputs whose shape the file leaves open the shape that follows from the graph, where one does."""
    if not any(_open(value) for value in bare.graph.output):
        return
    try:
        inferred = shape_inference.infer_shapes(bare)
    except (shape_inference.InferenceError, checker.ValidationError, ValueError, RuntimeError):
        return  # what is wrong with the graph, the checker says
    for value, better in zip(model.graph.output, inferred.graph.output, strict=True):
        if _open(value) and not _open(better):
            value.type.tensor_type.shape.CopyFrom(better.type.tensor_type.shape)


def _open(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        spoken = (kind or "nothing").removesuffix("_type").replace("_", " ")
        raise MalformedError(
            f"{value.name!r} is a {spoken}, and only tensors can be served; export the model without it "
            "(for scikit-learn: zipmap=False)"
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        name = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type in TensorProto.DataType.values() else "?"
        raise MalformedError(f"{value.name!r} has the element type {name}, which the inference protocol does not carry")
    shape = tuple(_dimension(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Tensor(value.name, DATATYPES[tensor.elem_type], shape)


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> int:
    return dimension.dim_value if dimension.WhichOneof("value") == "dim_value" and dimension.dim_value > 0 else -1


def _batchable(inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bool:
    """Whether the first dimension of every tensor is open and nothing says that they mean different things by it."""
    if not inputs or any(_first(value) is None for value in (*inputs, *outputs)):
        return False
    names = {_first(value) for value in inputs} - {""}
    others = {d.dim_param for value in inputs for d in value.type.tensor_type.shape.dim[1:]} - {""}
    return len(names) <= 1 and not names & others and not {_first(value) for value in outputs} & others


def _first(value: onnx.ValueInfoProto) -> str | None:
    """The name of an open first dimension ("" if it has none), or None when there is no such dimension."""
    dims = value.type.tensor_type.shape.dim
    if not dims or _dimension(dims[0]) != -1:
        return None
    return dims[0].dim_param
