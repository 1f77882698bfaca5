"""Why a model answers one row as it does: what each part of the row adds to the answer for a background."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .players import Players, mixed
from .shapley import Shares, shapley

Array = np.ndarray
# From inputs, each with the same number of rows, to the answers (rows, outputs).
Predict = Callable[[Mapping[str, Array]], Array]
SHAPLEY, OCCLUSION = "shapley", "occlusion"
METHODS = (SHAPLEY, OCCLUSION)
MOST_CELLS = 16_000_000  # coalitions times players of a fit, which holds some copies of them as float64
BATCH_BYTES = 32 << 20  # of mixtures that are held at a time


def default_samples(players: int) -> int:
    """Coalitions that are asked when nobody says how many."""
    return 2 * players + 1024


def explain(
    predict: Predict,
    row: Mapping[str, Array],
    background: Mapping[str, Array],
    players: Players,
    *,
    method: str = SHAPLEY,
    samples: int = 0,
    seed: int = 0,
) -> Shares:
    """Shares of the players in each output, for a row (arrays without the rows' dimension).

    What is taken away is filled in from each row of the background (m, ...) in turn, and the answers are averaged:
    `empty` is the mean answer to the background, `whole` the answer to the row. Background arrays may have 1 where
    the row has any length. ValueError for what does not fit together, and for more than can be fitted.

    shapley     Kernel SHAP; the shares sum up to whole - empty
    occlusion   what is lost when a player alone is taken away; the shares sum up to nothing in particular
    """
    others = {name: _fitted(name, background, row[name]) for name in players.labels}

    def game(kept: Array) -> Array:
        return _worth(predict, row, others, players, kept)

    if method == OCCLUSION:
        return _occluded(game, players.count)
    if method != SHAPLEY:
        raise ValueError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    asked = samples or default_samples(players.count)
    if asked * players.count > MOST_CELLS:
        most = f"{MOST_CELLS // players.count} coalitions are the most for {players.count} parts, not {asked}"
        raise ValueError(f"{most}: ask fewer samples, keep inputs as they are, or use the method {OCCLUSION}")
    return shapley(game, players.count, asked, seed)


def additivity_error(shares: Shares, output: int) -> float:
    """How far the shares miss what they are to sum up to, in units of the output."""
    return abs(float(shares.empty[output] + shares.values[:, output].sum() - shares.whole[output]))


def _occluded(game: Callable[[Array], Array], players: int) -> Shares:
    without = ~np.eye(players, dtype=bool)
    worth = game(np.concatenate([[[False] * players, [True] * players], without]))
    return Shares(worth[0], worth[1], worth[1] - worth[2:], False, len(worth))


def _fitted(name: str, background: Mapping[str, Array], value: Array) -> Array:
    if name not in background:
        raise ValueError(f"the background has no {name!r}")
    given = np.asarray(background[name])
    try:
        return np.broadcast_to(given, (len(given), *value.shape)).astype(value.dtype, copy=False)
    except ValueError:
        shapes = f"{list(given.shape[1:])} a row, the input {list(value.shape)}"
        raise ValueError(f"the background's {name!r} has the shape {shapes}") from None


def _worth(
    predict: Predict, row: Mapping[str, Array], others: Mapping[str, Array], players: Players, kept: Array
) -> Array:
    """The mean answer of each coalition (n, outputs); mixtures are made so many at a time as memory allows."""
    rows = len(next(iter(others.values())))
    bytes_ = sum(value.nbytes for value in row.values()) * rows
    step = max(1, BATCH_BYTES // max(bytes_, 1))
    parts = []
    for start in range(0, len(kept), step):
        some = kept[start : start + step]
        answers = np.asarray(predict(mixed(players, row, others, some)), np.float64)
        parts.append(answers.reshape(len(some), rows, -1).mean(axis=1))
    return np.concatenate(parts)
