"""Values in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bmase.cli import jsonform

_SIZES = ("B", "kB", "MB", "GB", "TB")
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def size(count: int) -> str:
    """Bytes, in the unit that fits: 1.4 MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_SIZES[unit]}"


def age(stamp: Any) -> str:
    """How long ago: 3 min ago."""
    if not stamp.seconds:
        return ""
    seconds = max(0, int((datetime.now(UTC) - jsonform.time_of(stamp)).total_seconds()))
    step, unit = next(((s, u) for s, u in _AGES if seconds >= s), (1, "s"))
    return f"{seconds // step} {unit} ago"


def mapping(items: Mapping[str, object]) -> str:
    """`a=1, b=2`."""
    return ", ".join(f"{key}={_number(value)}" for key, value in sorted(items.items()))


def _number(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def enum(message: Any, field: str) -> str:
    """An enum's value as a word: STATE_READY is `ready`."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    number = getattr(message, field)
    name = values[number].name if number in values else str(number)
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return str(name).removeprefix(prefix).lower()


def tensor(item: Any) -> str:
    """`x FP32[-1,784]`."""
    return f"{item.name} {item.datatype}[{','.join(map(str, item.shape))}]"


def files(items: Iterable[Any]) -> str:
    """Files of a version below each other: path, size, digest."""
    return "\n".join(f"{f.path}  {size(f.size_bytes)}  {f.digest[:19]}" for f in items)
