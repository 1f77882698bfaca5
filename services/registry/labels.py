"""Labels as the one column that keeps them; the tables beside it are for searching."""

from __future__ import annotations

import json
from collections.abc import Mapping

MAX_LABEL_BYTES = 65_535  # of MySQL's TEXT


def labels_column(labels: Mapping[str, str]) -> str:
    """JSON in as few bytes as it takes, whatever the script."""
    return json.dumps(dict(labels), ensure_ascii=False, separators=(",", ":"))


def labels_fit(labels: Mapping[str, str]) -> bool:
    """Whether the column has room for them."""
    return len(labels_column(labels).encode()) <= MAX_LABEL_BYTES
