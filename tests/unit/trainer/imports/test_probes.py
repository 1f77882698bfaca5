from __future__ import annotations

import numpy as np

from services.trainer.imports.probes import Port, make

X = Port("x", "float32", ("batch", 3))


def _named(*ports: Port, examples: dict[str, np.ndarray] | None = None) -> dict[str, dict[str, np.ndarray]]:
    return {probe.name: probe.inputs for probe in make(ports, (1, 7, 64), 0, examples)}


def test_sizes_and_edges_of_numbers() -> None:
    asked = _named(X)
    assert {name: len(inputs["x"]) for name, inputs in asked.items() if name.startswith(("batch", "no rows"))} == {
        "batch of 1": 1, "batch of 7": 7, "batch of 64": 64, "no rows": 0,
    }  # fmt: skip
    assert not asked["zeros"]["x"].any()
    assert (asked["negative"]["x"] <= 0).all()
    assert 0 < np.abs(asked["tiny"]["x"]).max() < 1e-15
    assert np.abs(asked["large"]["x"]).max() > 1e3
    assert np.isnan(asked["not a number"]["x"]).any()
    assert all(inputs["x"].dtype == np.float32 for inputs in asked.values())


def test_a_fixed_batch_is_asked_as_it_is() -> None:
    assert {inputs["x"].shape for inputs in _named(Port("x", "float32", (4, 3))).values()} == {(4, 3)}


def test_integers_stay_in_their_bounds() -> None:
    asked = _named(Port("ids", "int64", ("batch", "length"), 5, 9), Port("mask", "int64", ("batch", "length"), 1, 2))
    assert {int(each) for inputs in asked.values() for each in inputs["ids"].ravel()} == {5, 6, 7, 8}
    assert all((inputs["mask"] == 1).all() for inputs in asked.values())
    assert {inputs["ids"].shape[1] for inputs in asked.values()} == {1, 12, 40}
    assert (asked["highest"]["ids"] == 8).all()


def test_examples_are_drawn_from_and_scaled() -> None:
    asked = _named(X, examples={"x": np.full((5, 3), 7.0)})
    assert (asked["batch of 64"]["x"] == 7).all()
    assert (asked["large"]["x"] == 7e4).all()


def test_the_same_seed_asks_the_same() -> None:
    first, second = _named(X), _named(X)
    assert all(np.array_equal(first[name]["x"], second[name]["x"], equal_nan=True) for name in first)
