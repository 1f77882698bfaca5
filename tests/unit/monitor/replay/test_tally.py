"""How long a replay waits for the candidate follows from how long the stable version takes."""

from __future__ import annotations

import pytest

from services.monitor.replay.tally import Round, Tally


def one(stable_ms: float, *, stable_failed: bool = False, candidate_failed: bool = False) -> Round:
    return Round("r", stable_ms, 5.0, stable_failed, candidate_failed, disagreed=False)


@pytest.mark.parametrize(
    ("rounds", "seconds"),
    [
        ([], 10.0),
        ([one(20.0)], 2.0),
        ([one(20.0, candidate_failed=True)], 2.0),
        ([one(20.0), one(400.0), one(20.0)], 4.0),
        ([one(3000.0)], 10.0),
        ([one(9000.0, stable_failed=True)], 10.0),
    ],
)
def test_patience(rounds: list[Round], seconds: float) -> None:
    tally = Tally(10)
    for each in rounds:
        tally.add(each)
    assert tally.patience == seconds
