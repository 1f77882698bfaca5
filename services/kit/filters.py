"""The filter language of lists: terms joined by AND.

    name:"dig*"  labels.team="vision"  alias:stable  metrics.accuracy>=0.9  create_time>"2026-01-01"  labels.team:*

`:` means "has": equal, or a prefix when the value ends in `*`, or part of the text for descriptions. A value is a word
or stands in double quotes, with `\\"` and `\\\\` inside. What may be asked, and how it is compared, is declared in
`Fields`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import NoReturn

from services.kit.errors import InvalidArgument, Violation

MAX_LENGTH = 2_000
MAX_TERMS = 20


class Kind(Enum):
    """How the values of a field are compared."""

    TEXT = "text"  # = != :
    CONTENT = "content"  # : (part of it)
    MEMBER = "member"  # = : (one of several)
    NUMBER = "number"  # = != > >= < <=
    TIME = "time"  # > >= < <=, value in ISO 8601


_OPERATORS = {
    Kind.TEXT: {"=", "!=", ":"},
    Kind.CONTENT: {":"},
    Kind.MEMBER: {"=", ":"},
    Kind.NUMBER: {"=", "!=", ">", ">=", "<", "<="},
    Kind.TIME: {">", ">=", "<", "<="},
}
_OF_CHOICES = {"=", "!="}

# The words that a field may be compared with, and what stands for each of them in the database.
Choices = Mapping[str, int | str]
# A field name that ends in a dot takes a key: "labels." is asked as labels.team.
Fields = Mapping[str, Kind | Choices]


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `value` is text, a number, what a choice stands for, or microseconds since 1970 (UTC); `prefix`:
    the value is the beginning only.
    """

    field: str
    key: str
    operator: str
    value: str | float | int
    prefix: bool = False


_TOKEN = re.compile(
    r"""\s*(?P<field>[a-z_]+)(?:\.(?P<key>[A-Za-z0-9._/-]+))?\s*(?P<op>!=|>=|<=|[=<>:])\s*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]+))"""
)
_AND = re.compile(r"\s+AND\s+")
_ESCAPED = re.compile(r"\\(.)")


def parse_filter(text: str, fields: Fields) -> tuple[Term, ...]:
    """The terms of a filter; raises InvalidArgument that says at which character it stops making sense."""
    if len(text) > MAX_LENGTH:
        raise _invalid(f"has {len(text)} characters, more than {MAX_LENGTH}")
    terms: list[Term] = []
    at = 0
    while text[at:].strip():
        if terms:
            at = _joined(text, at)
        found = _TOKEN.match(text, at)
        if found is None:
            _stop(at, text, 'expected field, operator and value, as in name:"dig*"')
        terms.append(_term(found, text, fields))
        at = found.end()
    if len(terms) > MAX_TERMS:
        raise _invalid(f"has {len(terms)} terms, more than {MAX_TERMS}")
    return tuple(terms)


def _joined(text: str, at: int) -> int:
    found = _AND.match(text, at)
    if found is None:
        _stop(at, text, "expected AND between terms")
    return found.end()


def _term(found: re.Match[str], text: str, fields: Fields) -> Term:
    field, key, operator = found["field"], found["key"] or "", found["op"]
    kind = fields.get(f"{field}." if key else field)
    if kind is None:
        known = ", ".join(f"{name}<key>" if name.endswith(".") else name for name in fields)
        _stop(found.start("field"), text, f"no field {field + ('.' + key if key else '')!r}; known are {known}")
    operators = _OPERATORS[kind] if isinstance(kind, Kind) else _OF_CHOICES
    if operator not in operators:
        _stop(found.start("op"), text, f"{field} is compared by {' '.join(sorted(operators))}")
    quoted = found["quoted"]
    value = found["bare"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
    where = found.start("bare") if quoted is None else found.start("quoted")
    if not isinstance(kind, Kind):
        if value.lower() not in kind:
            _stop(where, text, f"{value[:40]!r} is no {field}; known are {', '.join(kind)}")
        return Term(field, key, operator, kind[value.lower()])
    if kind is Kind.NUMBER:
        return Term(field, key, operator, _number(value, where, text))
    if kind is Kind.TIME:
        return Term(field, key, operator, _time(value, where, text))
    prefix = operator == ":" and value.endswith("*")
    return Term(field, key, operator, value[:-1] if prefix else value, prefix)


def _number(value: str, where: int, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        _stop(where, text, f"{value[:40]!r} is not a number")
    if not math.isfinite(number):
        _stop(where, text, "a number must be finite")
    return number


def _time(value: str, where: int, text: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        _stop(where, text, f"{value[:40]!r} is not a time like 2026-01-31 or 2026-01-31T10:00:00Z")
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 in UTC, without the rounding of floats."""
    past = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _stop(at: int, text: str, why: str) -> NoReturn:
    shown = text[at : at + 20].strip()
    raise _invalid(f"at character {at + 1} ({shown!r}): {why}" if shown else f"at its end: {why}")


def _invalid(why: str) -> InvalidArgument:
    return InvalidArgument([Violation("filter", why)])
