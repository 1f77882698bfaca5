"""What an ONNX graph takes and gives, and its names made unlike those of any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from services.trainer.ensembles.pooling import Dims


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that a graph takes or gives; `dims` is None when the file does not say even how many there are."""

    name: str
    element: int
    dims: Dims | None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.dims is None else f"[{', '.join(_spoken(d) for d in self.dims)}]"
        return f"{element_name(self.element)} {shape}"

    @property
    def form(self) -> tuple[int, tuple[int | None, ...] | None]:
        """What has to be equal for two to be the same but for the names of open dimensions."""
        sizes = None if self.dims is None else tuple(d if isinstance(d, int) else None for d in self.dims)
        return self.element, sizes


def _spoken(dimension: int | str | None) -> str:
    return "?" if dimension is None else str(dimension)


def element_name(element: int) -> str:
    """ONNX's name of an element type."""
    return str(TensorProto.DataType.Name(element)) if element in TensorProto.DataType.values() else str(element)


def inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What has to be given; initialisers that are listed as inputs too (as all are before IR version 4) are not."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def port(value: onnx.ValueInfoProto) -> Port | None:
    """None for what is no tensor: sequences, maps, optionals."""
    if value.type.WhichOneof("value") != "tensor_type":
        return None
    tensor = value.type.tensor_type
    dims = tuple(_dimension(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Port(value.name, tensor.elem_type, dims)


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dimension.WhichOneof("value") == "dim_value" and dimension.dim_value > 0:
        return int(dimension.dim_value)
    return dimension.dim_param or None


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a node with control flow."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def external(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Tensors whose data are in other files, those of inner graphs too."""
    held = (attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))
    yield from (tensor for tensor in (*graph.initializer, *held) if tensor.data_location == TensorProto.EXTERNAL)
    for node in graph.node:
        for inner in subgraphs(node):
            yield from external(inner)


def prefix(graph: onnx.GraphProto, text: str, dimension: Callable[[str], str]) -> None:
    """Puts `text` before every name in the graph and the graphs within, in place; dimensions go by `dimension`.

    `onnx.compose.add_prefix` goes into inner graphs before it knows the outer initialisers, so that what those refer
    to keeps its old name; and it leaves the names of dimensions, which two graphs may mean differently. Shapes of
    inner tensors and quantisation notes are left out: runtimes find the former by themselves.
    """
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    for value in (*graph.input, *graph.output):
        value.name = text + value.name
        for each in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
            if each.dim_param:
                each.dim_param = dimension(each.dim_param)
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        tensor.name = text + tensor.name
    for node in graph.node:
        node.name = text + node.name if node.name else ""
        node.input[:] = _prefixed(node.input, text)
        node.output[:] = _prefixed(node.output, text)
        for inner in subgraphs(node):
            prefix(inner, text, dimension)


def _prefixed(names: Sequence[str], text: str) -> list[str]:
    """An empty name is an input or output that is left out."""
    return [text + name if name else "" for name in names]
