"""Records that are kept with a version: immutable, written as JSON with their digest, checked when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from bmase.reasons import Reason
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.kit.errors import DomainError, InvalidArgument, Violation

Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


class Document(BaseModel):
    """Fields cannot be set anew; unknown ones are refused. Infinite figures are strings, so that it is JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Sealed(Document):
    """A document that knows its own digest. `what` names it in errors; `format` rises when its meaning changes."""

    what: ClassVar[str]
    format: ClassVar[int] = 1

    def content(self) -> object:
        """What the digest is over; everything, unless a kind of document says otherwise."""
        return self.model_dump(mode="json")

    @cached_property
    def digest(self) -> str:
        return digest_of({"version": self.format, "content": self.content()})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, which would keep the digest of what it was copied from."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied

    def to_json(self) -> str:
        document = {"version": self.format, "digest": self.digest, **self.model_dump(mode="json")}
        return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """INVALID_FIELD when it is no such document, DIGEST_MISMATCH when it is not the one that was written."""
        claimed, version, fields = _opened(text, cls.what)
        if version != cls.format:
            raise _none(cls.what, f"has version {version}; this program reads {cls.format}")
        try:
            document = cls.model_validate(fields)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            places = [(".".join(map(str, (cls.what, *each["loc"]))), each["msg"]) for each in found]
            raise InvalidArgument([Violation(field, message) for field, message in places]) from None
        if claimed != document.digest:
            raise _tampered(cls.what, str(claimed), document.digest)
        return document


def digest_of(content: object) -> str:
    """`sha256:...` over the canonical JSON: sorted keys, no spaces, UTF-8; ValueError for NaN, which is no JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _opened(text: str | bytes, what: str) -> tuple[object, object, dict[str, Any]]:
    try:
        document = json.loads(text)
        return document.pop("digest"), document.pop("version"), document
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _none(what, f"is no {what}: {type(error).__name__}: {error}") from error


def _none(what: str, why: str) -> InvalidArgument:
    return InvalidArgument([Violation(what, why)])


def _tampered(what: str, claimed: str, found: str) -> DomainError:
    return DomainError(
        Reason.DIGEST_MISMATCH,
        f"the {what} says that its digest is {claimed}, but its content makes {found}",
        hint=f"Take the {what} from where it was kept; it was changed after it was written.",
    )
