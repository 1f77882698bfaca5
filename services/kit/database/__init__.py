"""Relational storage by URL: SQLite on one machine, MySQL or MariaDB elsewhere, the same code for both.

Rules that make it the same: text is compared by bytes (`TABLE_OPTIONS` in every table; only MariaDB overlooks spaces at
the end, so names must not end in one), times are stored in UTC without zone, transactions are short and may run again
(`Database.run`), schema changes only go forward (`migrations`).
"""

from __future__ import annotations

from services.kit.database.engine import TABLE_OPTIONS, Database
from services.kit.database.errors import is_duplicate, is_transient

__all__ = ["TABLE_OPTIONS", "Database", "is_duplicate", "is_transient"]
