"""Which rows a step takes: the same ones for any number of workers, and again after a loss. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.kit.errors import InvalidArgument, Violation

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """`epochs` times all of `rows` in batches of `batch`, each epoch in an order of its own.

    What is left over in an epoch is skipped there, as each epoch leaves out other rows. `lengths` (rows,): rows of
    similar length share a batch, so that less of it is padding.
    """

    rows: int
    batch: int
    epochs: int
    seed: int
    lengths: Rows | None = None

    @property
    def size(self) -> int:
        """Rows of a batch."""
        return min(self.batch, self.rows)

    @property
    def steps_per_epoch(self) -> int:
        return self.rows // self.size

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def of_epoch(self, epoch: int) -> Rows:
        """(steps, size): the rows of each step."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(self.rows)[: self.steps_per_epoch * self.size]
        if self.lengths is None:
            return order.reshape(-1, self.size)
        # Equal lengths stay in random order, as the sort is stable; batches are put in random order in the end.
        pools = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in _pools(order, self.size)]
        return random.permutation(np.concatenate(pools).reshape(-1, self.size))


POOL = 50  # batches that are sorted together: enough for little padding, few enough that batches stay mixed


def _pools(order: Rows, size: int) -> list[Rows]:
    return [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]


def plan(rows: int, batch: int, epochs: int, seed: int, workers: int, lengths: Rows | None = None) -> Plan:
    """InvalidArgument when there are too few rows for the workers."""
    found = Plan(rows, batch, epochs, seed, lengths)
    if rows == 0:
        raise InvalidArgument([Violation("job.data", "no row is left to train on: see its splits and its columns")])
    if found.size < workers:
        words = f"a step has {found.size} rows, fewer than the {workers} workers: raise `batch`, or take fewer workers"
        raise InvalidArgument([Violation("job.parameters", words)])
    return found


def share(rows: Rows, rank: int, workers: int) -> Rows:
    """What one worker takes of a batch."""
    return rows[rank::workers]
