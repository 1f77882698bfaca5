"""Foreign models by format. Each module imports its own library, inside the sandbox only."""

from __future__ import annotations

import importlib

from services.trainer.imports.originals.original import NeedsInput, Original
from services.trainer.imports.request import Request

_MODULES = {
    "onnx": "onnxfile",
    "pt2": "torchmodels",
    "torchscript": "torchmodels",
    "state-dict": "torchmodels",
    "sklearn": "scikit",
    "xgboost": "boosters",
    "lightgbm": "boosters",
    "hugging-face": "huggingface",
    "saved-model": "tensorflow",
}

__all__ = ["NeedsInput", "Original", "opened"]


def opened(request: Request) -> Original:
    """The model of a request; whatever its library raises when it is not one."""
    module = importlib.import_module(f"{__package__}.{_MODULES[request.format]}")
    found: Original = module.opened(request)
    return found
