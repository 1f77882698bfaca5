"""ONNX files on disk: members with external data are read whole, and the merged model is written as one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import checker, external_data_helper, helper

from services.kit.files import write_atomically
from services.trainer.ensembles import graphs
from services.trainer.ensembles.members import one_line, refused
from services.trainer.ensembles.merge import check_size


def read(paths: Mapping[str, Path]) -> dict[str, onnx.ModelProto]:
    """Member -> its model with all its data; the sizes are added up before any data are read.

    Raises DomainError for files that are no ONNX models, whose data are missing or outside their folder, or which are
    too large to be merged.
    """
    bare = {name: _bare(name, path) for name, path in paths.items()}
    check_size(sum(path.stat().st_size for path in paths.values()) + sum(map(_outside, bare.values())))
    for name, model in bare.items():
        try:
            external_data_helper.load_external_data_for_model(model, str(paths[name].parent))
        except (checker.ValidationError, ValueError, OSError) as error:
            why = f"its external data cannot be read: {one_line(error)}"
            raise refused(name, why, "bring all files of the export, in the same folder") from error
    return bare


def write(model: onnx.ModelProto, path: Path) -> None:
    """One file, whole or not at all; equal models give equal bytes. Raises OSError."""
    write_atomically(path, model.SerializeToString(deterministic=True))


def _bare(name: str, path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise refused(name, f"{path.name} is no ONNX model: {one_line(error)}", "convert it first") from error
    if not model.HasField("graph"):
        raise refused(name, f"{path.name} has no graph", "convert it first")
    return model


def _outside(model: onnx.ModelProto) -> int:
    """Bytes of tensors whose data are in other files."""
    return sum(_bytes(tensor) for tensor in graphs.external(model.graph))


def _bytes(tensor: onnx.TensorProto) -> int:
    return math.prod(tensor.dims) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
