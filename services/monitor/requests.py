"""The bounds of the calls about comparisons, declared once."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from typing import Annotated

from bmase.reasons import Reason
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.kit.decode import ModelRef, ModelResource, PageSize, PageToken, VersionNumber, parse_model
from services.kit.errors import DomainError

_COMPARISON = re.compile(r"comparisons/([A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)")
MOST_BURST = timedelta(days=1)


def _refused(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _comparison(value: object) -> object:
    found = _COMPARISON.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        text = "must be 'comparisons/{release}'; the release is 1 to 128 of A-Z, a-z, 0-9, '.', '_', '-'"
        raise _refused("comparison_resource", text)
    return found[1]


def _optional_model(value: object) -> object:
    return parse_model(value) if isinstance(value, str) and value else None


ComparisonName = Annotated[str, BeforeValidator(_comparison)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Policy(_Request):
    """As in the proto; 0 stands for the default."""

    alpha: Chance = 0.0
    promote_alpha: Chance = 0.0
    margin: Part = 0.0
    slow_ms: float = Field(default=0.0, ge=0, le=3_600_000, allow_inf_nan=False)
    burst: timedelta = Field(default=timedelta(0), ge=timedelta(0), le=MOST_BURST)
    max_disagreement: Part = 0.0
    ignore_slow: bool = False
    ignore_outcomes: bool = False


class NewComparison(_Request):
    """What is to be judged; everything else in the message is output only."""

    name: ComparisonName
    model: ModelResource
    stable: VersionNumber
    candidate: VersionNumber
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _two(self) -> NewComparison:
        if self.stable == self.candidate:
            raise _refused("versions", "stable and candidate must be two versions")
        return self

    def to_json(self) -> dict[str, object]:
        """What `model_validate` makes the same of."""
        policy = self.policy.model_dump(mode="json")
        return {
            "name": f"comparisons/{self.name}",
            "model": str(self.model),
            "stable": self.stable,
            "candidate": self.candidate,
            "policy": policy,
        }


class Start(_Request):
    comparison: NewComparison


class Named(_Request):
    """Get, Watch and End."""

    name: ComparisonName


class List(_Request):
    model: Annotated[ModelRef | None, BeforeValidator(_optional_model)] = None
    page_size: PageSize = 0
    page_token: PageToken = ""


def page_token(started: float, name: str) -> str:
    """A token that names the last row of a page, so it stays right while rows come and go."""
    return base64.urlsafe_b64encode(f"{started!r}/{name}".encode()).decode()


def page_start(token: str) -> tuple[float, str] | None:
    """The row after which the page begins; None for the first page."""
    if not token:
        return None
    try:
        started, name = base64.urlsafe_b64decode(token.encode()).decode().split("/")
        return float(started), name
    except (binascii.Error, ValueError) as error:
        message = "the page_token was not given by this list; leave it empty to begin anew"
        raise DomainError(Reason.PAGE_TOKEN_INVALID, message, field="page_token") from error
