"""Rows for a reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bmase import references
from bmase.errors import InvalidArgument


def test_rows_become_tensors(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "rows.npz", **{"input:x": x, "output:label": np.array([0, 1, 2, 3])})
    made = references.from_npz(tmp_path / "rows.npz")
    assert [(t.name, t.datatype, list(t.shape)) for t in made.inputs] == [("x", "FP32", [4, 3])]
    assert made.inputs[0].raw == x.tobytes()
    assert [(t.name, t.datatype, list(t.shape)) for t in made.outputs] == [("label", "INT64", [4])]


def test_what_is_too_much_is_thinned_evenly() -> None:
    rows = np.arange(1000, dtype=np.float64)[:, None]
    made = references.from_arrays({"input:x": rows}, most_bytes=800)
    kept = np.frombuffer(made.inputs[0].raw)
    assert list(made.inputs[0].shape) == [100, 1]
    assert (kept[0], kept[-1]) == (0, 999)
    assert np.ptp(np.diff(kept)) <= 1


@pytest.mark.parametrize(
    "arrays", [{}, {"input:x": np.zeros((0, 3))}, {"input:x": np.zeros(3), "output:y": np.zeros(4)}]
)
def test_rows_must_match(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidArgument, match="same number of rows"):
        references.from_arrays(arrays)
