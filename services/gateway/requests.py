"""The bounds of requests, and what becomes of a request that keeps them."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from services.gateway.documents import MirrorRule, OverrideRule, RouteDocument, StickyRule, Weighted
from services.gateway.lock import Hold
from services.kit.decode import PageSize, PageToken, VersionNumber, parse_model

MAX_VERSIONS = 16
MAX_OVERRIDES = 16
MAX_TIMEOUT = 86_400.0
FENCE_AHEAD_SECONDS = 86_400.0

_TOKEN = re.compile(r"[a-z0-9!#$&'*+.^_`|~-]{1,128}")
_RESERVED = re.compile(
    r"x-bmase-.*|x-envoy-.*|grpc-.*|:.*|content-type|content-length|te|host|connection|transfer-encoding"
)
_VISIBLE = re.compile(r"[\x20-\x7e]*")


class RouteRef(NamedTuple):
    """`routes/{model}`."""

    model: str

    def __str__(self) -> str:
        return f"routes/{self.model}"


def parse_route(name: str) -> RouteRef:
    """`routes/{model}` taken apart; raises ValueError that says what is wrong."""
    if not name.startswith("routes/"):
        raise PydanticCustomError("route_resource", "must be 'routes/{{model}}'")
    return RouteRef(parse_model("models/" + name.removeprefix("routes/")).model)


def _header(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise PydanticCustomError("header", "must be the name of a header, in lower case")
    if _RESERVED.fullmatch(value):
        raise PydanticCustomError("header", "must not be a header that the protocol or the gateway uses itself")
    return value


def _value(value: str) -> str:
    if not _VISIBLE.fullmatch(value):
        raise PydanticCustomError("value", "must hold visible ASCII characters only")
    return value


RouteName = Annotated[RouteRef, BeforeValidator(lambda v: parse_route(v) if isinstance(v, str) else v)]
OptionalRouteName = Annotated[RouteRef | None, BeforeValidator(lambda v: parse_route(v) if v else None)]
HeaderName = Annotated[str, AfterValidator(_header)]
Etag = Annotated[str, Field(max_length=64)]


class WeightedVersion(BaseModel):
    version: VersionNumber
    weight: int = Field(default=0, ge=0, le=1_000_000)


class Sticky(BaseModel):
    header: HeaderName | None = None
    source_ip: bool = False

    @model_validator(mode="after")
    def _one(self) -> Sticky:
        if self.header is None and not self.source_ip:
            raise PydanticCustomError("sticky", "must name a header or set source_ip")
        return self


class Override(BaseModel):
    header: HeaderName
    value: Annotated[str, Field(max_length=256), AfterValidator(_value)] = ""
    version: VersionNumber


class Mirror(BaseModel):
    version: VersionNumber
    percent: float = Field(gt=0, le=100)


def _weights(value: list[WeightedVersion]) -> list[WeightedVersion]:
    numbers = [entry.version for entry in value]
    if len(set(numbers)) != len(numbers):
        raise PydanticCustomError("versions", "must name each version once")
    if not any(entry.weight for entry in value):
        raise PydanticCustomError("versions", "must give at least one version a weight above 0")
    return value


Versions = Annotated[list[WeightedVersion], Field(min_length=1, max_length=MAX_VERSIONS), AfterValidator(_weights)]


class Route(BaseModel):
    """`bmase.gateway.v1.Route` as far as a caller sets it."""

    name: RouteName
    versions: Versions
    sticky: Sticky | None = None
    overrides: list[Override] = Field(default_factory=list, max_length=MAX_OVERRIDES)
    mirror: Mirror | None = None
    timeout: timedelta | None = Field(default=None, ge=timedelta(), le=timedelta(seconds=MAX_TIMEOUT))
    retries: int = Field(default=0, ge=-1, le=10)
    etag: Etag = ""

    def document(self, update_time: str) -> RouteDocument:
        """The route as it is stored."""
        return RouteDocument(
            versions=tuple(Weighted(version=v.version, weight=v.weight) for v in self.versions),
            sticky=StickyRule(header=self.sticky.header or "", source_ip=self.sticky.source_ip)
            if self.sticky
            else None,
            overrides=tuple(OverrideRule(**rule.model_dump()) for rule in self.overrides),
            mirror=MirrorRule(**self.mirror.model_dump()) if self.mirror else None,
            timeout=None if self.timeout is None else self.timeout.total_seconds(),
            retries=self.retries,
            update_time=update_time,
        )


ReleaseId = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._/-]*$")]


def _fence(value: int) -> int:
    """Fences are drawn from the clock. One of the far future would shut every leader to come out of the route."""
    if value > 1000 * (time.time() + FENCE_AHEAD_SECONDS):
        raise PydanticCustomError("fence", "must not be further ahead of the clock, in milliseconds, than a day")
    return value


class Releasing(BaseModel):
    """A change that may be a release's."""

    release: ReleaseId = ""
    fence: Annotated[int, Field(ge=0), AfterValidator(_fence)] = 0
    end_release: bool = False

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.release and (self.end_release or self.fence):
            raise PydanticCustomError("release", "`fence` and `end_release` belong to a release: name it in `release`")
        return self

    @property
    def hold(self) -> Hold:
        """What the change asks of the lock."""
        return Hold(self.release, self.fence, self.end_release)


class GetRoute(BaseModel):
    name: RouteName


class ListRoutes(BaseModel):
    page_size: PageSize = 0
    page_token: PageToken = ""


class UpdateRoute(Releasing):
    route: Route
    allow_missing: bool = False


class SetWeights(Releasing):
    name: RouteName
    versions: Versions
    etag: Etag = ""


class DeleteRoute(BaseModel):
    name: RouteName
    etag: Etag = ""


class WatchRoutes(BaseModel):
    name: OptionalRouteName = None
