"""Artefact bytes on the wire, without the copies that protobuf would make of every megabyte.

`WriteArtefactRequest` and `ReadArtefactResponse` stay ordinary messages for everybody else. Here the first is taken
apart by hand, its data a view into what gRPC received, and the second is put together around the data as it comes from
the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from bmase.registry.v1 import registry_pb2 as pb
from bmase.registry.v1 import registry_pb2_grpc
from google.protobuf.message import DecodeError

from services.registry.inflow import Piece

_WRITE = "/bmase.registry.v1.RegistryService/WriteArtefact"
_READ = "/bmase.registry.v1.RegistryService/ReadArtefact"
# A view pays off from here on; below, and for messages of any other form, protobuf does it.
_LARGE = 4096
_DATA_OF_WRITE = 0x1A  # field 3, length-delimited
_DATA_OF_READ = b"\x0a"  # field 1, length-delimited


def decode_piece(raw: bytes) -> Piece:
    """One message of WriteArtefact; raises DecodeError."""
    if len(raw) > _LARGE and raw[0] == _DATA_OF_WRITE:
        size, at = _varint(raw, 1)
        if at + size == len(raw):
            return Piece("", 0, memoryview(raw)[at:])
    message = pb.WriteArtefactRequest.FromString(raw)
    return Piece(message.upload_id, message.offset, memoryview(message.data))


def encode_piece(data: bytes) -> bytes:
    """A serialised ReadArtefactResponse."""
    return b"".join((_DATA_OF_READ, _encoded(len(data)), data))


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64 and at < len(raw):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError("a length does not end")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def add_to_server(servicer: Any, server: Any) -> None:
    """Registers the service as the generated code does, with these two methods (de)serialised here."""
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(servicer, _Server(server))


class _Server:
    """Stands before a gRPC server while the generated code registers its handlers."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(tuple(_Handlers(handler) for handler in handlers))

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        swapped = {name: _swapped(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, swapped)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = self._inner.service(handler_call_details)
        return None if handler is None else _swapped(handler_call_details.method, handler)


def _swapped(method: str, handler: Any) -> grpc.RpcMethodHandler:
    if method == _WRITE:
        return grpc.stream_unary_rpc_method_handler(handler.stream_unary, decode_piece, handler.response_serializer)
    if method == _READ:
        return grpc.unary_stream_rpc_method_handler(handler.unary_stream, handler.request_deserializer, None)
    return handler
