"""References from .npz files: rows that a version was made with, in arrays named `input:NAME` and `output:NAME`.

Only sketches of them are kept. What does not fit into one message is thinned out, evenly and always in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bmase import samples
from bmase.core.tensors import Array
from bmase.errors import InvalidArgument, Violation
from bmase.monitor.v1 import monitor_pb2 as pb

MOST_BYTES = 12 * 1024 * 1024


def from_npz(path: Path, most_bytes: int = MOST_BYTES) -> pb.PutReferenceRequest:
    """The rows in a file, without the version's name; InvalidArgument when it is none."""
    arrays = samples.arrays_of(path)
    return from_arrays(arrays, str(path), most_bytes)


def from_arrays(
    arrays: Mapping[str, Array], origin: str = "the reference", most_bytes: int = MOST_BYTES
) -> pb.PutReferenceRequest:
    """The rows in arrays, all of the same length."""
    lengths = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(lengths) != 1 or lengths == {0}:
        why = "its arrays must have the same number of rows, and at least one"
        raise InvalidArgument(f"{origin}: {why}", reason="INVALID_FIELD", violations=[Violation("reference", why)])
    rows = _thinned(lengths.pop(), sum(array.nbytes for array in arrays.values()), most_bytes)
    sample = samples.from_arrays({name: array[rows] for name, array in arrays.items()}, origin)
    request = pb.PutReferenceRequest()
    for tensors, target in ((sample.inputs, request.inputs), (sample.outputs, request.outputs)):
        for tensor in tensors:
            target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, raw=tensor.data)
    return request


def _thinned(count: int, size: int, most: int) -> Array:
    kept = min(count, max(1, count * most // max(size, 1)))
    return np.linspace(0, count - 1, kept).round().astype(np.int64)
