"""What lists of pipelines can be filtered by, and that as SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement

from services.kit.filters import Choices, Fields, Kind, Term
from services.trainer.pipelines.state import Phase
from services.trainer.pipelines.tables import pipelines

_STATES: Choices = {phase.value: phase.value for phase in Phase}

FIELDS: Fields = {
    "model": Kind.TEXT,
    "schedule": Kind.TEXT,
    "create_time": Kind.TIME,
    "state": _STATES,
    "active": {"true": 1, "false": 0},
}

_COLUMNS: dict[str, ColumnElement[Any]] = {
    "model": pipelines.c.model,
    "schedule": pipelines.c.schedule,
    "create_time": pipelines.c.created,
    "state": pipelines.c.phase,
}
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    ":": operator.eq,
}  # fmt: skip
AFTER_ANY = "\U0010ffff"


def condition(term: Term) -> ColumnElement[bool]:
    """Pipelines for which the term holds."""
    if term.field == "active":
        return pipelines.c.unfinished.is_(bool(term.value) is (term.operator == "="))
    if term.field == "create_time":  # microseconds there, seconds here
        return COMPARED[term.operator](pipelines.c.created, float(term.value) / 1_000_000)  # type: ignore[no-any-return]
    return compared(term, _COLUMNS[term.field])


def compared(term: Term, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """The column holds what the term asks for."""
    if term.prefix:
        # A range rather than LIKE: it uses the index and compares by bytes on every database.
        return (column >= term.value) & (column < f"{term.value}{AFTER_ANY}")
    return COMPARED[term.operator](column, term.value)  # type: ignore[no-any-return]
