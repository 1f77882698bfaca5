"""What a member's lineage says of the rows that weigh an ensemble or judge it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from bmase.reasons import Reason

from services.trainer.data import Column, File, Manifest, Part, Splits
from services.trainer.ensembles.provenance import (
    Finding,
    Lineage,
    Standing,
    Used,
    examine,
    refusal,
    warnings,
)
from services.trainer.reproduce.record import Data

USUAL = Splits()
HELD_OUT = Splits(train=0.1, validation=0.45, test=0.45)
ALL_WEIGH = (Part.TRAIN, Part.VALIDATION)


def manifest(files: str = "ab", *columns: str, **kinds: str) -> Manifest:
    """Files by their digests, 50 rows each; columns x and y, or others."""
    named = {**dict.fromkeys(columns or ("x", "y"), "float32"), **kinds}
    return Manifest(
        format="npz",
        columns=tuple(Column(name=name, dtype=dtype) for name, dtype in named.items()),
        files=tuple(File(uri=f"file:///{each}", bytes=1, sha256=each * 64, rows=50) for each in files),
    )


def used(splits: Splits = USUAL, data: Manifest | None = None, **more: Any) -> Used:
    return Used(data or manifest(), splits, **more)


def trained(
    data: Manifest | None = None, splits: Splits | None = USUAL, recipe: str = "tabular", **more: Data
) -> Lineage:
    """On one source, and on `more`."""
    return Lineage(recipe, {"data": Data(manifest=data or manifest(), splits=splits), **more})


CLEAN = {
    "the same data and split": (trained(), used()),
    "disjoint data and the same split": (trained(manifest("c")), used()),
    "a wider number is the same number": (trained(manifest("c", x="float64", y="int8")), used()),
    "more for validation": (trained(splits=Splits(train=0.6, validation=0.3, test=0.1)), used()),
    "what was test is validation here": (trained(splits=Splits(train=0.8, validation=0, test=0.2)), used()),
    "shares that differ by rounding": (
        trained(splits=Splits(train=0.7, validation=0.25, test=0.05)),
        used(Splits(train=0.7, validation=0.2, test=0.1)),
    ),
    "a key of columns that both have": (
        trained(manifest("c", "x", "y", "new"), Splits(key=("y",))),
        used(Splits(key=("y",))),
    ),
    "nothing was for training": (trained(splits=Splits(train=0, validation=0.5, test=0.5, salt="b")), used()),
    "weights of a base model are no rows": (
        trained(encoder=Data(manifest=manifest("a").model_copy(update={"format": "files"}))),
        used(),
    ),
}


@pytest.mark.parametrize("case", CLEAN)
def test_rows_that_were_kept_from_a_training(case: str) -> None:
    assert examine(*CLEAN[case]).standing is Standing.CLEAN


UNKNOWN = {
    "it has no record": (Lineage(missing="it has no record"), used(), "it has no record"),
    "a digest without a record": (
        Lineage(missing="it has no record", stated=manifest().digest),
        used(),
        "said to be of these data",
    ),
    "an import": (trained(recipe="import"), used(), "imported"),
    "an ensemble": (trained(recipe="ensemble"), used(), "an ensemble"),
    "code that brought its own rows": (Lineage(), used(), "names no rows"),
    "other data, another salt": (trained(manifest("c"), Splits(salt="b")), used(), "salt 'b' and not ''"),
    "other data, all of them": (trained(manifest("c"), None), used(), "all of whose rows"),
    "other data, other shares": (
        trained(manifest("c")),
        used(HELD_OUT, weighing=ALL_WEIGH),
        "80/10/10 % .* and not into 10/45/45 %",
    ),
    "a column was added": (trained(manifest("c", "x", "y", "new")), used(), "by other columns"),
    "a number became text": (trained(manifest("c", "x", y="text")), used(), "by other columns"),
    "other data, another key": (
        trained(manifest("c"), Splits(key=("y",))),
        used(),
        "parted by y and not by whole rows",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_a_record_does_not_say(case: str) -> None:
    lineage, rows, said = UNKNOWN[case]
    found = examine(lineage, rows)
    assert (found.standing, found.weighing, found.judging) == (Standing.UNKNOWN, 0, 0)
    (sentence,) = warnings({"m@1": found})
    assert sentence.startswith("member m@1 is not known to be new to these rows: ")
    assert re.search(said, sentence)


CONTAMINATED = {
    "another salt": (trained(splits=Splits(salt="b")), used(), (0.8, 0.8), "salt 'b' and not ''"),
    "another key": (trained(splits=Splits(key=("y",))), used(), (0.8, 0.8), "by y and not by whole rows"),
    "no split": (trained(splits=None), used(), (1, 1), "all of whose rows were for training"),
    "held out, and they are not": (
        trained(),
        used(HELD_OUT, weighing=ALL_WEIGH),
        (1, 0.25 / 0.45),
        "80/10/10 %",
    ),
    "validation alone": (
        trained(splits=Splits(train=0.85, validation=0.05, test=0.1)),
        used(),
        (0.5, 0),
        "85/5/10 %",
    ),
    "a part of the files": (trained(manifest("bc"), None), used(), (0.5, 0.5), "files with 50% of these rows"),
    "the second source": (trained(more=Data(manifest=manifest())), used(), (1, 1), "source 'more'"),
}


@pytest.mark.parametrize("case", CONTAMINATED)
def test_rows_that_a_member_was_trained_on(case: str) -> None:
    lineage, rows, shares, said = CONTAMINATED[case]
    found = examine(lineage, rows)
    assert found.standing is Standing.CONTAMINATED
    assert (found.weighing, found.judging) == pytest.approx(shares)
    error = refusal({"a@1": Finding(Standing.CLEAN, "kept"), "m@1": found})
    assert error is not None
    assert error.reason is Reason.ENSEMBLE_CONTAMINATED
    assert "member m@1" in error.message
    assert said in error.message
    assert "a@1" not in error.message


def test_nobody_is_refused_for_what_is_not_known() -> None:
    assert refusal({"a@1": Finding(Standing.CLEAN, ""), "b@1": Finding(Standing.UNKNOWN, "")}) is None


def test_shares_are_those_of_real_rows() -> None:
    """What is computed from spans is what rows do that are parted by both splits."""
    rng = np.random.default_rng(0)
    batch = {"x": rng.normal(size=20_000), "y": rng.normal(size=20_000)}
    for theirs, ours in [(Splits(), HELD_OUT), (Splits(salt="b"), Splits()), (Splits(), Splits())]:
        had = theirs.assign(batch) == 2
        test = ours.assign(batch) == 0
        found = examine(trained(splits=theirs), used(ours))
        assert found.judging == pytest.approx(had[test].mean(), abs=0.03)
