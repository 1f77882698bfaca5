"""What a model is asked on rows that it was not trained on, and what it answers: outputs of two versions, compared.

The questions are made where the training runs, because only its code knows how rows become inputs; they are answered
by both models in one process, so a difference is the models' own.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from bmase.training import Cases, Product, Run

from services.trainer.reproduce.tensors import Tensors

ROWS = 256
MODEL = "model.onnx"
Arrays = dict[str, np.ndarray[Any, Any]]


def questions(product: Product, run: Run) -> Arrays:
    """Inputs of the model by name, for the first test rows; empty when the product does not say how it is asked."""
    if not (product.cases or product.inputs):
        return {}
    rows = next(iter(itertools.islice(run.rows("test", batch=ROWS, shard=False), 1)), None)
    if rows is None:
        return {}
    if product.cases:
        asked: Mapping[str, Any] = _hook(product.cases)(rows, product.folder).inputs
    else:
        asked = {name: _side_by_side(rows, columns) for name, columns in product.inputs.items()}
    return {name: _plain(np.asarray(array)) for name, array in asked.items()}


def answers(folder: Path, asked: Mapping[str, np.ndarray[Any, Any]]) -> Tensors:
    """Outputs by name; empty for models that are not one ONNX file, or when nothing is asked."""
    if not asked or not (folder / MODEL).is_file():
        return {}
    import onnxruntime  # noqa: PLC0415 - only jobs that compare need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
    inputs = {each.name: each for each in session.get_inputs()}
    if inputs.keys() - asked.keys():
        return {}
    fed = {name: fitted(asked[name], each.type, len(each.shape)) for name, each in inputs.items()}
    found = session.run(None, fed)
    named = {each.name: value for each, value in zip(session.get_outputs(), found, strict=True)}
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


_TYPES = {
    "float16": np.float16, "float": np.float32, "double": np.float64, "int8": np.int8, "int16": np.int16,
    "int32": np.int32, "int64": np.int64, "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32,
    "uint64": np.uint64, "bool": np.bool_, "string": np.object_,
}  # fmt: skip


def fitted(array: np.ndarray[Any, Any], kind: str, dimensions: int) -> np.ndarray[Any, Any]:
    """As an input of ONNX Runtime's type, `tensor(float)` for example; a column of numbers becomes (n, 1) for two."""
    dtype = _TYPES[kind.removeprefix("tensor(").removesuffix(")")]
    found = array.astype(dtype)
    return found[:, None] if found.ndim == 1 and dimensions == 2 else found


def _side_by_side(rows: Mapping[str, np.ndarray[Any, Any]], columns: str | tuple[str, ...]) -> np.ndarray[Any, Any]:
    if isinstance(columns, str):
        return rows[columns]
    return np.stack([rows[column].astype(np.float32) for column in columns], axis=1)


def _hook(name: str) -> Callable[[Mapping[str, Any], Path], Cases]:
    module, _, function = name.partition(":")
    found: Callable[[Mapping[str, Any], Path], Cases] = getattr(importlib.import_module(module), function)
    return found


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Objects as text, which can be kept without code."""
    if array.dtype != object:
        return array
    return np.array(
        [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in array.ravel()]
    ).reshape(array.shape)
