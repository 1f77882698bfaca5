"""Orders of lists."""

from __future__ import annotations

import pytest

from services.kit.errors import InvalidArgument
from services.registry import orders
from services.registry.orders import Order


def test_orders() -> None:
    assert orders.model_order("  create_time   desc ") == Order("create_time", descending=True)
    assert orders.version_order("") == Order("number", descending=True)
    assert orders.version_order("metrics.top-1 desc") == Order("metrics", "top-1", descending=True)
    for text in ("size", "name; DROP TABLE models", "create_time asc", "metrics."):
        with pytest.raises(InvalidArgument):
            orders.version_order(text)
