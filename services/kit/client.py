"""Calls to the other services: found through Consul, retried, bounded in time, with our credentials and trace.

    clients = ServiceClients(consul, settings)
    registry = RegistryServiceStub(clients.channel("registry"))

A channel follows the instances that pass their checks. It keeps the last ones it knew when Consul is gone or knows
none, because a vanished entry is no evidence that an instance is dead; a dead one answers by not answering.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import structlog

from services.kit.client_channel import ResolvedChannel
from services.kit.client_endpoint import Dial, Endpoint
from services.kit.config import ServiceSettings
from services.kit.consul import Consul

log = structlog.get_logger(__name__)

RETRIES: dict[str, Any] = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    # The one code that says the call was not carried out. Calls that create are idempotent by their request_id.
    "retryableStatusCodes": ["UNAVAILABLE"],
}

SERVICE_CONFIG: dict[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{}], "retryPolicy": RETRIES}],
    # An instance that says NOT_SERVING gets no new calls, which is sooner than Consul's next look.
    "healthCheckConfig": {"serviceName": ""},
}


class ServiceClients:
    """One channel a service, shared by everybody in the process; close it after everything that calls."""

    def __init__(self, consul: Consul, settings: ServiceSettings) -> None:
        self._consul = consul
        self._settings = settings
        self._channels: dict[str, ResolvedChannel] = {}
        self._dial = dialer(settings)

    async def __aenter__(self) -> ServiceClients:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def channel(self, name: str) -> grpc.aio.Channel:
        """The channel to the service that is registered in Consul as `name`; never waits."""
        if name not in self._channels:
            endpoint = Endpoint(name, self._consul, self._dial)
            self._channels[name] = ResolvedChannel(endpoint, self._settings)
        return self._channels[name]

    async def close(self) -> None:
        """Ends the calls that are still running and forgets all channels."""
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(channel.close() for channel in channels))


def dialer(settings: ServiceSettings) -> Dial:
    """Makes channels to addresses as the settings want them: with TLS when `tls.ca` or `tls.cert` is set."""
    options = _options(settings)
    credentials = _credentials(settings)

    def dial(target: str) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(target, options)
        return grpc.aio.secure_channel(target, credentials, options)

    return dial


def _options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A peer that vanished without a word (power, network) is noticed on watches too.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def _credentials(settings: ServiceSettings) -> grpc.ChannelCredentials | None:
    tls = settings.tls
    if not tls.secure_calls:
        return None
    roots = tls.ca.read_bytes() if tls.ca is not None else None
    if not tls.mutual or tls.cert is None or tls.key is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, tls.key.read_bytes(), tls.cert.read_bytes())
