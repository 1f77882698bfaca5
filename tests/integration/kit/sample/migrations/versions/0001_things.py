"""Things by name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.kit.database import TABLE_OPTIONS

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "thing",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("count", sa.Integer, nullable=False, server_default="0"),
        **TABLE_OPTIONS,
    )
