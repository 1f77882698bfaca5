"""What a release is allowed to do: bounds and defaults of `ReleasePolicy`, in this one place.

The decoded request is what is stored, so a release keeps the defaults of the day on which it was made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from bmase.patcher.v1 import release_pb2 as pb
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from services.kit.decode import known_enum

PERCENTS = (1.0, 5.0, 25.0, 50.0, 100.0)
MIN_REQUESTS = 100
MIN_TIME = 30.0
KEEP = 3600.0
SHADOW_SAMPLES = 200
WEBHOOK_TIMEOUT = 5.0

MAX_STEPS = 20
MAX_REPLICAS = 100
SMALLEST_PERCENT = 0.001
DAY = 86_400.0


def _refused(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, text)  # type: ignore[arg-type]


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _or(default: Any) -> AfterValidator:
    """proto3 cannot tell 0 from absent: 0 is the default."""
    return AfterValidator(lambda value: value or default)


def _seconds(at_most: float, *, at_least: float = 0.0) -> Any:
    return Annotated[float, BeforeValidator(_in_seconds), Field(ge=at_least, le=at_most, allow_inf_nan=False)]


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Step(_Part):
    """One part of the way. `min_requests` -1 asks for none, `max_time` 0 never ends."""

    percent: float = Field(ge=SMALLEST_PERCENT, le=100, allow_inf_nan=False)
    min_requests: Annotated[int, Field(ge=-1, le=10**12), _or(MIN_REQUESTS)] = MIN_REQUESTS
    min_time: _seconds(30 * DAY) = MIN_TIME  # type: ignore[valid-type]
    max_time: _seconds(365 * DAY) = 0.0  # type: ignore[valid-type]
    gate: bool = False


class Judge(_Part):
    """Passed on to the monitor, whose defaults stand for 0; fixed before the first request is judged."""

    alpha: Chance = 0.0
    promote_alpha: Chance = 0.0
    margin: Share = 0.0
    slow_ms: float = Field(default=0.0, ge=0, le=3.6e6, allow_inf_nan=False)
    burst: _seconds(3600) = 0.0  # type: ignore[valid-type]
    max_disagreement: Share = 0.0
    ignore_slow: bool = False
    ignore_outcomes: bool = False

    @property
    def allowed_failures(self) -> float:
        """The share of replayed samples that the candidate may refuse."""
        return self.margin or 0.02


HIDDEN = "/..."


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or len(value) > 2048 or any(not c.isprintable() or c.isspace() for c in value):
        raise _refused("web_address", "must be an http or https URL of at most 2048 characters")
    if parts.path == HIDDEN:
        raise _refused("web_address", "must be the whole URL: this is how it is shown to readers")
    return value


class Webhook(_Part):
    """Who is told, and may be asked. Only `host` and `shown` are ever shown: the rest of a URL may hold a secret."""

    url: Annotated[str, AfterValidator(_web_address)]
    gate: bool = False
    timeout: _seconds(30, at_least=0.1) = WEBHOOK_TIMEOUT  # type: ignore[valid-type]

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def shown(self) -> str:
        """The URL without user, password, path and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{HIDDEN}"


def _rising(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    percents = [step.percent for step in steps]
    if percents != sorted(set(percents)) or percents[-1:] != [100.0]:
        raise _refused("steps", "must rise from step to step and end at 100 percent")
    return steps


DEFAULT_STEPS = tuple(Step(percent=percent) for percent in PERCENTS)

Steps = Annotated[
    tuple[Step, ...],
    BeforeValidator(lambda steps: steps or DEFAULT_STEPS),
    Field(max_length=MAX_STEPS),
    AfterValidator(_rising),
]


class Policy(_Part):
    """How a release goes about it; `shadow_samples` -1 asks for none, `replicas` 0 for as many as stable has."""

    steps: Steps = DEFAULT_STEPS
    judge: Judge = Judge()
    shadow_samples: Annotated[int, Field(ge=-1, le=10_000), _or(SHADOW_SAMPLES)] = SHADOW_SAMPLES
    keep: _seconds(30 * DAY) = KEEP  # type: ignore[valid-type]
    keep_old: bool = False
    keep_candidate: bool = False
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=8)
    on_timeout: Annotated[
        int, known_enum(pb.ReleasePolicy.OnTimeout, allow_unspecified=True), _or(pb.ReleasePolicy.ON_TIMEOUT_HOLD)
    ] = pb.ReleasePolicy.ON_TIMEOUT_HOLD
    replicas: int = Field(default=0, ge=0, le=MAX_REPLICAS)

    @property
    def last(self) -> int:
        """The index of the step with all of the traffic."""
        return len(self.steps) - 1

    @property
    def rolls_back_late(self) -> bool:
        return self.on_timeout == pb.ReleasePolicy.ON_TIMEOUT_ROLLBACK
