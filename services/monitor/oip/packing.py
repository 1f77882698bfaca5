"""Takes off what transport put around a message: the frame of gRPC, and compression."""

from __future__ import annotations

import zlib

from services.monitor.oip.message import MAX_BYTES, Malformed

FRAME = 5
_GZIP, _ZLIB = b"\x1f\x8b", b"\x78"
_EITHER = 47  # zlib's word for: gzip or zlib, whichever it is


def unframed(data: bytes) -> bytes:
    """The message of one gRPC frame; a bare message, which begins with a field, comes back as it is."""
    if len(data) < FRAME or data[0] > 1:
        return data
    length = int.from_bytes(data[1:FRAME], "big")
    if length != len(data) - FRAME:
        raise Malformed(f"a frame announces {length} bytes, {len(data) - FRAME} are there")
    body = data[FRAME:]
    return inflated(body) if data[0] == 1 else body


def uncompressed(body: bytes) -> bytes:
    """An HTTP body without its compression, known by how it begins: JSON begins with neither."""
    return inflated(body) if body.startswith((_GZIP, _ZLIB)) else body


def inflated(data: bytes, limit: int = MAX_BYTES) -> bytes:
    """What was compressed by gzip or deflate; never more than `limit` bytes are made."""
    stream = zlib.decompressobj(_EITHER)
    try:
        made = stream.decompress(data, limit)
    except zlib.error:
        raise Malformed("the compression is not gzip or deflate, or is damaged") from None
    if not stream.eof:
        raise Malformed(f"what is compressed is cut off, or larger than {limit} bytes")
    return made
