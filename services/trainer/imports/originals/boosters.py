"""XGBoost and LightGBM: their own files, which hold no code, and their estimators out of pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from services.trainer.imports.originals.original import Original, versions
from services.trainer.imports.request import Request

X = "x"
OPSET = 15  # the newest that onnxmltools writes; the nodes are of ai.onnx.ml, so that `graph` can raise it


def opened(request: Request) -> Original:
    return _xgboost(request.model) if request.format == "xgboost" else _lightgbm(request.model)


def of_estimator(model: Any) -> Original:
    """A classifier or regressor with scikit-learn's manners."""
    return _Boosted(model, "xgboost" if type(model).__module__.startswith("xgboost") else "lightgbm")


def _xgboost(path: str) -> Original:
    import xgboost  # noqa: PLC0415

    booster = xgboost.Booster(model_file=path)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    kind = xgboost.XGBClassifier if objective.startswith(("binary:", "multi:")) else xgboost.XGBRegressor
    model = kind()
    model.load_model(path)
    return _Boosted(model, "xgboost")


def _lightgbm(path: str) -> Original:
    import lightgbm  # noqa: PLC0415

    return _Boosted(lightgbm.Booster(model_file=path), "lightgbm")


class _Boosted(Original):
    def __init__(self, model: Any, library: str) -> None:
        self.model, self.library = model, library
        self.classifies = hasattr(model, "predict_proba")
        if hasattr(model, "num_feature"):  # LightGBM's own Booster
            self.width = model.num_feature()
            self.classifies = _objective(model).startswith(("binary", "multiclass"))
        else:
            self.width = model.n_features_in_
        booster = getattr(model, "get_booster", None)
        if booster is not None:
            booster().feature_names = None  # converters want f0, f1, ...

    @property
    def origin(self) -> dict[str, str]:
        package = "xgboost-cpu" if self.library == "xgboost" else "lightgbm"
        return {
            "class": f"{type(self.model).__module__}.{type(self.model).__name__}",
            **versions(package, "onnxmltools"),
        }

    def convert(self, target: Path) -> None:
        from onnxmltools import convert_lightgbm, convert_xgboost  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

        types = [(X, FloatTensorType([None, self.width]))]
        if self.library == "xgboost":
            made = convert_xgboost(self.model, initial_types=types, target_opset=OPSET)
        else:
            made = convert_lightgbm(self.model, initial_types=types, target_opset=OPSET, zipmap=False)
        target.write_bytes(made.SerializeToString())

    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        table = next(iter(inputs.values()))
        if not self.classifies:
            return [np.asarray(self.model.predict(table))]
        if hasattr(self.model, "predict_proba"):
            return [np.asarray(self.model.predict(table)), np.asarray(self.model.predict_proba(table))]
        chances = np.asarray(self.model.predict(table))
        if chances.ndim == 1:
            chances = np.stack([1 - chances, chances], axis=1)
        return [chances.argmax(axis=1), chances]


def _objective(booster: Any) -> str:
    found: str = booster.dump_model(num_iteration=1).get("objective", "") or ""
    return found
