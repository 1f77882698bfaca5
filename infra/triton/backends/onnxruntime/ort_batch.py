"""How the requests of one batch share session runs: pure decisions on arrays, no Triton, no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

Feed = Mapping[str, np.ndarray]
Run = Callable[[Feed], Sequence[np.ndarray]]
Outcome = Sequence[np.ndarray] | Exception


def group(feeds: Mapping[int, Feed]) -> list[list[int]]:
    """Positions that may share a run: the same inputs, with the same shapes behind the batch dimension."""
    groups: dict[Hashable, list[int]] = {}
    for position, feed in feeds.items():
        key = tuple([(name, array.shape[1:]) for name, array in feed.items()])
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def run_group(run: Run, feeds: Sequence[Feed]) -> list[Outcome]:
    """One run for all `feeds`; when it fails, or its outputs are not rows of the batch, each request runs alone.

    So a request that the graph refuses costs its neighbours time, never their answers.
    """
    if len(feeds) > 1:
        try:
            sizes = [_rows(feed) for feed in feeds]
            outputs = run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
            if all(array.ndim and array.shape[0] == sum(sizes) for array in outputs):
                return split(outputs, sizes)
        except Exception:  # noqa: S110 - whose fault it was shows when each runs alone
            pass
    return [_alone(run, feed) for feed in feeds]


def _alone(run: Run, feed: Feed) -> Outcome:
    try:
        return run(feed)
    except Exception as error:
        return error


def _rows(feed: Feed) -> int:
    """The batch dimension of a request's inputs."""
    sizes = {array.shape[0] for array in feed.values()}
    if len(sizes) != 1:
        raise ValueError(f"inputs of one request have different batch sizes: {sorted(sizes)}")
    return sizes.pop()


def split(outputs: Sequence[np.ndarray], sizes: Sequence[int]) -> list[Outcome]:
    """Each request's rows of every output, as views."""
    parts: list[Outcome] = []
    start = 0
    for size in sizes:
        stop = start + size
        parts.append([array[start:stop] for array in outputs])
        start = stop
    return parts
