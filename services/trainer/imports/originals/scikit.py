"""scikit-learn's estimators and pipelines, and the boosters' estimators in its manner, from pickles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.trainer.imports import pickles
from services.trainer.imports.originals import boosters
from services.trainer.imports.originals.original import NeedsInput, Original, versions
from services.trainer.imports.request import Request

OPSETS = {"": 20, "ai.onnx.ml": 3}
X = "x"


def opened(request: Request) -> Original:
    path = Path(request.model)
    pickles.rehearse(path)
    model = pickles.load(path)
    if not hasattr(model, "predict") and not hasattr(model, "transform"):
        raise ValueError(f"the pickle holds a {type(model).__name__}, which neither predicts nor transforms")
    if type(model).__module__.partition(".")[0] in {"xgboost", "lightgbm"}:
        return boosters.of_estimator(model)
    return _Scikit(model, request.inputs)


class _Scikit(Original):
    def __init__(self, model: Any, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        self.model = model
        self.columns = {name: str(told.get("dtype", "float32")) for name, told in inputs.items()}
        self.width = getattr(model, "n_features_in_", None)
        self.frame = len(self.columns) > 1
        if not self.frame and self.width is None:
            raise NeedsInput(
                'the model does not tell how many columns it takes: give inputs={"x": {"shape": [-1, COLUMNS]}}'
            )

    @property
    def origin(self) -> dict[str, str]:
        # The version that wrote it is in the pickle's state.
        state: Any = self.model.__getstate__()
        wrote = str(state.get("_sklearn_version", "")) if isinstance(state, dict) else ""
        return {
            "class": _described(self.model),
            "written with": wrote,
            **versions("scikit-learn", "skl2onnx", "joblib"),
        }

    def convert(self, target: Path) -> None:
        from skl2onnx import convert_sklearn  # noqa: PLC0415

        options: Any = {id(self._last()): {"zipmap": False}} if hasattr(self._last(), "classes_") else None
        made = convert_sklearn(self.model, initial_types=self._types(), target_opset=OPSETS, options=options)
        target.write_bytes(made.SerializeToString())

    def answer(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return answers(self.model, self._table(inputs))

    def _last(self) -> Any:
        steps = getattr(self.model, "steps", None)
        return steps[-1][1] if steps else self.model

    def _types(self) -> list[tuple[str, Any]]:
        from skl2onnx.common.data_types import (  # noqa: PLC0415
            DoubleTensorType,
            FloatTensorType,
            Int64TensorType,
            StringTensorType,
        )  # fmt: skip

        kinds = {
            "float32": FloatTensorType,
            "float64": DoubleTensorType,
            "int64": Int64TensorType,
            "str": StringTensorType,
        }
        if self.frame:
            return [(name, kinds[dtype]([None, 1])) for name, dtype in self.columns.items()]
        name, dtype = next(iter(self.columns.items()), (X, "float32"))
        return [(name, kinds[dtype]([None, self.width]))]

    def _table(self, inputs: Mapping[str, np.ndarray]) -> Any:
        if not self.frame:
            return next(iter(inputs.values()))
        import pandas as pd  # noqa: PLC0415

        # In the same order; converters change names that are no identifiers.
        named = zip(self.columns, inputs.values(), strict=True)
        return pd.DataFrame({name: array[:, 0] for name, array in named})


def answers(model: Any, table: Any) -> list[np.ndarray]:
    """In the order in which skl2onnx has them: a label and its scores, or one array."""
    if not hasattr(model, "predict"):
        return [np.asarray(model.transform(table))]
    found = [np.asarray(model.predict(table))]
    kind = getattr(model, "_estimator_type", None)
    if hasattr(model, "classes_") and kind != "regressor":
        return [*found, scores(model, table)]
    if hasattr(model, "offset_") or kind == "outlier_detector":
        return [*found, np.asarray(model.decision_function(table))]
    return [*found, np.asarray(model.transform(table))] if hasattr(model, "cluster_centers_") else found


def scores(model: Any, table: Any) -> np.ndarray:
    """Probabilities; without them decision values, those of two classes as a pair."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(table))
    values = np.asarray(model.decision_function(table))
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def _described(model: Any) -> str:
    steps: Sequence[tuple[str, Any]] = getattr(model, "steps", ())
    inner = f" of {', '.join(type(step).__name__ for _, step in steps)}" if steps else ""
    return f"{type(model).__module__}.{type(model).__name__}{inner}"
