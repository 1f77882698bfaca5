"""Who plays: the parts of a row that are kept or taken away together. Pure.

`labels` say it for each input: an integer array of the row's shape, the player's number at each value, or FIXED.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
FIXED = -1  # this value is never taken away: a mask, a length
SIDES = 8  # a picture has at most so many regions along its longer side
SMALLEST = 6  # both sides of the smallest matrix that is taken for a picture
CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, eq=False)
class Players:
    """`count` players over the inputs of one row; `names` tell them to people."""

    labels: Mapping[str, Array]
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.names)

    def sizes(self) -> Array:
        """How many values each player has, (players,)."""
        flat = np.concatenate([each.ravel() for each in self.labels.values()])
        return np.bincount(flat[flat >= 0], minlength=self.count)

    def spread(self, values: Array) -> dict[str, Array]:
        """What players got (players,), shared out evenly over their values: each input's shape, 0 where fixed."""
        each = np.append(values / np.maximum(self.sizes(), 1), 0.0)
        return {name: each[labels] for name, labels in self.labels.items()}


def of(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    patch: int = 0,
    keep: Collection[str] = (),
    names: Mapping[str, tuple[str, ...]] | None = None,
) -> Players:
    """The players of rows with these shapes (without the rows' dimension).

    Pictures (the last two dimensions that are no channels are SMALLEST or more) are cut into squares of `patch` pixels,
    all channels together; 0: about SIDES by SIDES of them. Anything else has one player for each place along its first
    dimension: a column of a table, a token of a text, a step of a series. Inputs in `keep` are fixed. `names`: of the
    places of an input.
    """
    labels: dict[str, Array] = {}
    told: list[str] = []
    for name, shape in shapes.items():
        if name in keep:
            labels[name] = np.full(shape, FIXED, np.int64)
            continue
        own, words = _cut(name, shape, patch, (names or {}).get(name, ()))
        labels[name] = own + len(told)
        told += words
    return Players(labels, tuple(told))


def picture(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(axis of the height, axis of the width) of a row that is a picture, else None."""
    for axes in ((-2, -1), (-3, -2)):
        if len(shape) < -axes[0]:
            continue
        others = [size for axis, size in enumerate(shape) if axis - len(shape) not in axes]
        sides = [shape[axis] for axis in axes]
        if min(sides) >= SMALLEST and math.prod(others) in CHANNELS:
            return axes
    return None


def _cut(name: str, shape: tuple[int, ...], patch: int, places: tuple[str, ...]) -> tuple[Array, list[str]]:
    axes = picture(shape)
    if axes is None:
        count = shape[0] if shape else 1
        words = [places[i] if i < len(places) else f"{name}[{i}]" for i in range(count)]
        if count == 1 and not places:
            words = [name]
        column = np.arange(count).reshape([count, *[1] * (len(shape) - 1)] if shape else [])
        return np.broadcast_to(column, shape).copy(), words
    height, width = (shape[axis] for axis in axes)
    side = patch or max(1, math.ceil(max(height, width) / SIDES))
    across = math.ceil(width / side)
    grid = (np.arange(height) // side)[:, None] * across + (np.arange(width) // side)[None, :]
    open_ = [1] * len(shape)
    open_[axes[0]], open_[axes[1]] = height, width
    words = [f"{name}[{row}:{min(row + side, height)}, {column}:{min(column + side, width)}]"
             for row in range(0, height, side) for column in range(0, width, side)]  # fmt: skip
    return np.broadcast_to(grid.reshape(open_), shape).copy(), words


def mixed(players: Players, row: Mapping[str, Array], others: Mapping[str, Array], kept: Array) -> dict[str, Array]:
    """Rows in which kept (n, players) bool are of `row`, and everything else of each of `others` (m, ...) in turn.

    Each input comes back as (n * m, ...), all mixtures with the first coalition first.
    """
    kept = np.concatenate([kept, np.ones((len(kept), 1), bool)], axis=1)  # FIXED looks at the last column
    made = {}
    for name, labels in players.labels.items():
        chosen = np.take(kept, labels, axis=1)[:, None]  # in row-major order, unlike kept[:, labels]
        both = np.where(chosen, row[name][None, None], others[name][None])
        made[name] = both.reshape(-1, *labels.shape).astype(row[name].dtype, copy=False)
    return made
