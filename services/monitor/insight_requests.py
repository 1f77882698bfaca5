"""The bounds of the calls about samples, outcomes and what is captured, declared once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.kit.decode import (
    MODEL_NAME_RULE,
    ModelResource,
    PageSize,
    PageToken,
    VersionNumber,
    VersionResource,
    parse_model,
)
from services.monitor.captures import CaptureSettings, TensorName
from services.monitor.outcomes import Given

MAX_OUTCOMES = 1000
MAX_REPLAYED = 10_000
YEAR = timedelta(days=366)
MAX_KEPT_BYTES = 1 << 40

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _refused(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _capture(value: object) -> object:
    """The model in `captures/{model}`."""
    text = value if isinstance(value, str) else ""
    if not text.startswith("captures/"):
        raise _refused("capture_resource", f"must be 'captures/{{model}}'; the model {MODEL_NAME_RULE}")
    return parse_model("models/" + text.removeprefix("captures/")).model


def _plain(value: object) -> object:
    if isinstance(value, str) and _CONTROL.search(value):
        raise _refused("plain_text", "must not have control characters")
    return value


CaptureName = Annotated[str, BeforeValidator(_capture)]
RequestName = Annotated[str, BeforeValidator(_plain), Field(min_length=1, max_length=256)]
Label = Annotated[str, BeforeValidator(_plain), Field(max_length=256)]
AnyVersion = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CaptureChange(_Request):
    """The settings as a whole."""

    name: CaptureName
    percent: float = Field(ge=0, le=100, allow_inf_nan=False)
    opt_out: bool
    redacted: Annotated[tuple[TensorName, ...], Field(max_length=64)]
    retention: Annotated[timedelta, Field(ge=timedelta(0), le=YEAR)] = timedelta(0)
    max_bytes: int = Field(ge=0, le=MAX_KEPT_BYTES)
    label_output: str = Field(max_length=256)

    def settings(self) -> CaptureSettings:
        """As they are kept."""
        return CaptureSettings(
            percent=self.percent,
            opt_out=self.opt_out,
            redacted=tuple(sorted(set(self.redacted))),
            retention=self.retention.total_seconds(),
            max_bytes=self.max_bytes,
            label_output=self.label_output,
        )


class UpdateCapture(_Request):
    capture: CaptureChange


class GetCapture(_Request):
    name: CaptureName


class ListSamples(_Request):
    model: ModelResource
    version: AnyVersion = 0
    wrong: bool = False
    page_size: PageSize = 0
    page_token: PageToken = ""


class ReportedOutcome(_Request):
    request_id: RequestName
    label: Label = ""
    score: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    time: datetime | None = None
    version: AnyVersion = 0
    prediction: Label = ""

    def given(self, now: float) -> Given:
        """The report; without a time it became known just now, and never later than that."""
        known = now if self.time is None else min(now, self.time.timestamp())
        return Given(self.request_id, self.label, self.score, known, self.version, self.prediction)


class ReportOutcomes(_Request):
    model: ModelResource
    outcomes: Annotated[list[ReportedOutcome], Field(min_length=1, max_length=MAX_OUTCOMES)]


class _TwoVersions(_Request):
    model: ModelResource
    stable: VersionNumber
    candidate: VersionNumber

    @model_validator(mode="after")
    def _two(self) -> _TwoVersions:
        if self.stable == self.candidate:
            raise _refused("versions", "stable and candidate must be two versions")
        return self


class CompareVersions(_TwoVersions):
    """Two versions side by side."""


class GetDrift(_Request):
    name: VersionResource
    limit: int = Field(default=0, ge=0, le=100_000)


class ReplaySamples(_TwoVersions):
    count: int = Field(default=0, ge=0, le=MAX_REPLAYED)
    tolerance: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
