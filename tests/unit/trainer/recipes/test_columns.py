"""Columns that cannot be what a recipe takes them for: refused by name, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bmase.training import LocalRun, Product

from services.kit.errors import InvalidArgument
from services.trainer.engine.cases import cases
from services.trainer.recipes.labels import Labels, labels
from services.trainer.recipes.recommendation.interactions import ids_of
from services.trainer.recipes.tokens import check_texts


def run(folder: Path, values: np.ndarray) -> LocalRun:
    np.savez(folder / "rows.npz", label=values)
    return LocalRun({"data": folder / "rows.npz"})


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "rows without a class"), (np.inf, "the value inf"), (0.5, "the value 0.5"), (-1.0, "the value -1.0")],
)
def test_numbers_that_are_no_classes(tmp_path: Path, value: float, words: str) -> None:
    with run(tmp_path, np.array([0.0, 1.0] * 10 + [value])) as given, pytest.raises(InvalidArgument, match=words):
        labels(given, "label")


def test_whole_fractions_are_classes(tmp_path: Path) -> None:
    with run(tmp_path, np.array([0.0, 2.0] * 10)) as given:
        assert labels(given, "label").count == 3


@pytest.mark.parametrize("folders", [("cat", "dog", "eel"), tuple(sorted(map(str, range(12)))), ("1", "2", "x")])
def test_places_of_folders_are_judged_as_places(tmp_path: Path, folders: tuple[str, ...]) -> None:
    found = Labels(len(folders), folders, text=False, rows={})
    truth = np.arange(len(folders))
    product = Product(tmp_path, "classification", inputs={"image": "image"}, target="label", classes=found.names)
    asked = cases(product, {"image": np.zeros((len(folders), 2)), "label": truth})
    assert asked.truth["labels"].tolist() == truth.tolist()


@pytest.mark.parametrize("values", [np.array([b"bytes"], object), np.array([b"bytes"]), np.arange(3)])
def test_bytes_and_numbers_are_no_texts(values: np.ndarray) -> None:
    """Python would write them as b'...', and that would be learnt."""
    with pytest.raises(InvalidArgument, match="column words holds"):
        check_texts(values, "words")
    check_texts(np.array(["text", ""], object), "words")


def test_bytes_are_no_ids() -> None:
    with pytest.raises(InvalidArgument, match="column item"):
        ids_of(np.array([b"a", b"b"], object), "item")


def test_unsigned_ids_are_found_again_and_what_no_int64_holds_is_refused() -> None:
    large = np.array([2**60 + 1, 2**60 + 2, 7], np.uint64)
    assert ids_of(large, "user", first=1).numbers(large).tolist() == [2, 3, 1]
    with pytest.raises(InvalidArgument, match="store them as texts"):
        ids_of(np.array([2**63], np.uint64), "user")
