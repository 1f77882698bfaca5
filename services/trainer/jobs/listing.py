"""What lists of jobs can be filtered and sorted by, and that as SQL."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_

from services.kit.errors import InvalidArgument, Violation
from services.kit.filters import Choices, Fields, Kind, Term
from services.kit.pages import Value
from services.trainer.jobs.state import Cause, Phase
from services.trainer.jobs.tables import job_labels, jobs

_STATES: Choices = {phase.value: phase.value for phase in Phase}
_CAUSES: Choices = {cause.value: cause.value for cause in Cause if cause.value}

# What never changes of a job: who watches by these does not miss that a job no longer fits.
LASTING_FIELDS: Fields = {
    "model": Kind.TEXT,
    "owner": Kind.TEXT,
    "recipe": Kind.TEXT,
    "labels.": Kind.TEXT,
    "priority": Kind.NUMBER,
    "create_time": Kind.TIME,
}
FIELDS: Fields = {**LASTING_FIELDS, "state": _STATES, "cause": _CAUSES, "active": {"true": 1, "false": 0}}

_COLUMNS: dict[str, ColumnElement[Any]] = {
    "model": jobs.c.model,
    "owner": jobs.c.owner,
    "recipe": jobs.c.recipe,
    "priority": jobs.c.priority,
    "create_time": jobs.c.created,
    "state": jobs.c.phase,
    "cause": jobs.c.cause,
}
_COMPARED = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    ":": operator.eq,
}  # fmt: skip
_AFTER_ANY = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Order:
    """By these columns of `jobs`, all rising or all falling; together they name one row."""

    columns: tuple[str, ...]
    descending: bool = False

    @property
    def types(self) -> tuple[type, ...]:
        """Of the values that a page token carries."""
        return tuple(str if name == "id" else int for name in self.columns)

    def sorting(self) -> list[ColumnElement[Any]]:
        return [jobs.c[name].desc() if self.descending else jobs.c[name].asc() for name in self.columns]

    def beyond(self, last: Sequence[Value]) -> ColumnElement[bool]:
        """Rows after the one with these values."""
        strictly = operator.lt if self.descending else operator.gt
        found = strictly(jobs.c[self.columns[-1]], last[-1])
        for name, value in reversed(list(zip(self.columns[:-1], last[:-1], strict=True))):
            found = or_(strictly(jobs.c[name], value), and_(jobs.c[name] == value, found))
        return found  # type: ignore[no-any-return]


_BY_TIME, _BY_PRIORITY = ("created", "id"), ("priority", "created", "id")
ORDERS = {
    "": Order(_BY_TIME, descending=True),
    "create_time": Order(_BY_TIME),
    "create_time desc": Order(_BY_TIME, descending=True),
    "priority": Order(_BY_PRIORITY),
    "priority desc": Order(_BY_PRIORITY, descending=True),
}


def order_of(text: str) -> Order:
    """The order that `order_by` means; InvalidArgument for others."""
    plain = " ".join(text.split())
    if plain not in ORDERS:
        raise InvalidArgument([Violation("order_by", f"must be one of {', '.join(repr(o) for o in ORDERS if o)}")])
    return ORDERS[plain]


def condition(term: Term) -> ColumnElement[bool]:
    """Jobs for which the term holds."""
    if term.field == "labels":
        mine = (job_labels.c.job == jobs.c.id) & (job_labels.c.name == term.key)
        return exists().where(mine, _compared(term, job_labels.c.value))
    if term.field == "active":
        return jobs.c.unfinished.is_(bool(term.value) is (term.operator == "="))
    return _compared(term, _COLUMNS[term.field])


def _compared(term: Term, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if term.prefix:
        # A range rather than LIKE: it uses the index and compares by bytes on every database.
        return and_(column >= term.value, column < f"{term.value}{_AFTER_ANY}")
    return _COMPARED[term.operator](column, term.value)  # type: ignore[no-any-return]
