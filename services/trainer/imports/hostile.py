"""What came out of the sandbox, taken for hostile: files of three names within their sizes, numbers, and a graph of
standard nodes.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from bmase.reasons import Reason
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.kit.errors import DomainError
from services.trainer.imports.cell import ARRAYS, MODEL, REPORT
from services.trainer.imports.cells import MORE_MEMORY, failed

REPORT_BYTES = 4 << 20
# Nodes of these are computed by onnxruntime itself.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
KINDS = "fiubUSc"  # of numpy's types


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Refusal(_Strict):
    """Why there is no model."""

    kind: Literal["unsafe", "needs", "memory", "failed"]
    message: str = Field(max_length=2000)


class Asked(_Strict):
    """One probe: names of inputs and places of outputs -> names of arrays; or why the original did not take it."""

    name: str = Field(max_length=100)
    inputs: dict[str, str]
    outputs: dict[str, str] = {}
    refused: str = Field("", max_length=400)


class Report(_Strict):
    """What the process inside says of the model; not to be believed, only to be shown."""

    probes: list[Asked] = Field([], max_length=100)
    origin: dict[str, str] = Field({}, max_length=30)
    notes: list[str] = Field([], max_length=30)
    refused: Refusal | None = None


class Answered(_Strict):
    """A report with its files."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    report: Report
    folder: Path
    arrays: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.folder / MODEL


CONVERTED, ASKED = frozenset({REPORT, MODEL, ARRAYS}), frozenset({REPORT, ARRAYS})


def unpack(answer: Path, folder: Path, most_bytes: int, wanted: frozenset[str] = CONVERTED) -> Answered:
    """The files as `wanted`, read; DomainError UNSAFE_PICKLE, INVALID_FIELD or CONVERSION_FAILED when there is no
    model, or something else than one.
    """
    try:
        names = _extract(answer, folder, most_bytes)
        report = Report.model_validate_json((folder / REPORT).read_bytes())
    except (tarfile.TarError, OSError, ValidationError, ValueError) as error:
        raise failed(f"what it sent is not what it has to be: {str(error).splitlines()[0]}") from None
    if report.refused is not None:
        raise _refusal(report.refused)
    if names != wanted:
        raise failed(f"it sent {', '.join(sorted(names))}")
    arrays = _arrays(folder / ARRAYS, most_bytes)
    used = {key for each in report.probes for key in (*each.inputs.values(), *each.outputs.values())}
    if not used <= arrays.keys():
        raise failed("its report names arrays that it did not send")
    if MODEL in wanted:
        check(folder / MODEL)
    return Answered(report=report, folder=folder, arrays=arrays)


def _extract(answer: Path, folder: Path, most: int) -> set[str]:
    """By our own names, as plain files: links, devices and paths of the archive are never followed."""
    found: set[str] = set()
    with tarfile.open(answer, "r:") as archive:
        for member in archive:
            bound = REPORT_BYTES if member.name == REPORT else most
            if (
                member.name not in {REPORT, MODEL, ARRAYS}
                or not member.isreg()
                or member.size > bound
                or member.name in found
            ):
                raise ValueError(f"a member {member.name[:100]!r} of {member.size} bytes")
            content = archive.extractfile(member)
            assert content is not None
            (folder / member.name).write_bytes(content.read())
            found.add(member.name)
    return found


def _refusal(told: Refusal) -> DomainError:
    if told.kind == "unsafe":
        return DomainError(
            Reason.UNSAFE_PICKLE,
            f"the pickle is refused: {told.message}",
            hint="Nothing of it was run. If it is your own, save it as plain classes of its library, or as ONNX.",
        )
    if told.kind == "needs":
        return DomainError(Reason.INVALID_FIELD, told.message, field='job.parameters["inputs"]')
    return failed(told.message, MORE_MEMORY if told.kind == "memory" else "")


def _arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """Uncompressed, so that their size is the file's; no pickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [each for each in archive.infolist() if each.compress_type != zipfile.ZIP_STORED]
            if packed or sum(each.file_size for each in archive.infolist()) > most:
                raise ValueError("its arrays are packed or too large")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # whatever a hostile archive makes zipfile and numpy raise
        raise failed(f"its arrays cannot be read: {str(error)[:200]}") from None
    wrong = [name for name, array in arrays.items() if array.dtype.kind not in KINDS]
    if wrong:
        raise failed(f"its arrays {', '.join(wrong[:3])} hold no numbers or texts")
    return arrays


def check(path: Path) -> onnx.ModelProto:
    """A valid graph whose weights are inside and whose nodes are known; CONVERSION_FAILED names what is not."""
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:
        raise failed(f"the graph is not valid: {str(error).splitlines()[0][:300]}") from None
    inner = [each for function in model.functions for each in _inside(function.node)]
    bodies: list[onnx.GraphProto | onnx.FunctionProto] = [*_graphs(model.graph), *model.functions, *inner]
    strange = {node.domain for body in bodies for node in body.node} - DOMAINS
    strange -= {each.domain for each in model.functions}
    if strange:
        raise failed(f"it has nodes of {', '.join(sorted(strange))}, which no server here computes")
    outside = [
        tensor.name
        for body in bodies
        for tensor in _tensors(body)
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data
    ]
    if outside:
        raise failed(f"its weights {', '.join(outside[:3])} lie outside of the file")
    return model


def _graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """The graph and those inside its nodes."""
    return [graph, *_inside(graph.node)]


def _inside(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [each for node in nodes for each in node.attribute]
    bodies = [body for each in attributes for body in (*([each.g] if each.HasField("g") else ()), *each.graphs)]
    return [found for body in bodies for found in _graphs(body)]


def _tensors(body: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Weights, and constants in attributes: all that may say that its numbers are those of another file."""
    sparse: list[onnx.SparseTensorProto] = []
    if isinstance(body, onnx.GraphProto):
        yield from body.initializer
        sparse += body.sparse_initializer
    for each in (each for node in body.node for each in node.attribute):
        yield from (each.t, *each.tensors)
        sparse += (each.sparse_tensor, *each.sparse_tensors)
    yield from (part for each in sparse for part in (each.values, each.indices))


def dumped(document: Any) -> str:
    """JSON in which what is not finite is a text: NaN is no JSON."""
    return json.dumps(document, indent=1, default=str, allow_nan=False)
