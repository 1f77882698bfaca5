"""The bounds of the calls about releases, declared once."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

from bmase.reasons import Reason
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from services.kit.decode import ModelRef, ModelResource, PageSize, PageToken, RequestId, parse_model
from services.kit.errors import DomainError
from services.patcher.releases.policy import Policy

MAX_VERSION = 2**31 - 1

_NAME = re.compile(r"releases/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)")
_CANDIDATE = re.compile(r"[1-9][0-9]{0,9}|[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _refused(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _release(value: object) -> object:
    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refused("release_resource", "must be 'releases/{id}', as the release was named when it was made")
    return found[1]


def _optional_model(value: object) -> object:
    return parse_model(value) if isinstance(value, str) and value else None


ReleaseId = Annotated[str, BeforeValidator(_release)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NewRelease(_Request):
    """What may be asked of a new release; everything else in the message is output only."""

    model: ModelResource
    candidate: int = Field(default=0, ge=0, le=MAX_VERSION)
    policy: Policy = Policy()


class Create(_Request):
    """`candidate` is filled from the release's when it is empty."""

    release: NewRelease
    candidate: str = ""
    request_id: RequestId = ""

    @field_validator("candidate")
    @classmethod
    def _version(cls, value: str) -> str:
        if value and (_CANDIDATE.fullmatch(value) is None or (value.isdecimal() and int(value) > MAX_VERSION)):
            raise _refused("candidate", 'must be a version\'s number, an alias or "latest"')
        return value

    @property
    def version(self) -> str:
        """Which version is meant; empty when none was named."""
        return self.candidate or (str(self.release.candidate) if self.release.candidate else "")


class Named(_Request):
    """Get, Watch, Pause and Resume."""

    name: ReleaseId


class Promote(_Request):
    name: ReleaseId
    full: bool = False


class Rollback(_Request):
    name: ReleaseId
    message: str = Field(default="", max_length=500)


class List(_Request):
    model: Annotated[ModelRef | None, BeforeValidator(_optional_model)] = None
    active: bool = False
    page_size: PageSize = 0
    page_token: PageToken = ""


class ListEvents(_Request):
    name: ReleaseId
    page_size: PageSize = 0
    page_token: PageToken = ""


def page_token(created: float, release: str) -> str:
    """A token that names the last row of a page, so it stays right while rows come and go."""
    return base64.urlsafe_b64encode(f"{created!r}/{release}".encode()).decode()


def page_start(token: str) -> tuple[float, str] | None:
    """The row after which the page begins; None for the first page."""
    if not token:
        return None
    try:
        created, release = base64.urlsafe_b64decode(token.encode()).decode().split("/")
        return float(created), release
    except (binascii.Error, ValueError) as error:
        raise _no_token() from error


def line_token(number: int) -> str:
    """A token that names the last line of a page of events."""
    return f"after:{number}"


def line_start(token: str) -> int:
    """The line after which the page begins."""
    found = re.fullmatch(r"(?:after:([0-9]{1,18}))?", token)
    if found is None:
        raise _no_token()
    return int(found[1] or 0)


def _no_token() -> DomainError:
    message = "the page_token was not given by this list; leave it empty to begin anew"
    return DomainError(Reason.PAGE_TOKEN_INVALID, message, field="page_token")
