"""What a job is asked to do: bounds and defaults of the fields of `bmase.trainer.v1.Job` that a caller may set.

The decoded request is what is stored, so a job keeps the defaults of the day on which it was made.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.kit.decode import CONTROL, Digest, Labels, ModelResource, refuse

DAY = 86_400.0
TIME_LIMIT = DAY
MEMORY_BYTES = 2 * 2**30
SHARE = 0.1
MAX_SHARE = 0.9
MAX_PARAMETERS = 256
MAX_PARAMETER_BYTES = 64 * 2**10
MAX_DEPTH = 16
MAX_URI = 2048
MAX_URIS = 2**20  # characters of all of them together: a job must fit into a message, and a page hold several
MAX_MODULE = 255
SCHEMES = ("file", "s3", "hdfs")

_RECIPE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SOURCE = re.compile(r"[a-z]([a-z0-9_]{0,61}[a-z0-9])?")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
_EXACT = 2**53


def _recipe(value: str) -> str:
    if value and _RECIPE.fullmatch(value) is None:
        raise refuse("recipe", "must be 1 to 63 of a-z, 0-9, '-', and begin and end with a letter or digit")
    return value


def _entry_point(value: str) -> str:
    if len(value) > MAX_MODULE or _ENTRY_POINT.fullmatch(value) is None:
        raise refuse("entry_point", "must be 'module:function' of at most 255 characters, as in digits.train:main")
    return value


def _source(value: str) -> str:
    if value and _SOURCE.fullmatch(value) is None:
        raise refuse("data_name", "must be 1 to 63 of a-z, 0-9, '_', begin with a letter and not end with '_'")
    return value or "data"


def _uri(value: str) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in SCHEMES and bool(parts.path.strip("/") or parts.netloc)
    except ValueError:
        right = False
    if not right or len(value) > MAX_URI or CONTROL.search(value):
        raise refuse("uri", f"must begin with {', '.join(f'{s}://' for s in SCHEMES)} and have at most 2048 characters")
    if "@" in parts.netloc:
        raise refuse("uri", "must not carry a user or password; credentials come from the trainer's environment")
    if ".." in parts.path.split("/"):
        raise refuse("uri", "must not contain '..'")
    return value


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise refuse("uris", "must name at least one place")
    return value


def _plain(value: str) -> str:
    if CONTROL.search(value):
        raise refuse("text", "must not contain control characters")
    return value


def _said(value: str) -> str:
    if not value.strip():
        raise refuse("text", "must not be empty")
    return _plain(value)


def _digest_or_none(value: object) -> object:
    return value or None


def _whole(value: Any, depth: int = 0) -> Any:
    """protobuf has one type of number: what is whole becomes an int again."""
    if depth > MAX_DEPTH:
        raise refuse("parameters", f"must not be nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, list):
        return [_whole(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item, depth + 1) for key, item in value.items()}
    return value


def _parameters(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > MAX_PARAMETERS:
        raise refuse("parameters", f"must have at most {MAX_PARAMETERS} entries")
    for key in value:
        if _PARAMETER.fullmatch(key) is None:
            raise refuse("parameters", "keys must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', and begin with a letter")
    whole: dict[str, Any] = _whole(value)
    if len(json.dumps(whole, ensure_ascii=False).encode()) > MAX_PARAMETER_BYTES:
        raise refuse("parameters", f"must have at most {MAX_PARAMETER_BYTES} bytes as JSON")
    return whole


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _cpus(value: float) -> float:
    if 0 < value < 0.001:
        raise refuse("cpus", "must be at least 0.001")
    return value or 1.0


def _or(default: Any) -> AfterValidator:
    """proto3 cannot tell 0 from absent: 0 is the default."""
    return AfterValidator(lambda value: value or default)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Bundle(_Part):
    """The user's own code."""

    digest: Digest
    entry_point: Annotated[str, AfterValidator(_entry_point)]


class DataSource(_Part):
    name: Annotated[str, AfterValidator(_source)] = "data"
    uris: Annotated[tuple[Annotated[str, AfterValidator(_uri)], ...], Field(max_length=1000), AfterValidator(_some)] = (
        Field(default=(), validate_default=True)
    )
    snapshot: bool = False


Share = Annotated[float, Field(ge=0, le=MAX_SHARE, allow_inf_nan=False)]


class Split(_Part):
    """Shares of the rows; `none`: all of them are for training. What is over is for training."""

    validation: Share = SHARE
    test: Share = SHARE
    salt: Annotated[str, Field(max_length=64), AfterValidator(_plain)] = ""
    key: tuple[Annotated[str, Field(max_length=255), AfterValidator(_said)], ...] = Field(default=(), max_length=8)
    none: bool = False

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        """Both 0 is what proto3 gives for "not said"."""
        if isinstance(value, dict) and not value.get("validation") and not value.get("test"):
            share = 0.0 if value.get("none") else SHARE
            return {**value, "validation": share, "test": share}
        return value

    @model_validator(mode="after")
    def _fits(self) -> Split:
        if self.none and (self.validation or self.test):
            raise refuse("split", "has shares for validation or test, and none of both is asked for: leave out one")
        if self.validation + self.test > MAX_SHARE + 1e-9:
            raise refuse("split", f"validation and test must together be at most {MAX_SHARE}")
        return self


class Resources(_Part):
    """What the job holds while it runs. All but `workers` and `time_limit` (seconds) are of each worker."""

    workers: Annotated[int, Field(ge=0, le=1024), _or(1)] = 1
    cpus: Annotated[float, Field(ge=0, le=1024, allow_inf_nan=False), AfterValidator(_cpus)] = 1.0
    memory_bytes: Annotated[int, Field(ge=0, le=2**44), _or(MEMORY_BYTES)] = MEMORY_BYTES
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    time_limit: Annotated[float, BeforeValidator(_in_seconds), Field(ge=1, le=30 * DAY, allow_inf_nan=False)] = (
        TIME_LIMIT
    )

    @model_validator(mode="after")
    def _enough(self) -> Resources:
        if self.memory_bytes < 16 * 2**20:
            raise refuse("resources", "memory_bytes must be at least 16 MiB: no worker starts in less")
        return self

    @property
    def millicpus(self) -> int:
        """CPUs are added up and compared: whole thousandths have no rounding."""
        return round(self.cpus * 1000)


def _sources(value: tuple[DataSource, ...]) -> tuple[DataSource, ...]:
    names = [source.name for source in value]
    if len(set(names)) != len(names):
        raise refuse("data", "must have each name only once; a source without a name is 'data'")
    if sum(len(uri) for source in value for uri in source.uris) > MAX_URIS:
        raise refuse(
            "data", f"has URIs of more than {MAX_URIS} characters together: name a folder instead of its files"
        )
    return value


class Spec(_Part):
    """The whole wish. Exactly one of `recipe` and `bundle` is set; everything else in the message is output only."""

    model: ModelResource
    recipe: Annotated[str, AfterValidator(_recipe)] = ""
    bundle: Bundle | None = None
    data: Annotated[tuple[DataSource, ...], Field(max_length=16), AfterValidator(_sources)] = ()
    split: Split = Split()
    parameters: Annotated[dict[str, Any], AfterValidator(_parameters)] = {}
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    resources: Resources = Resources()
    environment_digest: Annotated[Digest | None, BeforeValidator(_digest_or_none)] = None
    gates: tuple[Annotated[str, Field(max_length=200), AfterValidator(_said)], ...] = Field(default=(), max_length=100)
    labels: Labels = {}
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    owner: Annotated[str, Field(max_length=64), AfterValidator(_plain)] = ""

    @model_validator(mode="after")
    def _one_code(self) -> Spec:
        if bool(self.recipe) == (self.bundle is not None):
            raise refuse("code", "must name what trains: either recipe or bundle")
        return self

    @property
    def code(self) -> str:
        """In words, for sentences."""
        return f"recipe {self.recipe}" if self.bundle is None else self.bundle.entry_point
