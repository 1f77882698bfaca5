"""Which rows, and in which order, outside of the platform."""

from __future__ import annotations

import numpy as np

from bmase.training.run import ALL, TEST, TRAIN, VALIDATION


def positions(part: str, rows: int) -> np.ndarray:
    """The places (n,) of a part's rows."""
    place = np.arange(rows)
    parts = {ALL: place >= 0, TEST: place % 10 == 0, VALIDATION: place % 10 == 1, TRAIN: place % 10 > 1}
    if part not in parts:
        raise ValueError(f"there is no part {part!r}: there are {', '.join(parts)}")
    return place[parts[part]]


def dealt(order: np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """Every `world_size`-th place from `rank` on; the last round is filled from the beginning, so all have as many."""
    rounds = -(-len(order) // world_size)
    return np.resize(order, rounds * world_size)[rank::world_size]


def shuffled(order: np.ndarray, buffer: int, random: np.random.Generator) -> np.ndarray:
    """As they come out of a buffer of `buffer` rows: one at random leaves, the next one takes its place."""
    if buffer >= len(order):
        return random.permutation(order)
    held, drawn = order[:buffer].copy(), random.integers(buffer, size=len(order) - buffer)
    out = np.empty_like(order)
    for place, (leaves, comes) in enumerate(zip(drawn, order[buffer:], strict=True)):
        out[place], held[leaves] = held[leaves], comes
    out[len(drawn) :] = random.permutation(held)
    return out
