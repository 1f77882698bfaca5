"""The ranges cover all time without a gap, short ones first."""

from __future__ import annotations

from itertools import pairwise

import pytest

from services.monitor.samples.model import new_id
from services.monitor.samples.windows import LAST, first_id, ranges

NOW = 1_800_000_000.0


@pytest.mark.parametrize("ago", [None, 0.0, 3600.0, 1e8, NOW - 10, NOW])
def test_no_gap_and_no_end(ago: float | None) -> None:
    before = "" if ago is None else new_id(NOW - ago)
    found = list(ranges(before, NOW))
    assert found[0][1] == (before or LAST)
    assert found[-1][0] <= first_id(0)
    assert all(earlier[0] == later[1] for earlier, later in pairwise(found))
    assert all(low < high for low, high in found)


def test_the_latest_come_in_a_short_one() -> None:
    low, high = next(ranges("", NOW))
    assert low < new_id(NOW - 3) < high
    assert new_id(NOW - 5) < low
    assert new_id(NOW + 100) < high, "clocks differ"


def test_ids_lie_where_their_time_does() -> None:
    assert first_id(NOW) <= new_id(NOW) < first_id(NOW + 0.001)
