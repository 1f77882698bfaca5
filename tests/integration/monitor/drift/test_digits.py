"""Drift in real images and in what a real classifier says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import digits

LONG = 200_000


@pytest.mark.timeout(240)
def test_200_000_unchanged_digits_raise_nothing(tmp_path: Path) -> None:
    traffic = digits.Traffic(tmp_path, seed=1)
    for found in traffic.feed(digits.unchanged(), LONG, step=500):
        assert found == {}, f"after {traffic.rows} rows"
    report = traffic.engine.report(digits.MODEL, digits.VERSION)
    assert (report.features_drifted, report.features_total) == (0, 784 + 10 + 1)
    # A change after all that is found as well, though much of the budget of false alarms is spent.
    assert 0 < traffic.rows_to_find(digits.rotated(), "input/image") <= 1_000


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_that_the_reference_does_not_have_are_not_different(tmp_path: Path, seed: int) -> None:
    mine, others = digits.halves(seed)
    for found in digits.Traffic(tmp_path, seed, mine).feed(others, 20_000, step=500):
        assert found == {}


@pytest.mark.parametrize(("change", "most"), [("rotation", 600), ("noise", 200), ("inverted", 100), ("imbalance", 400)])
def test_a_change_is_found_and_named(tmp_path: Path, change: str, most: int) -> None:
    spoil, where = digits.CHANGES[change]
    traffic = digits.Traffic(tmp_path, seed=2)
    rows = traffic.rows_to_find(spoil(), where, most)
    assert 0 < rows <= most
    report = traffic.engine.report(digits.MODEL, digits.VERSION, limit=1_000)
    moved = [feature.feature for feature in report.features if feature.drifted]
    assert any(name.startswith(where) for name in moved)
    assert moved[0] in report.summary
