"""What the drivers' errors mean; pure, by their numbers and never by their words."""

from __future__ import annotations

import sqlite3

from bmase.reasons import Reason
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit.errors import DomainError

# Another transaction was in the way and this one was rolled back: it may run again.
_SQLITE_TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_MYSQL_TRANSIENT = frozenset({1205, 1213, 1020})  # lock wait timeout, deadlock, record changed since last read

_MYSQL_FULL = frozenset({1021, 1114, 28})  # disk full, table full, ENOSPC passed on by the engine

# The database is not there, not ready, or not ours; nothing about the statement is wrong.
_SQLITE_AWAY = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT}
    | {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)
_MYSQL_AWAY = frozenset(
    {1040, 1044, 1045, 1049, 1053, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1203, 1290, 1317, 1836, 1927}
    | {2002, 2003, 2006, 2013, 2014, 2055, 4031}
)

_SQLITE_DUPLICATE = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})
_MYSQL_DUPLICATE = frozenset({1062, 1586})


def is_transient(error: BaseException | None) -> bool:
    """A deadlock, a lock that took too long, a busy file: the whole transaction may run again."""
    if not isinstance(error, DBAPIError):
        return False
    return _sqlite_code(error) & 0xFF in _SQLITE_TRANSIENT or _mysql_code(error) in _MYSQL_TRANSIENT


def is_duplicate(error: IntegrityError) -> bool:
    """A primary key or unique constraint was hit, as opposed to a foreign key, a check or a missing value."""
    return _sqlite_code(error) in _SQLITE_DUPLICATE or _mysql_code(error) in _MYSQL_DUPLICATE


def translate(error: Exception, where: str) -> DomainError | None:
    """The domain error for trouble of the database itself; None for what the caller must judge (a constraint)."""
    if isinstance(error, PoolTimeout):
        return _unavailable(where, "all its connections are busy")
    if not isinstance(error, DBAPIError):
        return None
    if _sqlite_code(error) & 0xFF == sqlite3.SQLITE_FULL or _mysql_code(error) in _MYSQL_FULL:
        return DomainError(
            Reason.STORAGE_FULL,
            f"the disk under the database {where} is full",
            hint="Free space on the file system of the database, then try again.",
        )
    if is_transient(error):
        return _unavailable(where, "it is locked by other transactions")
    away = _sqlite_code(error) & 0xFF in _SQLITE_AWAY or _mysql_code(error) in _MYSQL_AWAY
    return _unavailable(where, str(error.orig)[:300]) if away or error.connection_invalidated else None


def _unavailable(where: str, cause: str) -> DomainError:
    return DomainError(
        Reason.STORE_UNAVAILABLE,
        f"the database {where} cannot be used: {cause}",
        hint="Check that the database runs and that the URL of the service names it.",
    )


def _sqlite_code(error: DBAPIError) -> int:
    """SQLite's extended code, 0 if the error is not SQLite's; the low byte is the primary code."""
    return int(getattr(error.orig, "sqlite_errorcode", 0) or 0)


def _mysql_code(error: DBAPIError) -> int:
    """MySQL's number, 0 if the error has none."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0
