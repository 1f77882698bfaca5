"""What database drivers' numbers mean."""

from __future__ import annotations

import sqlite3

import pytest
from bmase.reasons import Reason
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit.database import is_duplicate, is_transient
from services.kit.database.engine import parse_url
from services.kit.database.errors import translate
from services.kit.errors import DomainError


def sqlite_error(code: int, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    original = sqlite3.OperationalError("words that nobody reads")
    original.sqlite_errorcode = code
    return kind("SELECT 1", {}, original)


def mysql_error(number: int, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    return kind("SELECT 1", {}, Exception(number, "words that nobody reads"))


BUSY_SNAPSHOT = sqlite3.SQLITE_BUSY_SNAPSHOT


@pytest.mark.parametrize(
    ("error", "transient", "reason"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), True, "STORE_UNAVAILABLE"),
        (sqlite_error(BUSY_SNAPSHOT), True, "STORE_UNAVAILABLE"),
        (sqlite_error(sqlite3.SQLITE_FULL), False, "STORAGE_FULL"),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), False, "STORE_UNAVAILABLE"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), False, "STORE_UNAVAILABLE"),
        (sqlite_error(sqlite3.SQLITE_NOTADB), False, "STORE_UNAVAILABLE"),
        (sqlite_error(sqlite3.SQLITE_ERROR), False, None),
        (mysql_error(1213), True, "STORE_UNAVAILABLE"),
        (mysql_error(1205), True, "STORE_UNAVAILABLE"),
        (mysql_error(1114), False, "STORAGE_FULL"),
        (mysql_error(2013), False, "STORE_UNAVAILABLE"),
        (mysql_error(1045), False, "STORE_UNAVAILABLE"),
        (mysql_error(1064, ProgrammingError), False, None),
        (mysql_error(1062, IntegrityError), False, None),
        (PoolTimeout(), False, "STORE_UNAVAILABLE"),
        (ValueError("a defect"), False, None),
    ],
)
def test_numbers_mean_the_same_whatever_the_words(error: Exception, transient: bool, reason: str | None) -> None:
    assert is_transient(error) is transient
    translated = translate(error, "here")
    assert (translated.reason if translated else None) == reason


@pytest.mark.parametrize(
    ("error", "duplicate"),
    [
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE, IntegrityError), True),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, IntegrityError), True),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, IntegrityError), False),
        (mysql_error(1062, IntegrityError), True),
        (mysql_error(1452, IntegrityError), False),
    ],
)
def test_a_duplicate_is_not_any_broken_constraint(error: IntegrityError, duplicate: bool) -> None:
    assert is_duplicate(error) is duplicate


@pytest.mark.parametrize("url", ["sqlite:///{0}/a.db", "sqlite+aiosqlite:///{0}/a.db"])
def test_sqlite_gets_its_folder(url: str, tmp_path: object) -> None:
    parsed = parse_url(url.format(f"{tmp_path}/deep/er"))
    assert parsed.drivername == "sqlite+aiosqlite"


@pytest.mark.parametrize("url", ["mysql://u:p@h/d", "mariadb://u:p@h/d", "mysql+asyncmy://u:p@h/d"])
def test_mysql_and_mariadb_are_one(url: str) -> None:
    assert parse_url(url).drivername == "mysql+asyncmy"


@pytest.mark.parametrize("url", ["", "postgresql://h/d", "/tmp/a.db", "mysql+pymysql://h/d", "sqlite"])
def test_another_database_is_refused_with_what_is_known(url: str) -> None:
    with pytest.raises(DomainError, match="must look like") as refused:
        parse_url(url)
    assert refused.value.reason is Reason.INVALID_FIELD
