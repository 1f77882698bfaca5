"""Estimators of the libraries, made of the same parameters, and their training with figures of each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.trainer.recipes.tabular.recipe import Tabular

Told = Callable[[int, Mapping[str, float]], None]  # round from 1 on, figures


@dataclass(frozen=True)
class Rows:
    """Features (n, f) float32; truth (n,): class indices int64, or float64."""

    features: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Chance:
    """What else decides about a fit."""

    seed: int
    threads: int

    @property
    def state(self) -> int:
        """As all three libraries take it."""
        return self.seed % 2**31


def fit(asked: Tabular, chance: Chance, train: Rows, validation: Rows, told: Told) -> Any:
    """A fitted estimator. With the same arguments it is the same each time."""
    makers: dict[str, Callable[..., Any]] = {"sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm}
    return makers[asked.library](asked, chance, train, validation, told)


def predicted(estimator: Any, features: np.ndarray, task: str) -> np.ndarray:
    """Probabilities (n, classes), or values (n,)."""
    if task == "regression":
        return np.asarray(estimator.predict(features)).reshape(-1)
    return np.asarray(estimator.predict_proba(features))


def figures(answers: np.ndarray, truth: np.ndarray, task: str) -> dict[str, float]:
    """What is reported of answers to validation rows."""
    if task == "regression":
        error = answers - truth
        return {"val_loss": float(np.mean(error**2)), "val_mae": float(np.mean(np.abs(error)))}
    likely = np.clip(answers[np.arange(len(truth)), truth], 1e-15, 1)
    right = answers.argmax(axis=1) == truth
    return {"val_loss": float(-np.log(likely).mean()), "val_accuracy": float(right.mean())}


def _sklearn(asked: Tabular, chance: Chance, train: Rows, validation: Rows, told: Told) -> Any:
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    makers = {"boosting": _hist_boosting, "forest": _forest, "linear": _linear}
    estimator = makers[asked.estimator](asked, chance)
    with threadpool_limits(chance.threads):
        if asked.estimator == "boosting" and asked.patience:
            estimator.fit(train.features, train.truth, X_val=validation.features, y_val=validation.truth)
        else:
            estimator.fit(train.features, train.truth)
        for number, answers in enumerate(_staged(asked, estimator, validation.features), 1):
            told(number, figures(answers, validation.truth, asked.task))
    return estimator


def _staged(asked: Tabular, estimator: Any, features: np.ndarray) -> Any:
    """Answers after each round, of a boosting; else the last ones."""
    if asked.estimator != "boosting":
        return [predicted(estimator, features, asked.task)]
    return (estimator.staged_predict if asked.task == "regression" else estimator.staged_predict_proba)(features)


def _hist_boosting(asked: Tabular, chance: Chance) -> Any:
    from sklearn import ensemble  # noqa: PLC0415

    regression = asked.task == "regression"
    kind = ensemble.HistGradientBoostingRegressor if regression else ensemble.HistGradientBoostingClassifier
    return kind(
        max_iter=asked.rounds,
        learning_rate=asked.learning_rate,
        max_depth=asked.depth or None,
        max_leaf_nodes=asked.leaves,
        min_samples_leaf=asked.min_rows or 20,
        max_features=asked.columns,
        l2_regularization=asked.l2,
        early_stopping=asked.patience > 0,
        n_iter_no_change=asked.patience or 10,
        random_state=chance.state,
    )


def _forest(asked: Tabular, chance: Chance) -> Any:
    from sklearn import ensemble, impute, pipeline  # noqa: PLC0415

    regression = asked.task == "regression"
    kind = ensemble.RandomForestRegressor if regression else ensemble.RandomForestClassifier
    forest = kind(
        n_estimators=asked.rounds,
        max_depth=asked.depth or None,
        min_samples_leaf=asked.min_rows or 1,
        max_features=asked.columns if asked.columns < 1 else (1.0 if regression else "sqrt"),
        max_samples=asked.subsample if asked.subsample < 1 else None,
        n_jobs=chance.threads,
        random_state=chance.state,
    )
    return pipeline.make_pipeline(impute.SimpleImputer(strategy="median", keep_empty_features=True), forest)


def _linear(asked: Tabular, chance: Chance) -> Any:
    from sklearn import impute, linear_model, pipeline, preprocessing  # noqa: PLC0415

    last: Any
    if asked.task == "regression":
        last = linear_model.Ridge(alpha=asked.l2)
    else:
        last = linear_model.LogisticRegression(C=1 / asked.l2 if asked.l2 else np.inf, max_iter=asked.rounds)
    first = impute.SimpleImputer(strategy="mean", keep_empty_features=True)
    return pipeline.make_pipeline(first, preprocessing.StandardScaler(), last)


def _xgboost(asked: Tabular, chance: Chance, train: Rows, validation: Rows, told: Told) -> Any:
    import xgboost  # noqa: PLC0415

    class Tell(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            told(epoch + 1, _named((name, values[-1]) for name, values in evals_log["validation_0"].items()))
            return False

    several = asked.task == "classification" and len(np.unique(train.truth)) > 2
    loss = "rmse" if asked.task == "regression" else "mlogloss" if several else "logloss"
    right = "mae" if asked.task == "regression" else "merror" if several else "error"
    early = (
        xgboost.callback.EarlyStopping(rounds=asked.patience, metric_name=loss, save_best=True)
        if asked.patience
        else None
    )
    kind = xgboost.XGBRegressor if asked.task == "regression" else xgboost.XGBClassifier
    estimator = kind(
        n_estimators=asked.rounds,
        learning_rate=asked.learning_rate,
        max_depth=asked.depth or None,
        min_child_weight=asked.min_rows or None,
        subsample=asked.subsample,
        colsample_bytree=asked.columns,
        reg_lambda=asked.l2,
        tree_method="hist",
        eval_metric=[right, loss],
        callbacks=[Tell(), *([early] if early else [])],
        n_jobs=chance.threads,
        random_state=chance.state,
    )
    held_out = [(validation.features, validation.truth)]
    return estimator.fit(train.features, train.truth, eval_set=held_out, verbose=False)


def _lightgbm(asked: Tabular, chance: Chance, train: Rows, validation: Rows, told: Told) -> Any:
    import lightgbm  # noqa: PLC0415

    def tell(env: Any) -> None:
        told(env.iteration + 1, _named((name, value) for _, name, value, _ in env.evaluation_result_list))

    kind = lightgbm.LGBMRegressor if asked.task == "regression" else lightgbm.LGBMClassifier
    several = asked.task == "classification" and len(np.unique(train.truth)) > 2
    loss = "l2" if asked.task == "regression" else "multi_logloss" if several else "binary_logloss"
    right = "l1" if asked.task == "regression" else "multi_error" if several else "binary_error"
    early = [lightgbm.early_stopping(asked.patience, first_metric_only=True, verbose=False)] if asked.patience else []
    estimator = kind(
        n_estimators=asked.rounds,
        learning_rate=asked.learning_rate,
        max_depth=asked.depth or -1,
        num_leaves=asked.leaves,
        min_child_samples=asked.min_rows or 20,
        subsample=asked.subsample,
        subsample_freq=1 if asked.subsample < 1 else 0,
        colsample_bytree=asked.columns,
        reg_lambda=asked.l2,
        metric="None",
        deterministic=True,
        force_row_wise=True,
        n_jobs=chance.threads,
        random_state=chance.state,
        verbose=-1,
    )
    held_out: dict[str, Any] = {"eval_X": validation.features, "eval_y": validation.truth}
    return estimator.fit(train.features, train.truth, **held_out, eval_metric=[loss, right], callbacks=[tell, *early])


def _named(pairs: Any) -> dict[str, float]:
    """The libraries' figures under the names that all recipes have."""
    told: dict[str, float] = {}
    for name, value in pairs:
        if name in ("mlogloss", "logloss", "multi_logloss", "binary_logloss", "l2"):
            told["val_loss"] = float(value)
        elif name == "rmse":
            told["val_loss"] = float(value) ** 2
        elif name in ("mae", "l1"):
            told["val_mae"] = float(value)
        else:
            told["val_accuracy"] = 1 - float(value)
    return told
