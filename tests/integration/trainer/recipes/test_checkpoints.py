"""Checkpoints as files: what they hold, what they refuse, what is kept of them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from bmase.training import checkpoints


class Point(NamedTuple):
    x: int
    y: int


def test_what_is_given_comes_back(tmp_path: Path) -> None:
    state = {
        "weights": OrderedDict(a=torch.ones(2, dtype=torch.bfloat16), b=torch.nn.Parameter(torch.zeros(3))),
        "order": np.arange(4, dtype=np.uint16),
        "plain": [1, 2.5, None, True, "text", b"bytes", (np.float32(0.5), np.int64(3))],
        "named": Point(1, 2),
        7: {"empty": {}},
    }
    checkpoints.write(tmp_path, 12, state)
    saved = checkpoints.last(tmp_path)
    assert saved is not None
    assert saved.step == 12
    assert torch.equal(saved.state["weights"]["a"], torch.ones(2, dtype=torch.bfloat16))
    assert type(saved.state["weights"]["b"]) is torch.Tensor
    assert saved.state["order"].dtype == np.uint16
    assert saved.state["order"].tolist() == [0, 1, 2, 3]
    assert saved.state["plain"] == [1, 2.5, None, True, "text", b"bytes", (0.5, 3)]
    assert saved.state["named"] == (1, 2)
    assert saved.state[7] == {"empty": {}}  # type: ignore[index]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a": {"b": [torch.nn.Linear(1, 1)]}}, r"state\['a'\]\['b'\]\[0\] is of type Linear"),
        ({"a": np.array(["x"])}, r"state\['a'\] is of type ndarray"),
        ({"a": {(1, 2): 3}}, r"state\['a'\] has a key of type tuple"),
    ],
)
def test_what_needs_code_is_refused_by_name(tmp_path: Path, state: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        checkpoints.write(tmp_path, 1, state)
    assert checkpoints.last(tmp_path) is None


def test_the_last_three_are_kept_and_a_torn_one_is_none(tmp_path: Path) -> None:
    for step in (5, 20, 100, 1000):
        checkpoints.write(tmp_path, step, {"step": step})
    (tmp_path / "step-000000002000.partial").write_bytes(b"torn")
    assert [checkpoints.read(path).step for path in checkpoints.found(tmp_path)] == [20, 100, 1000]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched"),)


def test_reading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"step": 1, "state": Malicious()}, tmp_path / "step-000000000001.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.last(tmp_path)
    assert not (tmp_path / "touched").exists()
