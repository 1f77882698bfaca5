"""The gRPC server of a service: health, reflection, the layers around every call, registration, graceful drain.

Stopping loses no call in flight, in this order: health turns NOT_SERVING, the instance leaves Consul, new calls are
refused with UNAVAILABLE/DRAINING (clients retry them elsewhere), watches are ended the same way so that they resume
elsewhere, running calls get `drain_seconds` to finish, and only then the port closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.kit.config import ServiceSettings, is_wildcard, split_address
from services.kit.consul import Consul, grpc_check, tcp_check
from services.kit.consul import Registration as ConsulRegistration
from services.kit.interceptors import HEALTH, Layers
from services.kit.interceptors_errors import Errors
from services.kit.interceptors_guard import (
    LAST_WORDS_SECONDS,
    Anonymous,
    Authentication,
    Authenticator,
    InFlight,
    SharedToken,
)
from services.kit.interceptors_observe import AccessLog, Metrics, Traces
from services.kit.server_health import HealthServicer
from services.kit.telemetry import Telemetry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """One gRPC service of a server: the generated function, the servicer, and `package.Service`."""

    add_to_server: Callable[[Any, Any], None]
    servicer: Any
    full_name: str


class GrpcServer:
    """One listening server; an async context manager that starts it and stops it gracefully.

    With a `consul` it registers there under `name` for as long as it serves. `options` are gRPC's own, beside ours.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        name: str,
        registrations: Sequence[Registration],
        *,
        telemetry: Telemetry | None = None,
        consul: Consul | None = None,
        authenticator: Authenticator | None = None,
        meta: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._settings = settings
        self._name = name
        self._registrations = tuple(registrations)
        self._telemetry = telemetry or Telemetry()
        self._consul = consul
        self._authenticator = authenticator or _authenticator(settings)
        self._meta, self._tags = dict(meta or {}), tuple(tags)
        self._own_options = tuple(options)
        self._in_flight = InFlight(settings.call_seconds, settings.max_calls)
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._entry: ConsulRegistration | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on, also when the settings asked for any."""
        return self._port

    @property
    def address(self) -> str:
        """`host:port` under which others reach this server."""
        host, port = self._settings.advertised(self._port)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def __aenter__(self) -> GrpcServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens and registers; raises OSError when the address cannot be listened on."""
        layers = Layers(self._layers())
        options = [*_options(self._settings), *self._own_options]
        self._server = grpc.aio.server(interceptors=[layers], options=options)
        names = [HEALTH, *(registration.full_name for registration in self._registrations)]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._server)
        for registration in self._registrations:
            registration.add_to_server(registration.servicer, self._server)
        self._port = _listen(self._server, self._settings)
        await self._server.start()
        self._health.serving(registration.full_name for registration in self._registrations)
        self._register()
        log.info("server.started", name=self._name, address=self.address, services=names[1:])

    async def stop(self) -> None:
        """Stops as the module says; a second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        log.info("server.draining", name=self._name, in_flight=len(self._in_flight))
        self._health.not_serving()
        if self._entry is not None:
            await self._entry.stop()
        until = time.monotonic() + self._settings.drain_seconds
        ended = await self._in_flight.drain(self._settings.drain_seconds)
        # What is left now are calls whose request is still on its way to us.
        await server.stop(max(LAST_WORDS_SECONDS, until - time.monotonic()))
        log.info("server.stopped", name=self._name, calls_ended=ended)

    def _layers(self) -> list[Any]:
        return [
            Traces(self._telemetry.tracer),
            AccessLog(),
            Metrics(self._telemetry.registry),
            Errors(),
            self._in_flight,
            Authentication(self._authenticator),
        ]

    def _register(self) -> None:
        if self._consul is None:
            return
        host, port = self._settings.advertised(self._port)
        check = _check(self._settings, self.address)
        self._entry = ConsulRegistration(
            self._consul, self._name, self._settings.instance, host, port, self._described(host), self._tags, check
        )
        self._entry.start()

    def _described(self, host: str) -> dict[str, str]:
        """What others are told beside the address: `metrics` is where Prometheus reads this process."""
        told = metrics_address(self._settings, self._telemetry.metrics_port, host)
        return {**({"metrics": told} if told else {}), **self._meta}


def metrics_address(settings: ServiceSettings, port: int, host: str) -> str:
    """Where others read `/metrics` of a process that they know as `host`; empty when it serves none."""
    if not port:
        return ""
    listened, _ = split_address(settings.metrics_listen)
    reached = host if is_wildcard(listened) else listened
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


def _authenticator(settings: ServiceSettings) -> Authenticator:
    return Anonymous() if settings.token is None else SharedToken(settings.token)


def _check(settings: ServiceSettings, target: str) -> dict[str, Any]:
    if settings.tls.mutual:
        host, port = split_address(target)
        return tcp_check(host, port)  # Consul has no certificate of ours to show
    return grpc_check(target, tls=settings.tls.enabled)


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two processes on one port would share its calls at random; the second has to fail instead.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Gateways ping the monitor once a second, and would be sent away for it.
        ("grpc.http2.min_ping_interval_without_data_ms", 900),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _listen(server: grpc.aio.Server, settings: ServiceSettings) -> int:
    try:
        if settings.tls.enabled:
            port = server.add_secure_port(settings.listen, _credentials(settings))
        else:
            port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {settings.listen}: the address is in use or not this machine's; choose another `listen`"
        ) from error
    return int(port)


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials:
    tls = settings.tls
    if tls.cert is None or tls.key is None:
        raise ValueError("tls.cert and tls.key must be set")
    pair = (tls.key.read_bytes(), tls.cert.read_bytes())
    roots = tls.ca.read_bytes() if tls.mutual and tls.ca is not None else None
    return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=tls.mutual)
