"""Parts of things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.kit.database import TABLE_OPTIONS

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "part",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("thing_id", sa.Integer, sa.ForeignKey("thing.id"), nullable=False),
        **TABLE_OPTIONS,
    )
