"""Arrays and their description in one file without pickle, replaced as a whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

_META = "__meta__"


class Unreadable(ValueError):  # noqa: N818 - says what the bytes are
    """The bytes are no archive of this format."""


def pack(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The archive's bytes."""
    described = np.frombuffer(json.dumps(dict(meta)).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{_META: described}, **arrays)
    return out.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What was packed; raises Unreadable."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return json.loads(arrays.pop(_META).tobytes()), arrays
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(str(error)) from None


def join(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Byte strings as two arrays: all bytes, and where each string ends."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return np.frombuffer(b"".join(parts), np.uint8), ends


def parted(data: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """The byte strings that were joined."""
    whole, places = data.tobytes(), [0, *ends.tolist()]
    return [whole[start:end] for start, end in pairwise(places)]
