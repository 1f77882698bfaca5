"""Pieces of a request and its answer become one pair, within bounds."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from services.monitor.intake.pairs import ADDRESS, HEADER, ROUTE, VIA, Pair
from services.monitor.intake.processor import ExternalProcessorServicer
from services.monitor.intake.wire import ProcessingRequest

pytestmark = pytest.mark.anyio


class Call:
    """The part of a gRPC context that is used."""

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("x-bmase-gateway", "gw-1")]


def head(values: dict[str, str], *, end: bool = False) -> Any:
    """Of the answer."""
    message = ProcessingRequest()
    for key, value in values.items():
        message.response_headers.headers.headers.add(key=key.encode(), raw_value=value.encode())
    message.response_headers.end_of_stream = end
    message.response_headers.SetInParent()
    return message


def body(kind: str, content: bytes, *, end: bool = False) -> Any:
    message = ProcessingRequest()
    getattr(message, kind).body = content
    getattr(message, kind).end_of_stream = end
    return message


def asked(content: bytes, *, end: bool = True, **headers: str) -> Any:
    """The first piece."""
    message = body("request_body", content, end=end)
    said = {ROUTE: "digits", VIA: "weight", ADDRESS: "10.1.2.3:5000"}
    said |= {HEADER.format(name): value for name, value in {"content-type": "application/grpc", **headers}.items()}
    group = message.attributes.add(key=b"envoy.filters.http.ext_proc")
    for key, value in said.items():
        group.value.fields.add(key=key.encode()).value.string_value = value.encode()
    return message


def framed(content: bytes) -> bytes:
    return struct.pack(">BI", 0, len(content)) + content


ANSWER = {":status": "200", "x-bmase-version": "2", "content-type": "application/grpc"}


def call(request: bytes = b"question", response: bytes = b"answer", **headers: str) -> list[Any]:
    answer = framed(response)
    return [
        asked(framed(request), **headers),
        head(ANSWER),
        body("response_body", answer[:3]),
        body("response_body", answer[3:]),
    ]


async def process(servicer: ExternalProcessorServicer, messages: Iterable[Any]) -> None:
    async def pieces() -> AsyncIterator[Any]:
        for message in messages:
            yield ProcessingRequest.FromString(message.SerializeToString())

    await servicer.Process(pieces(), Call())


async def gathered(*calls: list[Any], **bounds: int) -> tuple[list[Pair], ExternalProcessorServicer]:
    pairs: list[Pair] = []
    servicer = ExternalProcessorServicer(pairs.append, **bounds)
    for messages in calls:
        await process(servicer, messages)
    return pairs, servicer


async def test_a_grpc_call_is_two_messages() -> None:
    (pair,), servicer = await gathered(call())
    assert (pair.gateway, pair.model, pair.version, pair.via) == ("gw-1", "digits", 2, "weight")
    assert (pair.request, pair.response, pair.status, pair.protocol) == (b"question", b"answer", "OK", "grpc")
    assert (pair.client, pair.request_id, pair.size) == ("10.1.2.3", "", 14)
    assert pair.duration_ms >= 0
    assert (servicer.counts["digits"].sampled, servicer.held) == (1, 0)


async def test_who_asked_is_in_the_headers() -> None:
    names = {"x-bmase-tenant": "t", "x-request-id": "r-1"}
    (pair, other), _ = await gathered(call(**names), call(**names, **{"x-bmase-client": "c"}))
    assert (pair.client, pair.request_id, other.client) == ("t", "r-1", "c")


async def test_a_failed_call_has_no_answer() -> None:
    (pair,), _ = await gathered([call()[0], head({**ANSWER, "grpc-status": "13"}, end=True)])
    assert (pair.status, pair.response) == ("INTERNAL", b"")


async def test_http_with_binary_tensors_keeps_what_decoding_needs() -> None:
    length = {"inference-header-content-length": "7"}
    (pair,), _ = await gathered(
        [
            asked(b"{json}", end=False, **{"content-type": "application/json", "content-encoding": "gzip", **length}),
            body("request_body", b"binary", end=True),
            head({":status": "200", "x-bmase-version": "1", **length}),
            body("response_body", b"{}answer", end=True),
        ]
    )
    assert (pair.protocol, pair.request, pair.response, pair.status) == ("http", b"{json}binary", b"{}answer", "200")
    assert (pair.request_header_length, pair.response_header_length, pair.request_encoding) == (7, 7, "gzip")


@pytest.mark.parametrize(
    ("pieces", "bounds"),
    [
        (call()[:-1], {}),
        (call(request=b"x" * 100), {"max_pair_bytes": 100}),
        (call(request=b"x" * 100), {"max_bytes": 100}),
        ([*call()[:2], body("response_body", b"\1\0\0\0\2zz")], {}),
    ],
    ids=["broken off", "too large", "no room", "compressed"],
)
async def test_what_becomes_no_pair_is_counted_and_held_no_longer(pieces: list[Any], bounds: dict[str, int]) -> None:
    pairs, servicer = await gathered(pieces, **bounds)
    assert pairs == []
    assert (servicer.dropped("digits"), servicer.counts["digits"].sampled, servicer.held) == (1, 0, 0)


async def test_what_no_version_answered_is_nothing_of_a_models() -> None:
    pairs, servicer = await gathered([call()[0], head({":status": "404"}, end=True)])
    assert pairs == []
    assert not servicer.counts


async def test_the_bound_is_on_all_calls_together() -> None:
    servicer = ExternalProcessorServicer(lambda pair: None, max_bytes=150)
    waiting = call(request=b"x" * 80)
    first, second = OpenCall(servicer, waiting[:1]), OpenCall(servicer, waiting[:1])
    assert await first.fed()
    assert servicer.held == 85
    assert not await second.fed()
    await first.end()
    assert servicer.held == 0


class OpenCall:
    """A call that is left open after its first pieces."""

    def __init__(self, servicer: ExternalProcessorServicer, messages: list[Any]) -> None:
        self._rest = asyncio.Event()
        self._fed = asyncio.Event()
        self._messages = messages
        self._task = asyncio.ensure_future(servicer.Process(self._pieces(), Call()))

    async def _pieces(self) -> AsyncIterator[Any]:
        for message in self._messages:
            yield message
        self._fed.set()
        await self._rest.wait()

    async def fed(self) -> bool:
        """Whether the call still waits for more."""
        waiting = asyncio.ensure_future(self._fed.wait())
        await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return not self._task.done()

    async def end(self) -> None:
        self._rest.set()
        await self._task
