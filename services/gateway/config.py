"""Settings of the gateway, shared by the control process and the launcher of Envoy."""

from __future__ import annotations

import os
import shutil
from math import ceil
from pathlib import Path

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.gateway.envoy.answers import Json
from services.gateway.envoy.configuration import Configuration
from services.gateway.envoy.limits import MEBIBYTE, Limits
from services.gateway.envoy.listener import Files, client_tls, server_tls
from services.gateway.envoy.snapshot import Endpoint
from services.kit.config import ServiceSettings, is_loopback, is_wildcard, split_address

_PINNED = Path(__file__).resolve().parents[2] / ".runtime" / "bin" / "envoy"


class GatewaySettings(ServiceSettings):
    """`listen` is the control's own port; clients connect to `envoy_listen`."""

    model_config = SettingsConfigDict(env_prefix="BMASE_GATEWAY_")

    envoy_listen: str = Field(default="127.0.0.1:8080", description="host:port that clients connect to")
    envoy_advertise: str = Field(
        default="", description="the address that clients are told, when it is not envoy_listen"
    )
    envoy_admin: str = Field(default="127.0.0.1:9901", description="Envoy's admin interface, on loopback only")
    envoy_statistics: str = Field(
        default="127.0.0.1:9902", description="host:port of GET /stats/prometheus, for the monitor and Prometheus"
    )
    envoy_statistics_advertise: str = Field(
        default="", description="the address that others read statistics at, when it is not envoy_statistics"
    )
    envoy_binary: Path | None = Field(default=None, description="default: .runtime/bin/envoy, then `envoy` on PATH")
    envoy_workers: int = Field(default=0, ge=0, le=256, description="0: one a processor")
    request_bytes: int = Field(default=64 * MEBIBYTE, ge=64 * 1024, le=1024 * MEBIBYTE, description="largest request")
    request_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="deadline of a unary request whose route has none of its own"
    )
    receive_seconds: float = Field(default=120.0, gt=0, le=86_400, description="for a request to arrive whole")
    idle_seconds: float = Field(
        default=3600.0, gt=0, le=7 * 86_400, description="after which a silent stream is closed"
    )
    retries: int = Field(default=2, ge=0, le=10, description="on UNAVAILABLE, each on another node")
    requests_per_node_set: int = Field(
        default=4096, ge=1, le=1_000_000, description="under way at once to one set of nodes; more are refused"
    )
    client_connections: int = Field(default=10_000, ge=1, le=1_000_000, description="at once; more are refused")
    heap_bytes: int = Field(
        default=4096 * MEBIBYTE, ge=128 * MEBIBYTE, description="of Envoy; it sheds load before that"
    )

    capture_percent: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="of the requests that the monitor is shown, when there is one and the model says nothing else",
    )
    capture_per_second: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="requests of all models that the monitor is shown at most, divided among Envoy's workers",
    )

    @field_validator("envoy_listen", "envoy_admin", "envoy_advertise", "envoy_statistics", "envoy_statistics_advertise")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @model_validator(mode="after")
    def _safe_envoy(self) -> GatewaySettings:
        if not is_loopback(split_address(self.envoy_admin)[0]):
            raise ValueError(
                f"envoy_admin={self.envoy_admin}: the admin interface may stop Envoy; keep it on 127.0.0.1"
            )
        host, _ = split_address(self.envoy_listen)
        if not is_loopback(host) and not self.tls.enabled:
            raise ValueError(
                f"envoy_listen={self.envoy_listen} is reachable from other machines: set tls.cert and tls.key, or "
                "listen on 127.0.0.1"
            )
        if is_wildcard(host) and not self.envoy_advertise:
            raise ValueError(
                f"envoy_listen={self.envoy_listen} names no address to dial: set envoy_advertise=host:port"
            )
        if is_wildcard(split_address(self.envoy_statistics)[0]) and not self.envoy_statistics_advertise:
            raise ValueError(
                f"envoy_statistics={self.envoy_statistics} names no address to dial: set "
                "envoy_statistics_advertise=host:port"
            )
        return self

    @property
    def statistics_address(self) -> str:
        """Where others read Envoy's statistics."""
        return self.envoy_statistics_advertise or self.envoy_statistics

    @property
    def clients_address(self) -> str:
        """Where clients connect."""
        return self.envoy_advertise or self.envoy_listen

    @property
    def binary(self) -> Path | None:
        """The Envoy to run, None when there is none."""
        if self.envoy_binary:
            return self.envoy_binary
        on_path = shutil.which("envoy")
        return _PINNED if _PINNED.exists() else Path(on_path) if on_path else None

    def limits(self) -> Limits:
        """What Envoy is told about the treatment of requests."""
        return Limits(
            message_bytes=self.request_bytes,
            timeout=self.request_seconds,
            receive=self.receive_seconds,
            stream_idle=self.idle_seconds,
            retries=self.retries,
            requests=self.requests_per_node_set,
            connections=self.client_connections,
            heap_bytes=self.heap_bytes,
            capture_percent=self.capture_percent,
            captures_per_worker=ceil(self.capture_per_second / self.workers),
        )

    @property
    def workers(self) -> int:
        """Of Envoy."""
        return self.envoy_workers or len(os.sched_getaffinity(0))

    def configuration(self) -> Configuration:
        """Envoy's files as these settings want them."""
        return Configuration(
            name=self.instance,
            address=Endpoint(*split_address(self.envoy_listen)),
            admin=Endpoint(*split_address(self.envoy_admin)),
            statistics=Endpoint(*split_address(self.envoy_statistics)),
            files=Files(self.data_dir.absolute() / "envoy"),
            limits=self.limits(),
            listener_tls=self._server_tls(),
            service_tls=self._client_tls(),
            monitor_token=self.token is not None,
        )

    def _server_tls(self) -> Json | None:
        tls = self.tls
        if tls.cert is None or tls.key is None:
            return None
        return server_tls(tls.cert.absolute(), tls.key.absolute(), tls.ca and tls.ca.absolute(), tls.mutual)

    def _client_tls(self) -> Json | None:
        tls = self.tls
        if not tls.enabled and tls.ca is None:
            return None
        cert, key, ca = (path and path.absolute() for path in (tls.cert, tls.key, tls.ca))
        return client_tls(cert, key, ca, tls.server_name)
