"""Records that are kept beside a version: frozen dataclasses that write themselves as JSON and read themselves back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from services.kit.errors import InvalidArgument, Violation


@dataclass(frozen=True)
class Document:
    """The base of every record here. Infinite figures are written as "Infinity", so that it is JSON."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings", extra="forbid")

    def to_json(self) -> str:
        return _adapter(type(self)).dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """InvalidArgument names the fields that are not what they must be."""
        try:
            return cast(Self, _adapter(cls).validate_json(text))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise InvalidArgument([Violation(".".join(map(str, e["loc"])), e["msg"]) for e in found]) from None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # they take long to make


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
