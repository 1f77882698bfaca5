"""Policy files of releases: TOML or JSON with the fields of `bmase.patcher.v1.ReleasePolicy`.

    shadow_samples = 200
    keep = "2h"

    [judge]
    margin = 0.01

    [[steps]]
    percent = 5
    min_requests = 500
    min_time = "5m"

Times are numbers with a unit (s, m, h, d). Whatever is left out is the server's default.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from bmase.errors import InvalidArgument, Violation
from bmase.patcher.v1 import release_pb2 as pb

Filled = TypeVar("Filled", bound=Message)
DURATION = "google.protobuf.Duration"
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def load(path: Path) -> pb.ReleasePolicy:
    """The policy in a file; InvalidArgument says which field is wrong."""
    return parse(read(path))


def read(path: Path) -> dict[str, Any]:
    """What is in a file, JSON by its name, else TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise _wrong(str(path), f"is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from None
    return document


def parse(document: dict[str, Any]) -> pb.ReleasePolicy:
    """The policy that a document means."""
    return fill(document, pb.ReleasePolicy(), "policy")


def fill(document: dict[str, Any], message: Filled, what: str) -> Filled:
    """The message with what a document says in the fields' own names; InvalidArgument says which field is wrong."""
    plain = _message(document, message.DESCRIPTOR, "")
    try:
        return json_format.ParseDict(plain, message)
    except json_format.ParseError as error:
        raise _wrong(what, str(error)) from None


def percents(text: str) -> pb.ReleasePolicy:
    """A policy with these steps: `1,10,50,100`."""
    policy = pb.ReleasePolicy()
    for part in text.split(","):
        try:
            policy.steps.add(percent=float(part))
        except ValueError:
            raise _wrong("steps", f"{part.strip()!r} is not a percentage; write for example 1,10,50,100") from None
    return policy


def _message(value: Any, kind: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where or "policy", "is not a table")
    made = {}
    for name, item in value.items():
        path = f"{where}.{name}" if where else name
        field = kind.fields_by_name.get(name)
        if field is None:
            raise _wrong(path, f"is not known; known are {', '.join(sorted(kind.fields_by_name))}")
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            made[name] = item  # labels, parameters: their values are plain
        elif field.is_repeated:
            if not isinstance(item, list):
                raise _wrong(path, "is not a list")
            made[name] = [_field(part, field, f"{path}[{index}]") for index, part in enumerate(item)]
        else:
            made[name] = _field(item, field, path)
    return made


def _field(value: Any, field: Any, where: str) -> Any:
    if field.message_type is not None:
        is_time = field.message_type.full_name == DURATION
        return duration(value, where) if is_time else _message(value, field.message_type, where)
    if field.enum_type is not None:
        return _enum(value, field, where)
    return value


def duration(value: Any, where: str) -> str:
    """`90s` for "1.5m"; a plain number is seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.3f}s"
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise _wrong(where, f"{value!r} is not a time; write for example 30s, 5m, 2h, 1d")
    return f"{float(found[1]) * _SECONDS[found[2]]:.3f}s"


def _enum(value: Any, field: Any, where: str) -> str:
    values = field.enum_type.values_by_number
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    known = {v.name.removeprefix(prefix).lower(): v.name for number, v in values.items() if number}
    if str(value).lower() not in known:
        raise _wrong(where, f"{value!r} is not one of {', '.join(known)}")
    return known[str(value).lower()]


def _wrong(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {why}", reason="INVALID_FIELD", violations=[Violation(field, why)])
