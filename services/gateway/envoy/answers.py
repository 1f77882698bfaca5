"""Parts of routes that several rooms of the table need: headers, answers that Envoy gives itself, the two doors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.gateway.envoy.snapshot import HTTP_SUFFIX

Json = dict[str, Any]

MODEL_HEADER = "x-bmase-model"
VERSION_HEADER = "x-bmase-version"
TYPE = "type.googleapis.com/"

IS_GRPC: Json = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}

# gRPC's codes, as they go over the wire.
INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED = "3", "5", "7", "8"
UNIMPLEMENTED, UNAVAILABLE, DEADLINE_EXCEEDED = "12", "14", "4"


@dataclass(frozen=True, slots=True)
class Door:
    """One of the two protocols in which a model is asked: with keys, routes and ports of its own."""

    name: str
    key_prefix: str
    cluster_suffix: str


GRPC = Door("grpc", "", "")
HTTP = Door("http", "/", HTTP_SUFFIX)


def header(key: str, value: str) -> Json:
    """Sets a header, whatever was there."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def typed(kind: str, **fields: Any) -> Json:
    """A message in an Any."""
    return {"@type": TYPE + kind, **fields}


def extension(name: str, kind: str, **fields: Any) -> Json:
    """A named extension with its configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def refusal(status: int, grpc_status: str, text: str) -> Json:
    """An answer that Envoy gives: to gRPC a status and a message, to HTTP a status and {"error": text}.

    `text` may hold Envoy's format commands. The JSON around it is made by the listener's local_reply_config, which
    escapes what the client sent.
    """
    return {
        "direct_response": {"status": status, "body_format": {"text_format_source": {"inline_string": text}}},
        "response_headers_to_add": [header("grpc-status", grpc_status)] if grpc_status else [],
    }
