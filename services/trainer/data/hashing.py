"""Rows as 64-bit hashes that depend on their values only: not on the file, the format, the order of the columns.

    the same                                            not the same
    5 as int8, int64, float32 or float64; True and 1    5, a time or True, and their text (as CSV has the last two)
    0.1 as float32 and as float64                       0.1 as float16 (another number)
    0.0 and -0.0; every NaN                             a row and the same row with one column more
    a picture [28, 28, 1] and its pixels [784]          the same value under another column's name
    the text "a" and the bytes b"a"

Numbers that are not whole are rounded to float32 for this, so what was stored narrower stays the same row; numbers that
differ beyond that end up together, which costs nothing. Whole numbers keep 53 bits. Nothing here is cryptographic:
it keeps rows together, it does not prove anything. The values are part of what versions record: never change them.

Per column a multilinear hash (Lemire and Kaser 2014, arXiv 1202.4961) over fixed multipliers, between columns a sum,
mixed by the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from services.trainer.data.columns import Array, Batch, length

Hashes = npt.NDArray[np.uint64]

CHUNK_VALUES = 64 * 1024  # half a megabyte: stays in the processor's cache
_NUMBER, _TEXT, _TIME = (np.uint64(tag) for tag in (0x6E756D, 0x746578, 0x74696D))
_STEPS = tuple(np.uint64(number) for number in (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB, 31))
_HALF = np.uint64(32)


def row_hashes(batch: Batch, names: Sequence[str] | None = None) -> Hashes:
    """One hash a row, over the named columns or all; [rows], evenly spread over 64 bits."""
    total = np.zeros(length(batch), np.uint64)
    for name in sorted(batch if names is None else names):
        total += mix(_column(batch[name]) + text_hash(name))
    return mix(total)


def mix(values: Hashes) -> Hashes:
    """A bijection of 64-bit words whose every output bit depends on every input bit."""
    first, times, second, again, last = _STEPS
    values = (values ^ (values >> first)) * times
    values = (values ^ (values >> second)) * again
    return values ^ (values >> last)


def text_hash(text: str | bytes) -> np.uint64:
    """Of the UTF-8 bytes."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return np.uint64(int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little"))


def _column(array: Array) -> Hashes:
    """One hash a row; columns of text, of times and of numbers never meet."""
    flat = array.reshape(len(array), -1) if len(array) else array.reshape(0, 1)
    if array.dtype.kind in "OSU":
        return mix(_dot(flat, _text_words) ^ _TEXT)
    if array.dtype.kind == "M":
        return mix(_dot(flat, _time_words) ^ _TIME)
    return mix(_dot(flat, _number_words) ^ _NUMBER)


def _dot(flat: Array, words: Callable[[Array], Hashes]) -> Hashes:
    """Sum of word times multiplier over each row; [rows, values] -> [rows], a chunk of rows at a time."""
    step = max(1, CHUNK_VALUES // max(1, flat.shape[1]))
    multipliers = _multipliers(flat.shape[1])
    found = np.empty(len(flat), np.uint64)
    for start in range(0, len(flat), step):
        rows = slice(start, start + step)
        found[rows] = words(flat[rows]) @ multipliers
    return found


@lru_cache(maxsize=64)
def _multipliers(count: int) -> Hashes:
    """Odd numbers, one a position."""
    return mix(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def _number_words(values: Array) -> Hashes:
    wide = values.astype(np.float64)
    if values.dtype == np.float64:
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(wide, wide.astype(np.float32), where=np.rint(wide) != wide)
    if values.dtype.kind == "f":
        wide += 0.0  # -0.0 becomes 0.0
        wide[np.isnan(wide)] = np.nan
    bits = wide.view(np.uint64)
    # Small numbers have their information in the upper bits, which a product modulo 2**64 would drop.
    return bits ^ (bits >> _HALF)


def _time_words(values: Array) -> Hashes:
    return values.astype("datetime64[us]").view(np.uint64)


def _text_words(values: Array) -> Hashes:
    """Each text that occurs is hashed once."""
    listed = values.ravel().tolist()
    known = {value: text_hash(value) for value in set(listed)}
    return np.fromiter((known[value] for value in listed), np.uint64, len(listed)).reshape(values.shape)
