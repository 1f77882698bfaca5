"""What is inside a model file: its tensors by name, and, of an ONNX model, the graph around them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import onnx
from bmase.reasons import Reason
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from services.kit.errors import DomainError
from services.trainer.reproduce.documents import Document
from services.trainer.reproduce.safetensors import SafetensorsFile
from services.trainer.reproduce.tensors import Array, Tensors


class Part(Document):
    """One thing in a graph that is no tensor of weights: an input, a node, an output, a version of operators."""

    name: str
    digest: str  # of all that it says

    def __str__(self) -> str:
        return self.name


class Inside(Mapping[str, Array]):
    """Tensors of an ONNX model by name, each read when it is asked for; `graph` is what is around them, and `beside`
    names the files, relative to the model's folder, that hold data of its tensors.
    """

    def __init__(
        self,
        read: Mapping[str, Callable[[], Array]],
        graph: tuple[Part, ...] = (),
        beside: frozenset[str] = frozenset(),
    ) -> None:
        self._read, self.graph, self.beside = read, graph, beside

    def __getitem__(self, name: str) -> Array:
        return self._read[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def open_weights(path: Path) -> Tensors | None:
    """None for formats that hold no tensors by name. Raises DomainError(INVALID_MODEL_FILE) for broken files."""
    match path.suffix:
        case ".onnx":
            return read_onnx(path)
        case ".safetensors":
            return SafetensorsFile(path)
    return None


def graph_of(tensors: Tensors) -> tuple[Part, ...]:
    return tensors.graph if isinstance(tensors, Inside) else ()


def beside(tensors: Tensors) -> frozenset[str]:
    return tensors.beside if isinstance(tensors, Inside) else frozenset()


def read_onnx(path: Path) -> Inside:
    """Data in other files beside it are read too, each when it is asked for; onnx refuses those outside its folder."""
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise _broken(path, error) from error
    if not model.HasField("graph"):
        raise _broken(path, ValueError("it has no graph"))
    tensors = dict(_tensors(model.graph, ""))
    return Inside(
        {name: _reader(tensor, path) for name, tensor in tensors.items()},
        (*_versions(model), *_parts(model.graph, ""), *_functions(model)),
        frozenset(entry.value for each in tensors.values() for entry in each.external_data if entry.key == "location"),
    )


def _tensors(graph: onnx.GraphProto, prefix: str) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Initialisers and constants, those of inner graphs under the path of their node."""
    for tensor in graph.initializer:
        yield f"{prefix}{tensor.name}", tensor
    for sparse in graph.sparse_initializer:
        yield f"{prefix}{sparse.values.name}", sparse.values
        yield f"{prefix}{sparse.values.name}/indices", sparse.indices
    for place, node in _nodes(graph, prefix):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield f"{place}/{attribute.name}", attribute.t
        for inner, within in _inner(node, place):
            yield from _tensors(within, inner)


def _parts(graph: onnx.GraphProto, prefix: str) -> Iterator[Part]:
    """In the graph's order, which is that of computation."""
    for value in graph.input:
        yield _part(f"input {prefix}{value.name}", value.type.SerializeToString(deterministic=True))
    for place, node in _nodes(graph, prefix):
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        bare.doc_string = ""
        del bare.metadata_props[:]
        for attribute in bare.attribute:  # tensors are compared as such, inner graphs node by node
            for field in ("t", "g", "doc_string"):
                attribute.ClearField(field)
            attribute.ClearField("graphs")
        yield _part(f"node {place} ({node.op_type})", bare.SerializeToString(deterministic=True))
        for inner, within in _inner(node, place):
            yield from _parts(within, inner)
    for value in graph.output:
        yield _part(f"output {prefix}{value.name}", value.type.SerializeToString(deterministic=True))


def _nodes(graph: onnx.GraphProto, prefix: str) -> Iterator[tuple[str, onnx.NodeProto]]:
    """With a place of its own for each: names may be absent or come twice."""
    for number, node in enumerate(graph.node):
        yield f"{prefix}{number}:{node.name or next(iter(node.output), '')}", node


def _inner(node: onnx.NodeProto, place: str) -> Iterator[tuple[str, onnx.GraphProto]]:
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        for number, graph in enumerate(graphs):
            yield f"{place}/{attribute.name}.{number}/", graph


def _versions(model: onnx.ModelProto) -> Iterator[Part]:
    yield _part("IR version", str(model.ir_version).encode())
    for opset in sorted(model.opset_import, key=lambda opset: opset.domain):
        yield _part(f"operators of {opset.domain or 'ai.onnx'}", str(opset.version).encode())


def _functions(model: onnx.ModelProto) -> Iterator[Part]:
    for function in model.functions:
        name = f"function {function.domain}.{function.name}"
        yield _part(name, function.SerializeToString(deterministic=True))


def _part(name: str, content: bytes) -> Part:
    return Part(name=name, digest=f"sha256:{hashlib.sha256(content).hexdigest()}")


def _reader(tensor: onnx.TensorProto, path: Path) -> Callable[[], Array]:
    def read() -> Array:
        own = onnx.TensorProto()
        own.CopyFrom(tensor)  # what is read from outside would stay in it
        try:
            return numpy_helper.to_array(own, str(path.parent))
        except (onnx.checker.ValidationError, ValueError, TypeError, OSError) as error:
            raise _broken(path, error) from error

    return read


def _broken(path: Path, error: Exception) -> DomainError:
    return DomainError(
        Reason.INVALID_MODEL_FILE,
        f"{path.name} cannot be read as an ONNX model: {' '.join(str(error).split())[:300]}",
        hint="Bring all files of the export, in the same folder, as they were written.",
    )
