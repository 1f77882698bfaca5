"""Arrays for `bmase infer` from text, JSON, .npz files and pictures, made to fit what the model declares."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bmase.core import tensors
from bmase.core.tensors import Array
from bmase.errors import InvalidArgument, Violation


class Declared(Protocol):
    """What a model says about one of its inputs (tritonclient's TensorMetadata)."""

    @property
    def name(self) -> str:
        """As the request names it."""

    @property
    def datatype(self) -> str:
        """Of the Open Inference Protocol."""

    @property
    def shape(self) -> Sequence[int]:
        """With the batch dimension; -1: any length."""


def from_text(text: str, declared: Declared) -> Array:
    """`1,2,3`, JSON such as `[[1,2],[3,4]]`, or `@FILE.npy`."""
    if text.startswith("@"):
        return fit(_load(Path(text[1:])), declared)
    if text[:1] in "[{":
        return fit(_json(text, declared.name), declared)
    if declared.datatype == "BYTES":
        return fit([text], declared)
    try:
        return fit([_number(item, declared.datatype) for item in text.split(",")], declared)
    except ValueError:
        raise wrong(declared.name, f"{text!r} is not a list of {declared.datatype} values") from None


def _number(item: str, datatype: str) -> float | int | bool:
    word = item.strip().lower()
    if datatype != "BOOL":
        return float(word) if datatype.startswith(("FP", "BF")) else int(word)
    if word not in _BOOLS:
        raise ValueError(word)
    return _BOOLS[word]


_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def from_document(document: Any) -> dict[str, Any]:
    """Values by input name from JSON: `{"x": [[1, 2]]}`, or a request of the Open Inference Protocol with `inputs`."""
    if isinstance(document, dict) and isinstance(document.get("inputs"), list):
        return {str(item.get("name")): _shaped(item) for item in document["inputs"]}
    if not isinstance(document, dict):
        raise wrong("inputs", "the JSON must be an object with a value for each input")
    return document


def _shaped(item: Mapping[str, Any]) -> Any:
    data = np.array(item.get("data", []), dtype=object if item.get("datatype") == "BYTES" else None)
    try:
        return data.reshape(item["shape"]) if "shape" in item else data
    except ValueError:
        raise wrong(str(item.get("name")), f"{data.size} values do not fill the shape {item['shape']}") from None


def from_npz(path: Path) -> dict[str, Array]:
    """Arrays by input name; names may carry the prefix `input:` of a sample."""
    loaded = _load(path)
    if not isinstance(loaded, dict):
        raise wrong("inputs", f"{path} holds one array: give it as --input NAME=@{path}")
    return {name.removeprefix("input:"): array for name, array in loaded.items() if not name.startswith("output:")}


def _load(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as problem:
        raise wrong("inputs", f"{path} cannot be read as a numpy file: {problem}") from problem


def fit(values: Any, declared: Declared) -> Array:
    """The values as an array of the declared type and shape.

    A missing batch dimension is added, a flat list is folded.
    """
    try:
        array = _array(values, declared.datatype)
    except (TypeError, ValueError, OverflowError) as problem:
        raise wrong(declared.name, f"the values do not make a {declared.datatype} array: {problem}") from problem
    shape = _shape(array.shape, list(declared.shape))
    if shape is None:
        said = f"{list(array.shape)} does not fit the declared shape {list(declared.shape)} (-1: any length)"
        raise wrong(declared.name, said)
    return array.reshape(shape)


def _array(values: Any, datatype: str) -> Array:
    if datatype == "BYTES":
        return np.array(values, dtype=object)
    dtype = np.float32 if datatype == "BF16" else tensors.DTYPES[datatype]
    array = np.asarray(values)
    if array.dtype.kind == "f" and np.dtype(dtype).kind in "iu" and not np.array_equal(array, np.trunc(array)):
        raise ValueError("they are not whole numbers")
    if np.dtype(dtype).kind in "iu" and array.size and array.dtype.kind in "iuf":
        limits = np.iinfo(np.dtype(dtype))
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(f"they must be from {limits.min} to {limits.max}")
    return array.astype(dtype)


def _shape(given: tuple[int, ...], declared: list[int]) -> list[int] | None:
    """The shape to send: as given where that fits, with a batch dimension of 1, or folded from a flat list."""
    if _matches(list(given), declared):
        return list(given)
    if declared[:1] == [-1] and _matches([1, *given], declared):
        return [1, *given]
    return _folded(math.prod(given), declared) if len(given) <= 1 else None


def _matches(shape: list[int], declared: list[int]) -> bool:
    return len(shape) == len(declared) and all(d in {-1, s} for s, d in zip(shape, declared, strict=True))


def _folded(count: int, declared: list[int]) -> list[int] | None:
    """A flat list in a declared shape: of several free dimensions the first take 1 and the last takes what is there."""
    known = math.prod(d for d in declared if d != -1)
    free = declared.count(-1)
    if known == 0 or count % known or (free == 0 and count != known):
        return None
    sizes = iter([1] * (free - 1) + [count // known])
    return [next(sizes) if d == -1 else d for d in declared]


def image(path: Path, declared: Declared) -> Array:
    """A picture in the declared shape: [..., C, H, W], [..., H, W, C], [..., H, W], or flat and square.

    Floats are 0 to 1.
    """
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  an extra of the distribution
    except ImportError:
        raise wrong("image", "reading pictures needs Pillow: pip install 'bmase[image]'") from None
    height, width, channels, last = _picture_shape(list(declared.shape), declared.name)
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB" if channels == 3 else "L").resize((width, height))
            pixels: Array = np.asarray(picture)
    except (OSError, UnidentifiedImageError) as problem:
        raise wrong("image", f"{path} is not a picture: {problem}") from problem
    if channels == 3 and not last:
        pixels = pixels.transpose(2, 0, 1)
    if declared.datatype.startswith(("FP", "BF")):
        pixels = pixels.astype(np.float32) / 255
    free = [1 if d == -1 else d for d in declared.shape]
    return fit(pixels.reshape(free), declared)


def _picture_shape(declared: list[int], name: str) -> tuple[int, int, int, bool]:
    """(height, width, channels, whether channels come last) of a picture for the declared shape."""
    inner = declared[1:] if declared[:1] == [-1] else declared
    while len(inner) > 3 and inner[0] == 1:
        inner = inner[1:]
    match inner:
        case [(1 | 3) as channels, height, width] if height > 0 and width > 0:
            return height, width, channels, False
        case [height, width, (1 | 3) as channels] if height > 0 and width > 0:
            return height, width, channels, True
        case [height, width] if height > 0 and width > 0:
            return height, width, 1, False
        case [pixels] if pixels > 0 and math.isqrt(pixels) ** 2 == pixels:
            return math.isqrt(pixels), math.isqrt(pixels), 1, False
    raise wrong(name, f"the input has the shape {declared}, which is not that of a picture")


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        raise wrong(name, f"not JSON: {problem}") from problem


def wrong(name: str, text: str) -> InvalidArgument:
    """What is wrong with an input."""
    return InvalidArgument(f"input {name}: {text}", reason="INVALID_FIELD", violations=[Violation(name, text)])
