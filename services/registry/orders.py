"""Orders of the lists of models and versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.kit.errors import InvalidArgument, Violation

_METRIC = re.compile(r"metrics\.([A-Za-z0-9][A-Za-z0-9._/-]{0,62})( desc)?")


@dataclass(frozen=True, slots=True)
class Order:
    """`field` ("name", "create_time", "metrics"), the key of a metric, and whether it falls."""

    field: str
    key: str = ""
    descending: bool = False


MODEL_ORDERS = {
    "": Order("name"),
    "name": Order("name"),
    "create_time": Order("create_time"),
    "create_time desc": Order("create_time", descending=True),
    "update_time": Order("update_time"),
    "update_time desc": Order("update_time", descending=True),
}
VERSION_ORDERS = {
    "": Order("number", descending=True),
    "number": Order("number"),
    "number desc": Order("number", descending=True),
    "create_time": Order("create_time"),
    "create_time desc": Order("create_time", descending=True),
}


def model_order(text: str) -> Order:
    """The order that `order_by` of ListModels means."""
    return _known(" ".join(text.split()), MODEL_ORDERS)


def version_order(text: str) -> Order:
    """The order that `order_by` of ListVersions means."""
    plain = " ".join(text.split())
    found = _METRIC.fullmatch(plain)
    return Order("metrics", found[1], found[2] is not None) if found else _known(plain, VERSION_ORDERS)


def _known(text: str, orders: dict[str, Order]) -> Order:
    if text not in orders:
        known = ", ".join(repr(name) for name in orders if name)
        raise InvalidArgument([Violation("order_by", f"must be one of {known}")])
    return orders[text]
