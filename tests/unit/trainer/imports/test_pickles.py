"""Rehearsals call nothing, so attacks can be rehearsed here."""

from __future__ import annotations

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest

from services.trainer.imports import pickles
from tests.support import attacks

# It takes scikit-learn, which takes seconds, to see what this name is: an integration test does.
INSIDE_PACKAGES = "a function of a package of models"


@pytest.mark.parametrize("attack", sorted(attacks.pickles(Path("mark")).keys() - {INSIDE_PACKAGES}))
def test_no_attack_is_carried_out_and_none_is_passed(tmp_path: Path, attack: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "model.pkl"
    path.write_bytes(attacks.pickles(mark)[attack])
    with pytest.raises(pickles.UnsafePickle):
        pickles.rehearse(path)
    assert not mark.exists()


def test_all_names_are_told_not_only_the_first(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([attacks.Call(eval, "1"), attacks.Call(exec, "1")]))
    with pytest.raises(pickles.UnsafePickle, match=r"builtins\.eval, builtins\.exec"):
        pickles.rehearse(path)


@pytest.mark.parametrize("compress", [0, 3])
def test_an_attack_inside_an_array_of_objects_is_found(tmp_path: Path, compress: int) -> None:
    """joblib keeps such arrays as pickles of their own."""
    path = tmp_path / "model.joblib"
    hidden = np.array([attacks.Call(eval, "1")], dtype=object)
    joblib.dump({"numbers": np.arange(10.0), "objects": hidden}, path, compress=compress)
    with pytest.raises(pickles.UnsafePickle, match=r"builtins\.eval"):
        pickles.rehearse(path)


def test_what_models_are_made_of_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    given = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": {1, 2},
        "c": np.array(["x", None], dtype=object),
        "d": np.float32(2),
    }
    joblib.dump(given, path)
    pickles.rehearse(path)
    read = pickles.load(path)
    assert np.array_equal(read["a"], given["a"])
    assert read["b"] == given["b"]
    assert list(read["c"]) == ["x", None]


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x04"])
def test_what_is_no_pickle_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no pickle that can be followed"):
        pickles.rehearse(path)


@pytest.mark.parametrize(
    ("module", "name", "may"),
    [
        ("sklearn.linear_model._logistic", "LogisticRegression", True),
        ("sklearn._loss._loss", "__pyx_unpickle_CyHalfSquaredError", True),
        ("numpy", "log1p", True),
        ("numpy", "load", False),
        ("sklearn.datasets._base", "load_files", False),
        ("sklearnish", "Model", False),
        ("sklearn.base", "BaseEstimator.__init__", False),
        ("sklearn.base", "__loader__", False),
        ("builtins", "getattr", False),
    ],
)
def test_names(module: str, name: str, may: bool) -> None:
    assert pickles.may_name(module, name) is may
