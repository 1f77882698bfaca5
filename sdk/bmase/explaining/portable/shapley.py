"""Shapley values of a game by Kernel SHAP: one weighted least squares fit, constrained to the efficiency axiom.

Sources: Lundberg and Lee, A Unified Approach to Interpreting Model Predictions (NeurIPS 2017), theorem 2; Covert and
Lee, Improving KernelSHAP (AISTATS 2021), for the constraint and for sampling coalitions in pairs with their opposites.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Array = np.ndarray
# From coalitions (n, players) bool to what they are worth (n, outputs).
Game = Callable[[Array], Array]
LEAST = 2  # players, from which on there is something to share out


@dataclass(frozen=True, eq=False)
class Shares:
    """`values` (players, outputs) sum up to `whole` - `empty` (outputs,) in each output."""

    empty: Array
    whole: Array
    values: Array
    exact: bool  # all coalitions were asked
    coalitions: int


@dataclass(frozen=True, eq=False)
class Design:
    """Coalitions (n, players) bool, neither the empty nor the whole one, and what each weighs in the fit (n,)."""

    coalitions: Array
    weights: Array
    exact: bool


def shapley(game: Game, players: int, samples: int, seed: int = 0) -> Shares:
    """The players' shares, from `samples` coalitions, or from all of them where there are no more.

    Efficiency holds exactly, up to the rounding of float64, however few samples: it is built into the fit.
    """
    design = coalitions(players, samples, np.random.default_rng(seed))
    ends = np.array([[False] * players, [True] * players])
    worth = np.asarray(game(np.concatenate([ends, design.coalitions])), np.float64)
    empty, whole = worth[0], worth[1]
    values = fitted(design, worth[2:] - empty, whole - empty)
    return Shares(empty, whole, values, design.exact, len(worth))


def coalitions(players: int, samples: int, random: np.random.Generator) -> Design:
    """Which coalitions to ask: sizes are asked completely from the outside in, where the kernel has most of its weight,
    while the samples last; of the sizes between, coalitions are drawn together with their opposites."""
    if players < LEAST:
        return Design(np.zeros((0, players), bool), np.zeros(0), True)
    if 2**players - 2 <= samples:
        numbers = np.arange(1, 2**players - 1)
        every = (numbers[:, None] >> np.arange(players)) & 1 == 1
        return Design(every, _each(players)[every.sum(axis=1)], True)
    whole, sizes = _complete(players, samples)
    left = max(samples - len(whole), 2)
    weights = _each(players)[whole.sum(axis=1)]
    drawn, counts = _drawn(players, sizes, left // 2, random)
    rest = sum(_of_size(players, size) for size in sizes)
    every, share = np.concatenate([whole, drawn]), np.concatenate([weights, rest * counts / counts.sum()])
    return Design(every, share, False)


def fitted(design: Design, gains: Array, total: Array) -> Array:
    """Shares (players, outputs) that sum to `total` (outputs,) and fit `gains` (n, outputs) best.

    Written as an even split plus deviations that sum to zero, so that the constraint needs no multiplier; where the
    samples do not determine the deviations, the smallest are taken.
    """
    players = design.coalitions.shape[1]
    even = total / players
    if players < LEAST:
        return np.broadcast_to(even, (players, len(total))).copy()
    members = design.coalitions.astype(np.float64)
    sizes = members.sum(axis=1, keepdims=True)
    root = np.sqrt(design.weights / design.weights.sum())[:, None]
    deviations, *_ = np.linalg.lstsq(root * (members - sizes / players), root * (gains - sizes * even), rcond=None)
    return np.asarray(even + deviations - deviations.mean(axis=0))


def _of_size(players: int, size: int) -> float:
    """The kernel's weight of all coalitions of a size together."""
    return (players - 1) / (size * (players - size))


def _each(players: int) -> Array:
    """The kernel's weight of one coalition, by its size (players + 1,); the ends, which are constraints, have none."""
    sizes = range(1, players)
    inner = [math.exp(math.log(_of_size(players, s)) - _log_count(players, s)) for s in sizes]
    return np.array([0.0, *inner, 0.0])


def _log_count(players: int, size: int) -> float:
    return math.lgamma(players + 1) - math.lgamma(size + 1) - math.lgamma(players - size + 1)


def _complete(players: int, samples: int) -> tuple[Array, list[int]]:
    """The coalitions of all sizes that are asked completely, and the sizes that are left."""
    found: list[Array] = []
    left = samples
    sizes = list(range(1, players))
    while sizes:
        size = sizes[0]
        pair = {size, players - size}
        count = math.comb(players, size) * len(pair)
        weight = sum(_of_size(players, one) for one in pair) / sum(_of_size(players, one) for one in sizes)
        if left * weight < count:
            break
        chosen = np.array(list(combinations(range(players), size)))
        members = np.zeros((len(chosen), players), bool)
        np.put_along_axis(members, chosen, True, axis=1)
        found += [members, ~members] if len(pair) > 1 else [members]
        left -= count
        sizes = sizes[1 : len(sizes) - len(pair) + 1]
    return np.concatenate([*found, np.zeros((0, players), bool)]), sizes


def _drawn(players: int, sizes: list[int], pairs: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Different coalitions and how often each was drawn; sizes by the kernel, members evenly."""
    chances = np.array([_of_size(players, size) for size in sizes])
    lengths = random.choice(np.array(sizes), pairs, p=chances / chances.sum())
    order = random.random((pairs, players)).argsort(axis=1).argsort(axis=1)
    members = order < lengths[:, None]
    return np.unique(np.concatenate([members, ~members]), axis=0, return_counts=True)
