"""The picture of bench/judge.py: false rollbacks by cell, and requests until a bad version is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.support import results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.judge import Outcome

LEAST = 0.0003  # drawn for none
ALPHA = 0.01


def plot(outcomes: Sequence[Outcome]) -> None:
    """Into bench/results/judge.png."""
    good = [each for each in outcomes if each.cell.good]
    bad = [each for each in outcomes if not each.cell.good]
    figure, (left, right) = results.pyplot.subplots(1, 2, figsize=(15, 6))
    _bars(left, good, [{rule: tally.rolled_back for rule, tally in each.rules.items()} for each in good])
    left.axvline(ALPHA, color="black", linestyle="--", linewidth=1)
    left.set_title("good versions that were rolled back (dashed: alpha)")
    left.set_xlim(LEAST, 1)
    _bars(right, bad, [{rule: each.median(rule) for rule in each.rules} for each in bad])
    right.set_title("requests until half of the bad versions were rolled back")
    figure.tight_layout()
    figure.savefig(results.path("judge.png"), dpi=110)
    results.pyplot.close(figure)


def _bars(axis: Axes, outcomes: Sequence[Outcome], values: Sequence[dict[str, float]]) -> None:
    rules = list(values[0])
    for place, rule in enumerate(rules):
        drawn = [value[rule] if np.isfinite(value[rule]) else 0.0 for value in values]
        heights = [max(LEAST, value) for value in drawn]
        axis.barh([number + 0.2 * place for number in range(len(values))], heights, height=0.2, label=rule)
    axis.set_yticks([number + 0.3 for number in range(len(values))], [each.cell.name for each in outcomes])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.legend(loc="lower right")
