"""Measurements in turns: what disturbs the machine disturbs all of them, and ratios are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Show = Callable[[int, dict[str, float]], None]  # number of the round, and its figures


@dataclass(frozen=True)
class Rounds:
    """For every target one figure a round."""

    values: Mapping[str, Sequence[float]]

    def median(self, target: str) -> float:
        return statistics.median(self.values[target])

    def ratio(self, target: str, other: str) -> float:
        """The median of the rounds' own ratios: the two figures of each were taken seconds apart."""
        pairs = zip(self.values[target], self.values[other], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def difference(self, target: str, other: str) -> float:
        """The median of the rounds' own differences."""
        pairs = zip(self.values[target], self.values[other], strict=True)
        return statistics.median(a - b for a, b in pairs)


def order(targets: Sequence[str], number: int) -> list[str]:
    """Who comes when in round `number`: each round another begins, and every second lap of rounds runs backwards."""
    turn = number % len(targets)
    turned = [*targets[turn:], *targets[:turn]]
    return turned[::-1] if number // len(targets) % 2 else turned


def interleave(targets: Sequence[str], rounds: int, measure: Callable[[str], float], show: Show) -> Rounds:
    """Measures every target once a round."""
    values: dict[str, list[float]] = {target: [] for target in targets}
    for number in range(rounds):
        found = {target: measure(target) for target in order(targets, number)}
        for target in targets:
            values[target].append(found[target])
        show(number, {target: found[target] for target in targets})
    return Rounds(values)
