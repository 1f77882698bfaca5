"""Warm-up samples from .npz files: arrays named `input:NAME` and `output:NAME`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bmase.core import tensors
from bmase.core.tensors import Array
from bmase.errors import InvalidArgument, Violation
from bmase.registry.v1 import registry_pb2 as pb


def from_npz(path: Path) -> pb.Sample:
    """The sample in a file."""
    return from_arrays(arrays_of(path), str(path))


def arrays_of(path: Path) -> dict[str, Array]:
    """The arrays in a file. Pickled ones are refused: save strings as a fixed-width type (`S` or `U`)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as problem:
        raise _wrong(f"{path} is not a .npz file with plain arrays: {problem}") from problem


def from_arrays(arrays: Mapping[str, Array], origin: str = "the sample") -> pb.Sample:
    """The sample in arrays named `input:NAME` and `output:NAME`."""
    sample = pb.Sample()
    slots = {"input": sample.inputs, "output": sample.outputs}
    for key, array in arrays.items():
        side, colon, name = key.partition(":")
        if side not in slots or not colon or not name:
            raise _wrong(f"{origin} has an array named {key!r}: the names must be input:NAME or output:NAME")
        datatype = tensors.datatype_of(array)
        slots[side].add(name=name, datatype=datatype, shape=array.shape, data=tensors.encode(array, datatype))
    if not sample.inputs:
        raise _wrong(f"{origin} has no inputs: name their arrays input:NAME")
    return sample


def _wrong(text: str) -> InvalidArgument:
    return InvalidArgument(text, reason="INVALID_FIELD", violations=[Violation("samples", text)])
