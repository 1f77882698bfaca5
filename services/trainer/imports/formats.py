"""Which kind of model lies in a folder, by its names and first bytes. Nothing is loaded to find out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MARK = 4096


class Format(StrEnum):
    """What can be imported."""

    ONNX = "onnx"
    EXPORTED = "pt2"
    TORCHSCRIPT = "torchscript"
    STATE_DICT = "state-dict"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    HUGGING_FACE = "hugging-face"
    SAVED_MODEL = "saved-model"


@dataclass(frozen=True)
class Traits:
    """`code`: reading such a file can run what it says, so it is read in the sandbox or not at all.

    rtol is of the largest number that an output gives for ordinary rows, atol is absolute.
    """

    title: str
    code: bool
    rtol: float = 1e-4
    atol: float = 1e-5


TRAITS = {
    Format.ONNX: Traits("ONNX", code=False, rtol=1e-5),
    Format.EXPORTED: Traits("PyTorch exported program", code=True),
    Format.TORCHSCRIPT: Traits("TorchScript", code=True),
    Format.STATE_DICT: Traits("PyTorch state dict with its code", code=True),
    Format.SKLEARN: Traits("scikit-learn pickle", code=True),
    Format.XGBOOST: Traits("XGBoost", code=False),
    Format.LIGHTGBM: Traits("LightGBM", code=False),
    Format.HUGGING_FACE: Traits("Hugging Face directory", code=False, rtol=1e-3),
    Format.SAVED_MODEL: Traits("TensorFlow SavedModel or Keras file", code=True),
}


class Unknown(ValueError):  # noqa: N818 - a state of affairs
    """The files are of no format that is known here, or of several."""


@dataclass(frozen=True)
class Found:
    """`path` is the file to open, or the folder, below the folder that was looked at."""

    format: Format
    path: str


def detect(folder: Path, given: str = "") -> Found:
    """The format and its main file; `given` decides when the names do not. Unknown says what was there instead."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    found = [each for path in files if (each := _of(folder, path)) and (not given or each.format == given)]
    for directory in (Format.SAVED_MODEL, Format.HUGGING_FACE):
        whole = [each for each in found if each.format is directory]
        if whole:
            return whole[0]
    if len(found) == 1:
        return found[0]
    named = ", ".join(str(path) for path in files[:5]) or "nothing"
    if given and len(files) == 1:
        return Found(Format(given), str(files[0]))
    if not found:
        raise Unknown(f"there is no {given or 'model of a known format'} among {named}")
    raise Unknown(
        f"{len(found)} files could be the model: {', '.join(each.path for each in found[:5])}; give one of them"
    )


def _of(folder: Path, path: Path) -> Found | None:
    name, suffix = path.name.lower(), path.suffix.lower()
    if name == "saved_model.pb":
        return Found(Format.SAVED_MODEL, str(path.parent))
    if name == "config.json" and list((folder / path.parent).glob("*.safetensors")):
        return Found(Format.HUGGING_FACE, str(path.parent))
    if suffix in _BY_SUFFIX:
        return Found(_BY_SUFFIX[suffix], str(path))
    format_ = _by_content(folder / path, suffix)
    return Found(format_, str(path)) if format_ else None


_BY_SUFFIX = {
    ".onnx": Format.ONNX,
    ".pt2": Format.EXPORTED,
    ".joblib": Format.SKLEARN,
    ".pkl": Format.SKLEARN,
    ".pickle": Format.SKLEARN,
    ".ubj": Format.XGBOOST,
    ".keras": Format.SAVED_MODEL,
    ".safetensors": Format.STATE_DICT,
}


def _by_content(path: Path, suffix: str) -> Format | None:
    if suffix == ".json":
        return Format.XGBOOST if _is_xgboost(path) else None
    if suffix in {".txt", ".lgb", ".model"}:
        with path.open("rb") as file:
            return Format.LIGHTGBM if file.read(MARK).startswith(b"tree\n") else None
    if suffix in {".pt", ".pth", ".ts", ".bin"}:
        return _torch(path)
    return None


def _is_xgboost(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(MARK)
        return b'"learner"' in head or "learner" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError):
        return False


def _torch(path: Path) -> Format:
    if not zipfile.is_zipfile(path):
        return Format.STATE_DICT
    with zipfile.ZipFile(path) as archive:
        return _archive(archive.namelist())


def _archive(names: Sequence[str]) -> Format:
    inner = {name.partition("/")[2] for name in names}
    if "models/model.json" in inner:
        return Format.EXPORTED
    return Format.TORCHSCRIPT if "constants.pkl" in inner else Format.STATE_DICT
