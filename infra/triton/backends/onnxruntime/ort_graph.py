"""What an ONNX graph takes and gives, and how that reads in a Triton model configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# ONNX Runtime's names of element types, Triton's, and numpy's. BF16 has no numpy type and travels as its 16 bits.
TYPES = {
    "tensor(bool)": ("TYPE_BOOL", "bool"),
    "tensor(uint8)": ("TYPE_UINT8", "uint8"),
    "tensor(uint16)": ("TYPE_UINT16", "uint16"),
    "tensor(uint32)": ("TYPE_UINT32", "uint32"),
    "tensor(uint64)": ("TYPE_UINT64", "uint64"),
    "tensor(int8)": ("TYPE_INT8", "int8"),
    "tensor(int16)": ("TYPE_INT16", "int16"),
    "tensor(int32)": ("TYPE_INT32", "int32"),
    "tensor(int64)": ("TYPE_INT64", "int64"),
    "tensor(float16)": ("TYPE_FP16", "float16"),
    "tensor(bfloat16)": ("TYPE_BF16", "uint16"),
    "tensor(float)": ("TYPE_FP32", "float32"),
    "tensor(double)": ("TYPE_FP64", "float64"),
    "tensor(string)": ("TYPE_STRING", "object"),
}
# What NVIDIA's ONNX Runtime backend chooses for a graph that can batch and a configuration that does not say.
DEFAULT_MAX_BATCH_SIZE = 4


class GraphError(Exception):
    """The graph cannot be served, or the configuration contradicts it."""


@dataclass(frozen=True)
class Port:
    """One input or output of a graph; -1 in `shape` is a dimension that may vary."""

    name: str
    type: str  # Triton's name
    shape: tuple[int, ...]

    @classmethod
    def of(cls, arg: Any) -> Port:
        """From an onnxruntime NodeArg; raises `GraphError` for what Triton cannot carry."""
        if arg.type not in TYPES:
            raise GraphError(f"{arg.name!r} is {arg.type}, which the inference protocol cannot carry")
        return cls(arg.name, TYPES[arg.type][0], tuple(d if isinstance(d, int) else -1 for d in arg.shape))

    @property
    def is_scalar(self) -> bool:
        """True for a scalar; a graph that records no rank reads the same."""
        return not self.shape

    @property
    def can_batch(self) -> bool:
        """True when rows can be put behind each other: the first of several dimensions may vary."""
        return len(self.shape) > 1 and self.shape[0] == -1

    def config(self, batched: bool) -> dict[str, Any]:
        """The entry in a model configuration.

        Triton leaves the batch dimension out and allows no empty `dims`: a scalar is one element to clients, and that
        dimension goes on the way to the graph (by Triton when `reshape` says so, by this backend without batches).
        """
        dims = list(self.shape[1:] if batched else self.shape)
        entry = {"name": self.name, "data_type": self.type, "dims": dims or [1]}
        return entry if dims or not batched else {**entry, "reshape": {"shape": []}}


@dataclass(frozen=True)
class Graph:
    """A session's inputs, the inputs that have a default (initialisers that may be overridden), and outputs."""

    inputs: tuple[Port, ...]
    optional: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def of(cls, session: Any) -> Graph:
        """From an onnxruntime InferenceSession."""
        overridable = tuple(a for a in session.get_overridable_initializers() if a.type in TYPES)
        return cls(_ports(session.get_inputs()), _ports(overridable), _ports(session.get_outputs()))

    @property
    def ports(self) -> tuple[Port, ...]:
        """All inputs and outputs."""
        return (*self.inputs, *self.optional, *self.outputs)

    @property
    def can_batch(self) -> bool:
        """True when every tensor can, so that requests may share a run."""
        return all(port.can_batch for port in (*self.inputs, *self.outputs))


def _ports(args: Iterable[Any]) -> tuple[Port, ...]:
    return tuple(Port.of(arg) for arg in args)


def chosen_batch_size(graph: Graph, config: Mapping[str, Any]) -> int:
    """`max_batch_size` for a configuration that lists neither inputs nor outputs; what it says itself otherwise."""
    said = int(config.get("max_batch_size", 0))
    if said or config.get("input") or config.get("output") or not graph.can_batch:
        return said
    return DEFAULT_MAX_BATCH_SIZE


def check(graph: Graph, config: Mapping[str, Any]) -> None:
    """Raises `GraphError` naming the first thing in which the configuration contradicts the graph."""
    batched = int(config.get("max_batch_size", 0)) > 0
    known_inputs = {p.name: p for p in (*graph.inputs, *graph.optional)}
    for entry in config.get("input", ()):
        _check_entry("input", entry, known_inputs, batched)
    for entry in config.get("output", ()):
        _check_entry("output", entry, {p.name: p for p in graph.outputs}, batched)
    listed = {entry["name"] for entry in config.get("input", ())}
    if missing := [p.name for p in graph.inputs if p.name not in listed]:
        raise GraphError(f"the graph needs input {missing[0]!r}, which the configuration does not list")


def _check_entry(kind: str, entry: Mapping[str, Any], known: Mapping[str, Port], batched: bool) -> None:
    port = known.get(entry["name"])
    if port is None:
        raise GraphError(f"the graph has no {kind} {entry['name']!r}; it has {', '.join(sorted(known))}")
    if entry["data_type"] != port.type:
        raise GraphError(f"{kind} {port.name!r} is {port.type} in the graph, {entry['data_type']} in the configuration")
    dims = entry.get("reshape", {}).get("shape", entry["dims"])
    shape = ([-1] if batched else []) + [int(d) for d in dims]
    if not compatible(shape, port.shape):
        raise GraphError(
            f"{kind} {port.name!r} has shape {list(port.shape)} in the graph, {shape} in the configuration"
        )


def compatible(said: Sequence[int], graph: Sequence[int]) -> bool:
    """True when some tensor fits both shapes; an empty one is a scalar or of no recorded rank, which look the same."""
    if not graph:
        return True
    return len(said) == len(graph) and all(a == b or -1 in (a, b) for a, b in zip(said, graph, strict=True))
