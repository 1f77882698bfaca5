"""Channels to the gateway: options, credentials, and what may be sent again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from bmase.errors import NotConfigured
from bmase.settings import Settings

# Repeating these changes nothing: they only read, set a stated value, or carry a request_id.
IDEMPOTENT: dict[str, str] = {
    "bmase.registry.v1.RegistryService": (
        "CreateModel GetModel ListModels UndeleteModel CreateVersion GetVersion ListVersions UpdateVersion "
        "UndeleteVersion SetAlias PutHold StartUpload GetUpload GetArtefact CollectGarbage"
    ),
    "bmase.patcher.v1.DeploymentService": (
        "CreateDeployment GetDeployment ListDeployments ScaleDeployment ListNodes CordonNode UncordonNode"
    ),
    "bmase.patcher.v1.ReleaseService": (
        "CreateRelease GetRelease ListReleases PauseRelease ResumeRelease RollbackRelease ListReleaseEvents"
    ),
    "bmase.monitor.v1.MonitorService": (
        "StartComparison GetComparison ListComparisons EndComparison GetCapture UpdateCapture ListSamples "
        "ReportOutcomes PutReference GetDrift CompareVersions ListAlerts AcknowledgeAlert ResolveAlert"
    ),
    "bmase.trainer.v1.TrainerService": "CreateJob GetJob ListJobs CancelJob ListMetrics",
    "bmase.gateway.v1.RouteService": "GetRoute ListRoutes ListGateways",
    "inference.GRPCInferenceService": (
        "ServerLive ServerReady ServerMetadata ModelReady ModelMetadata ModelConfig ModelStatistics RepositoryIndex"
    ),
}

RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "3s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def service_config() -> str:
    """gRPC's service config: retries of idempotent calls on UNAVAILABLE."""
    method_names = [{"service": s, "method": m} for s, methods in IDEMPOTENT.items() for m in methods.split()]
    return json.dumps({"methodConfig": [{"name": method_names, "retryPolicy": RETRY}]})


def options() -> list[tuple[str, Any]]:
    """Channel options: tensors of any size, and our retries."""
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", service_config()),
        # Connections are tried again faster than calls are: the last attempt of a call finds a server that is back.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # A peer that vanished without a word ends a watch after 50 s instead of never.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
        # Otherwise clients of one process would share one connection, and its waiting time after a failure.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", "bmase-python"),
    ]


def headers(given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Headers of one call as gRPC takes them: their names in lower case."""
    return tuple((name.strip().lower(), value) for name, value in (given or {}).items())


def metadata(settings: Settings) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    return (("authorization", f"Bearer {settings.token}"),) if settings.token else ()


def credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """TLS credentials, or None for a plain connection."""
    if not settings.secure:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(settings.ca),
        private_key=_pem(settings.key),
        certificate_chain=_pem(settings.cert),
    )


def _pem(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as problem:
        raise NotConfigured(f"{path} cannot be read: {problem.strerror}") from problem


def open_channel(settings: Settings, module: Any = grpc) -> Any:
    """A channel of `grpc` or `grpc.aio`; nothing is sent before the first call."""
    checked = settings.checked()
    secure = credentials(checked)
    if secure is None:
        return module.insecure_channel(checked.target, options=options())
    return module.secure_channel(checked.target, secure, options=options())
