"""What a model is asked on rows that it was not trained on, and what it answers: outputs of two versions, compared.

The questions are made where the training runs, because only its code knows how rows become inputs; they are answered
by both models in one process, so a difference is the models' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from bmase.training import Product, Run

from services.trainer.engine.cases import cases
from services.trainer.reproduce.tensors import Tensors

ROWS = 256
MODEL = "model.onnx"
Arrays = Mapping[str, np.ndarray[Any, Any]]


def questions(product: Product, run: Run) -> Arrays:
    """Inputs of the model by name, for the first test rows; empty when the product does not say how it is asked."""
    if not (product.cases or product.inputs):
        return {}
    rows = next(run.rows("test", batch=ROWS, shard=False), None)
    if rows is None:
        return {}
    return {name: _plain(np.asarray(array)) for name, array in cases(product, rows).inputs.items()}


def answers(folder: Path, asked: Arrays) -> Tensors:
    """Outputs by name; empty for models that are not one ONNX file, or that are asked in another way."""
    if not asked or not (folder / MODEL).is_file():
        return {}
    from services.trainer.engine.model import OnnxModel  # noqa: PLC0415 - onnxruntime only where it is needed

    model = OnnxModel(folder)
    return model(asked) if model.takes(asked) else {}


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Objects as text, which can be kept without code."""
    if array.dtype != object:
        return array
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in array.ravel()]
    return np.array(texts, np.str_).reshape(array.shape)
