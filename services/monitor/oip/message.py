"""What comes out of a message, and the bounds that hold for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

MAX_BYTES = 64 * 1024 * 1024
MAX_TENSORS = 1024
MAX_DIMENSIONS = 32
MAX_NAME = 256


class Malformed(ValueError):  # noqa: N818 - says what the bytes are, as everywhere in this package
    """The bytes are not the message they are said to be; the text says why and holds none of their values."""


class Tensor(NamedTuple):
    """`array` has the tensor's shape. BYTES are an object array of bytes, BF16 is widened to float32."""

    datatype: str
    array: np.ndarray


Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: `id` is what the client called the request."""

    id: str = ""
    model: str = ""
    version: str = ""
    tensors: Tensors = field(default_factory=dict)
    sequence: bool = False  # belongs to others before and after it


def checked_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as it is; raises Malformed when no array can have it, or the name is none."""
    if not 0 < len(name) <= MAX_NAME:
        raise Malformed(f"a tensor's name has {len(name)} characters")
    if len(shape) > MAX_DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise Malformed(f"{name!r:.80} has a shape that no tensor has")
    if math.prod(shape) > MAX_BYTES:
        raise Malformed(f"{name!r:.80} has {math.prod(shape)} values")
    return tuple(shape)
