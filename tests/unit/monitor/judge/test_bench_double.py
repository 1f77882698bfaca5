"""The bench computes the judge once more in numpy; here that double is held to the judge, in cells of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from bench.judge_cells import cells
from bench.judge_real import Different, hold_against
from bench.judge_rules import edge, judge
from bench.judge_streams import Cell, simulate
from services.monitor.judge import bounds

SOME = ["good, weights rise", "good, bursts of clients", "good, bursts, sticky, weights rise", "0.5 -> 10 %"]


def short(name: str) -> Cell:
    """The cell's first minutes; of rising weights, the minutes around the first change."""
    cell = next(cell for cell in cells() if cell.name == name)
    begin = 700 if "rise" in name else 0
    part = slice(begin, begin + 400)
    kinds = {kind: type(rates)(rates.stable[part], rates.candidate[part]) for kind, rates in cell.kinds.items()}
    more = {"bin_seconds": 1.0, "clients": cell.clients, "sticky": cell.sticky, "good": cell.good}
    return Cell(
        name, traffic=cell.traffic[part], share=cell.share[part], kinds=kinds, bursts_per_hour=cell.bursts_per_hour,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_says_the_same_as_the_judge(name: str) -> None:
    streams = simulate(short(name), 2, np.random.default_rng(4))
    found, paths = judge(streams)
    hold_against(streams, paths, found, [0, 1])


def test_a_difference_is_noticed() -> None:
    streams = simulate(short("0.5 -> 10 %"), 1, np.random.default_rng(4))
    found, paths = judge(streams)
    found.rollback[0] += 1
    with pytest.raises(Different, match="rollback"):
        hold_against(streams, paths, found, [0])


def test_bounds_of_arrays_are_those_of_the_judge() -> None:
    total = np.array([0, 1, 50, 1000, 90_000])
    bad = np.array([0, 1, 0, 12, 500])
    for outside, scalar in ((1.0, bounds.upper), (0.0, bounds.lower)):
        wanted = [scalar(int(x), int(n), 0.025) for x, n in zip(bad, total, strict=True)]
        assert edge(bad, total, 0.025, outside) == pytest.approx(wanted, abs=1e-9)
