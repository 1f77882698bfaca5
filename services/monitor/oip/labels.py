"""The label that an answer amounts to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.monitor.oip.message import Tensor, Tensors

MAX_ROWS = 64
_WORDS = ("prob", "logit", "score", "class", "label")


class Label(NamedTuple):
    """`text` holds one label a row, joined by commas; `output` is where it was read."""

    output: str
    text: str


def label_of(outputs: Tensors, wanted: str = "") -> Label | None:
    """The predicted label: the place of the largest value of a vector, else the value itself.

    `wanted` names the output. Without it one is guessed: names of classes, else what looks like their probabilities.
    """
    if wanted:
        return _label(wanted, outputs[wanted]) if wanted in outputs else None
    named = [name for name, tensor in outputs.items() if _names_classes(tensor)]
    likely = named or [name for name, tensor in outputs.items() if _weighs_classes(name, tensor)]
    return _label(likely[0], outputs[likely[0]]) if likely else None


def _label(name: str, tensor: Tensor) -> Label | None:
    array = tensor.array
    if array.size == 0:
        return None
    if _is_vector(tensor):
        rows: np.ndarray = np.argmax(np.nan_to_num(array.reshape(-1, array.shape[-1]), nan=-np.inf), axis=1)
    else:
        rows = array.reshape(-1)
    if rows.size > MAX_ROWS:
        return None
    return Label(name, ",".join(_text(item) for item in rows.tolist()))


def _is_vector(tensor: Tensor) -> bool:
    """Whether the last dimension counts classes: an integer in a row of its own is the class itself."""
    array = tensor.array
    if tensor.datatype in {"BYTES", "BOOL"} or array.ndim == 0 or array.shape[-1] < 2:
        return False
    return array.ndim > 1 or array.dtype.kind == "f"


def _names_classes(tensor: Tensor) -> bool:
    return tensor.array.dtype.kind in "Oiub" and 0 < tensor.array.size <= MAX_ROWS and not _is_vector(tensor)


def _weighs_classes(name: str, tensor: Tensor) -> bool:
    array = tensor.array
    if array.dtype.kind != "f" or array.size == 0 or not _is_vector(tensor):
        return False
    if any(word in name.lower() for word in _WORDS):
        return True
    sums = array.astype(np.float64).reshape(-1, array.shape[-1]).sum(axis=1)
    return bool((array >= 0).all() and np.allclose(sums, 1, atol=1e-2))


def _text(item: object) -> str:
    if isinstance(item, bytes):
        return item.decode("utf-8", errors="replace")
    if isinstance(item, float):
        return f"{item:.6g}"
    return str(int(item)) if isinstance(item, bool) else str(item)
