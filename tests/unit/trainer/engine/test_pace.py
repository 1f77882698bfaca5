"""When checkpoints are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from services.trainer.engine.pace import Pace


class Steps:
    """Two workers; the other one's clock goes at a tenth of the speed, so that it never names the least."""

    def __init__(self, seconds: float, writing: Callable[[], float] = lambda: 0.0) -> None:
        self.now, self.told = 0.0, 1
        self.first = Pace(seconds, self._lead, writing, lambda: self.now)
        self.other = Pace(seconds, lambda steps: min(steps, self.told), clock=lambda: self.now / 10)

    def _lead(self, steps: int) -> int:
        self.told = steps
        return steps

    def take(self, durations: Sequence[float]) -> list[float]:
        """When checkpoints were due, in seconds."""
        found = []
        for duration in durations:
            self.now += duration
            due = self.first.due()
            assert self.other.due() == due
            if due:
                found.append(self.now)
        return found


def test_all_workers_keep_checkpoints_at_the_same_steps_whatever_their_clocks() -> None:
    gaps = np.diff([0.0, *Steps(10.0).take([0.5] * 100)])
    assert gaps == pytest.approx(10.0, abs=0.5)


def test_what_came_before_the_first_step_makes_no_checkpoints_soon() -> None:
    steps = Steps(10.0)
    steps.now = 60.0  # data were brought
    found = steps.take([0.5] * 100)
    assert found[0] == 60.5
    assert np.diff(found) == pytest.approx(10.0, abs=0.5)


def test_steps_that_become_slower_or_faster_are_counted_anew() -> None:
    found = Steps(10.0).take([0.1] * 1000 + [1.0] * 100 + [0.1] * 1000)
    gaps = np.diff(found)
    assert max(gaps) < 20.0
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(10.0, abs=1.0)
    assert len(found) == pytest.approx(30, abs=6)


def test_the_time_to_write_is_taken_off_so_that_a_death_costs_no_more_than_the_time() -> None:
    writing = [2.0]
    steps = Steps(10.0, lambda: writing[0])
    assert np.diff([0.0, *steps.take([0.5] * 100)]) == pytest.approx(8.0, abs=0.5)
    writing[0] = 60.0  # never before half of it, or nothing but checkpoints would be written
    assert np.diff(steps.take([0.5] * 200))[1:] == pytest.approx(5.0, abs=0.5)


def test_a_step_that_takes_longer_is_always_followed_by_one() -> None:
    assert Steps(10.0).take([25.0] * 4) == [25.0, 50.0, 75.0, 100.0]
