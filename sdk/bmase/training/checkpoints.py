"""Checkpoints as files that hold nothing but tensors and plain values: reading one runs no code of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bmase.training.run import Saved

KEPT = 3
_NAME = re.compile(r"step-(\d{12})\.pt")
_ARRAY = "numpy.ndarray"  # the only key of a dict that stands for an array


class TorchMissingError(RuntimeError):
    """Checkpoints are written by torch."""


def write(folder: Path, step: int, state: Mapping[str, Any], kept: int = KEPT) -> Path:
    """The state as a file of `folder`, whole or not at all; of what is there, the last `kept` stay.

    TypeError names what of the state is neither a tensor, an array nor a plain value.
    """
    torch = _torch()
    content = {"step": step, "state": plain(state)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:012d}.pt"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    for old in found(folder)[:-kept]:
        old.unlink()
    return path


def last(folder: Path) -> Saved | None:
    """The checkpoint of the highest step; None where there is none."""
    paths = found(folder)
    return read(paths[-1]) if paths else None


def read(path: Path) -> Saved:
    """A checkpoint as it was given to `write`, tensors on the CPU."""
    content = _torch().load(path, map_location="cpu", weights_only=True)
    return Saved(content["step"], restored(content["state"]))


def found(folder: Path) -> list[Path]:
    """The checkpoints of a folder, by step."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def plain(value: Any, where: str = "state") -> Any:
    """The value of nothing but tensors on the CPU, numbers, texts, bytes, lists, tuples and dicts."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {_ARRAY: _torch().tensor(value)}
    if isinstance(value, Mapping):
        return {_key(key, where): plain(each, f"{where}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) else list  # classes of users would be refused when it is read
        return kind(plain(each, f"{where}[{place}]") for place, each in enumerate(value))
    if isinstance(value, _torch().Tensor):
        return value.detach().cpu()
    raise TypeError(f"{where} is of type {type(value).__name__}: a checkpoint holds tensors, arrays and plain values")


def _key(key: Any, where: str) -> Any:
    if type(key) not in (str, int):
        raise TypeError(f"{where} has a key of type {type(key).__name__}: keys of a checkpoint are texts or numbers")
    return key


def restored(value: Any) -> Any:
    """What `plain` was given."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return value[_ARRAY].numpy()
        return {key: restored(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(restored(each) for each in value)
    return value


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - only checkpoints need it
    except ImportError as error:
        raise TorchMissingError("checkpoints need torch: pip install torch, or leave --checkpoints away") from error
    return torch
