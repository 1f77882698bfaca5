"""What a job may ask of tabular."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from services.trainer.recipes.recipe import Parameters, Recipe

Library = Literal["sklearn", "xgboost", "lightgbm"]


class Tabular(Parameters):
    """Names are the same for all libraries; what a library does not know of them is left out."""

    target: str = Field(min_length=1, description="column to predict")
    task: Literal["classification", "regression"] = "classification"
    library: Library = "sklearn"
    estimator: Literal["boosting", "forest", "linear"] = Field(
        "boosting", description="forest and linear: of sklearn alone"
    )
    features: tuple[str, ...] = Field((), max_length=10_000, description="columns; empty: all but target")
    slices: tuple[str, ...] = Field((), description="columns by which the evaluation is split")
    text: Literal["onehot", "ordinal", "refuse"] = Field("onehot", description="what becomes of columns with text")
    categories: int = Field(256, ge=2, le=10_000, description="most different values of a column with text")
    rounds: int = Field(200, ge=1, le=100_000, description="trees of each class, or steps of the solver at most")
    learning_rate: float = Field(0.1, gt=0, le=1)
    depth: int = Field(0, ge=0, le=64, description="of a tree; 0: as the library has it")
    leaves: int = Field(31, ge=2, le=65_536, description="of a tree of a boosting, but of xgboost")
    min_rows: int = Field(0, ge=0, le=1_000_000, description="of a leaf at least; 0: as the library has it")
    subsample: float = Field(1.0, gt=0, le=1, description="rows that a tree sees")
    columns: float = Field(1.0, gt=0, le=1, description="features that a tree, or a split of sklearn, sees")
    l2: float = Field(1.0, ge=0, le=1e6)
    patience: int = Field(20, ge=0, le=10_000, description="rounds without a better val_loss before it stops; 0: never")
    tolerance: float = Field(1e-4, gt=0, le=1, description="of ONNX against the library, on validation rows")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.library != "sklearn" and self.estimator != "boosting":
            raise ValueError(f"{self.library} has only boosting; {self.estimator} is of sklearn")
        if self.target in self.features:
            raise ValueError("the target is one of the features: a model would only repeat it")
        return self


# One process: these libraries share out a training over threads. Further workers would only wait.
RECIPE = Recipe(
    "tabular",
    "Classes or numbers from rows, by scikit-learn, XGBoost or LightGBM",
    f"{__package__}.train:main",
    Tabular,
    most_workers=1,
)
