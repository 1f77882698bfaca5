"""BF16 between Triton and ONNX Runtime.

numpy has no such type, so Triton hands BF16 over by DLPack only. The 16 bits of an element are kept as uint16: the
element type in the DLPack header is rewritten on the way in and out, the data stay where they are.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

_DL_UINT, _DL_BFLOAT = 1, 4
ONNX_BFLOAT16 = 16  # TensorProto.BFLOAT16


class _DLTensor(ctypes.Structure):
    """The head of DLPack's DLManagedTensor, as its C header lays it out."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)

_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype, _rename.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)
_CONSUMED = b"used_dltensor"  # kept: a capsule holds only the pointer to its name


def _retype(capsule: Any, code: int) -> Any:
    """Changes the element type a DLPack capsule declares."""
    _DLTensor.from_address(_pointer(capsule, b"dltensor")).code = code
    return capsule


class _Exporter:
    """What `numpy.from_dlpack` takes."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, stream: object = None) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # CPU


def to_bits(tensor: Any) -> np.ndarray:
    """A Triton BF16 tensor's elements as uint16, without a copy."""
    return np.from_dlpack(_Exporter(_retype(tensor.to_dlpack(), _DL_UINT)))


def from_bits(make: Any, name: str, bits: np.ndarray) -> Any:
    """A Triton BF16 tensor by `make(name, capsule)` from uint16 elements."""
    owned = np.require(bits, requirements=["C", "W"])
    capsule = _retype(owned.__dlpack__(), _DL_BFLOAT)
    tensor = make(name, capsule)
    # Triton marks a consumed capsule "used_dlpack"; numpy's destructor knows only the name the protocol gives.
    _rename(capsule, _CONSUMED)
    return tensor


def bits_of_value(value: Any) -> np.ndarray:
    """A BF16 OrtValue's elements as uint16, copied out of ONNX Runtime's memory."""
    shape = tuple(value.shape())
    count = int(np.prod(shape))
    if count == 0:
        return np.empty(shape, np.uint16)
    memory = ctypes.string_at(value.data_ptr(), count * 2)
    return np.frombuffer(memory, np.uint16).reshape(shape).copy()  # a copy that may be written to, as DLPack demands
