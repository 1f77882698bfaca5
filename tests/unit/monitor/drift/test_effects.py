"""Effect sizes against other implementations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from services.monitor.drift.effects import jensen_shannon, psi, shares_of, total_variation

A, B = np.array([0.1, 0.2, 0.7, 0.0]), np.array([0.3, 0.3, 0.3, 0.1])


def test_total_variation_by_hand() -> None:
    assert total_variation(A, B) == pytest.approx(0.4)
    assert total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1.0


def test_jensen_shannon_is_that_of_scipy() -> None:
    assert jensen_shannon(A, B) == pytest.approx(jensenshannon(A, B, base=2))
    assert jensen_shannon(A, A) == 0.0
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1.0)


def test_psi_by_hand() -> None:
    a, b = np.array([900.0, 100.0]), np.array([500.0, 500.0])
    assert psi(a, b) == pytest.approx((0.5 - 0.9) * math.log(0.5 / 0.9) + (0.5 - 0.1) * math.log(0.5 / 0.1), rel=0.01)
    assert psi(a, a) == 0.0
    assert math.isfinite(psi(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


def test_shares_of_nothing_are_nothing() -> None:
    assert shares_of(np.zeros(3)).tolist() == [0, 0, 0]
