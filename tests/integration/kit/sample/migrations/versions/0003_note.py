"""A note on each thing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("thing", sa.Column("note", sa.Text, nullable=True))
