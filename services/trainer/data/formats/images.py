"""Pictures as rows: one file, one row, `image` uint8 [height, width, channels]; turned as their EXIF tells.

The class is the name of the folder, which is no business of the file: `reading` adds it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from services.trainer.data.columns import Array, Batch, Column
from services.trainer.data.errors import malformed
from services.trainer.data.formats.model import Found

IMAGE, LABEL = "image", "label"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 64_000_000

_GREY = frozenset({"1", "L"})
_EIGHT_BITS = frozenset({"1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
_MODES = {1: "L", 3: "RGB"}


def inspect(content: BinaryIO, uri: str) -> Found:
    """Decodes the picture, so a damaged one is found before the training."""
    shape = _pixels(content, uri, None).shape
    return Found(1, (Column(name=IMAGE, dtype="uint8", shape=shape),))


def batches(content: BinaryIO, uri: str, columns: Sequence[Column], rows: int) -> Iterator[Batch]:
    """See `Format`. A picture of another size or colour than its column's is made to fit."""
    for column in columns:
        yield {column.name: _pixels(content, uri, column.shape)[np.newaxis]}


def _pixels(content: BinaryIO, uri: str, shape: tuple[int, ...] | None) -> Array:
    from PIL import Image, ImageOps  # noqa: PLC0415 - only data sets of pictures need it

    raw = content.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise malformed(uri, f"has more than {MAX_FILE_BYTES} bytes")
    try:
        with Image.open(io.BytesIO(raw)) as image:
            _check(image.size, image.mode, uri)
            channels = shape[2] if shape else 1 if image.mode in _GREY else 3
            upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise malformed(uri, f"is no picture that can be read: {error}") from error
    if shape and upright.size != (shape[1], shape[0]):
        upright = upright.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.array(upright, np.uint8).reshape(upright.height, upright.width, channels)


def _check(size: tuple[int, int], mode: str, uri: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise malformed(uri, f"has {size[0]} x {size[1]} pixels; at most {MAX_PIXELS} are decoded")
    if mode not in _EIGHT_BITS:
        raise malformed(uri, f"has the mode {mode}, not eight bits a channel", "Convert it, or keep such data as NPZ.")
