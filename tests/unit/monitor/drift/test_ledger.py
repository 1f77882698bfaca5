"""What is found stays found until a later window is clean."""

from __future__ import annotations

import numpy as np

from services.monitor.drift.ledger import Ledger

YES, NO = np.array([True]), np.array([False])


def observed(window: int = 3) -> Ledger:
    ledger = Ledger(1)
    ledger.observe(YES, np.array([700]), np.array([0.4]), window)
    return ledger


def test_it_keeps_when_it_was_found() -> None:
    ledger = observed()
    ledger.observe(YES, np.array([900]), np.array([0.5]), 4)
    assert (ledger.window[0], ledger.rows[0], ledger.effect[0]) == (3, 700, 0.4)


def test_the_window_in_which_it_was_found_does_not_clear_it() -> None:
    ledger = observed()
    ledger.close(NO, YES, 3)
    assert ledger.found.tolist() == [True]


def test_a_later_clean_window_clears_it() -> None:
    ledger = observed()
    ledger.close(YES, YES, 4)
    assert ledger.found.tolist() == [True]
    ledger.close(NO, YES, 5)
    assert ledger.found.tolist() == [False]


def test_a_window_without_rows_is_not_clean() -> None:
    ledger = observed()
    ledger.close(NO, NO, 4)
    assert ledger.found.tolist() == [True]
