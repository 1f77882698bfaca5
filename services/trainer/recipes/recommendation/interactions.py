"""Who had what: rows as numbers of users and items, and as sets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.kit.errors import InvalidArgument, Violation

Numbers = npt.NDArray[np.int64]
UNKNOWN = 0  # the number of every user that the rows do not have
MOST_CELLS = 400_000_000  # users times items, of a table with a byte each


@dataclass(frozen=True, eq=False)
class Ids:
    """The ids of users or items, sorted. The number of an id is its place, plus `first`."""

    values: npt.NDArray[Any]
    first: int = 0

    def numbers(self, ids: npt.NDArray[Any]) -> Numbers:
        """(n,); UNKNOWN for users that are not there."""
        if not self.texts:
            ids = ids.astype(np.int64)  # beside uint64, numpy would compare both as fractions
        places = np.searchsorted(self.values, ids).clip(max=len(self.values) - 1)
        return np.where(self.values[places] == ids, places + self.first, UNKNOWN).astype(np.int64)

    @property
    def texts(self) -> bool:
        return self.values.dtype.kind not in "iu"


@dataclass(frozen=True, eq=False)
class Interactions:
    """One entry a row: numbers of user and item, and a rating, which is 1 where there are none."""

    users: Numbers
    items: Numbers
    ratings: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, chosen: npt.NDArray[Any]) -> Interactions:
        return Interactions(self.users[chosen], self.items[chosen], self.ratings[chosen])


def ids_of(values: npt.NDArray[Any], column: str, first: int = 0) -> Ids:
    """All ids of a column; InvalidArgument when they are neither whole numbers that an int64 holds nor texts."""
    if values.ndim != 1 or values.dtype.kind not in "OUiu" or not _texts_if_objects(values):
        words = f"the column {column} holds {values.dtype} of shape {values.shape[1:]}, not whole numbers or texts"
        raise InvalidArgument([Violation("job.data", words)])
    if values.dtype.kind == "u" and values.max(initial=0) > np.iinfo(np.int64).max:
        words = f"the column {column} holds numbers above 2^63 - 1, which the model cannot take: store them as texts"
        raise InvalidArgument([Violation("job.data", words)])
    return Ids(np.unique(values if values.dtype.kind in "OU" else values.astype(np.int64)), first)


def _texts_if_objects(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind != "O" or all(isinstance(value, str) for value in values)


def check_cells(users: int, items: int) -> None:
    """InvalidArgument when what each user had does not fit into a table."""
    if users * items > MOST_CELLS:
        words = f"{users} users times {items} items are more than {MOST_CELLS}: set mask to false"
        raise InvalidArgument([Violation('job.parameters["mask"]', words)])


def had(rows: Interactions, users: int, items: int) -> npt.NDArray[np.bool_]:
    """(users, items): True for what a user had. An unknown one had nothing."""
    table = np.zeros((users, items), np.bool_)
    table[rows.users, rows.items] = True
    table[UNKNOWN] = False
    return table
