"""Where pretrained models lie."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.kit.errors import InvalidArgument
from services.trainer.recipes.folders import digest, located


def saved(folder: Path, weights: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(b"weights")
    return folder


def test_a_folder_is_itself(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    assert located(str(folder), "encoder") == folder


def test_a_package_is_looked_into_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "some_model" / "model")
    (tmp_path / "some_model" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    assert located("some-model", "encoder") == folder
    assert "some_model" not in sys.modules


@pytest.mark.parametrize("where", ["no_such_package", "../not-there", "a b"])
def test_what_is_nowhere_is_refused(where: str) -> None:
    with pytest.raises(InvalidArgument, match="encoder"):
        located(where, "encoder")


def test_weights_that_hold_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="safe_serialization"):
        located(str(saved(tmp_path / "model", "pytorch_model.bin")), "encoder")


def test_quantised_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small_model").mkdir()
    (tmp_path / "small_model" / "small.Q4_1.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    for where in ("small-model", str(tmp_path / "small_model")):
        with pytest.raises(InvalidArgument, match=r"it has small\.Q4_1\.gguf, whose quantised weights"):
            located(where, "model")


def test_the_digest_tells_other_weights(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other")
    assert digest(one) == digest(other)
    (other / "model.safetensors").write_bytes(b"others")
    assert digest(one) != digest(other)
