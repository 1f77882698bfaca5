"""What Envoy's log of pairs says of a sampled request becomes a pair."""

from __future__ import annotations

import base64
import struct

import pytest

from services.monitor.intake.events import BadEvent
from services.monitor.intake.logs import PAIRS, LogsServicer
from services.monitor.intake.pairs import Pair
from tests.support.otlp import export

pytestmark = pytest.mark.anyio


def copied(content: bytes) -> str:
    """As the gateway's script writes a body."""
    return "=" + base64.b64encode(content).decode()


def framed(content: bytes, packed: int = 0) -> bytes:
    return struct.pack(">BI", packed, len(content)) + content


SAID = {
    "model": "digits",
    "version": "2",
    "via": "weight",
    "client": "-",
    "sticky": "-",
    "sticky_key": "-",
    "address": "10.1.2.3",
    "request_id": "-",
    "grpc_status": "OK",
    "http_code": "200",
    "duration_us": "1500",
    "content_type": "application/grpc",
    "request": copied(framed(b"question")),
    "request_encoding": "-",
    "request_length": "-",
    "response": copied(framed(b"answer")),
    "response_encoding": "-",
    "response_length": "-",
}
HTTP = {"content_type": "application/json", "grpc_status": "-"}


async def gathered(*records: dict[str, str]) -> tuple[list[Pair], list[str]]:
    """The pairs, and the models of what became none."""
    pairs: list[Pair] = []
    lost: list[str] = []

    def no_event(event: BadEvent) -> None:
        raise AssertionError("a pair is no bad request")

    servicer = LogsServicer(no_event, pairs.append, lost.append)
    answer = await servicer.Export(export(*({**SAID, **said} for said in records), log=PAIRS), None)
    assert not answer.HasField("partial_success")
    return pairs, lost


async def test_a_grpc_call_is_two_messages() -> None:
    (pair,), lost = await gathered({})
    assert (pair.gateway, pair.model, pair.version, pair.via) == ("gw-1", "digits", 2, "weight")
    assert (pair.request, pair.response, pair.status, pair.protocol) == (b"question", b"answer", "OK", "grpc")
    assert (pair.client, pair.request_id, pair.size, pair.time, pair.duration_ms) == ("10.1.2.3", "", 14, 1.5, 1.5)
    assert lost == []


async def test_who_asked_is_in_the_headers() -> None:
    (pair,), _ = await gathered({"client": "c", "request_id": "r-1"})
    assert (pair.client, pair.request_id) == ("c", "r-1")


async def test_a_sticky_client_is_what_its_route_hashes() -> None:
    (pair,), _ = await gathered({"client": "invented", "sticky": "source address"})
    assert pair.client == "10.1.2.3"


async def test_a_failed_call_has_no_answer() -> None:
    (pair,), _ = await gathered({"response": copied(b""), "grpc_status": "INTERNAL"})
    assert (pair.status, pair.response) == ("INTERNAL", b"")


async def test_http_with_binary_tensors_keeps_what_decoding_needs() -> None:
    lengths = {"request_length": "6", "response_length": "2", "request_encoding": "gzip"}
    bodies = {"request": copied(b"{json}binary"), "response": copied(b"{}answer")}
    (pair,), _ = await gathered(HTTP | lengths | bodies)
    assert (pair.protocol, pair.request, pair.response, pair.status) == ("http", b"{json}binary", b"{}answer", "200")
    assert (pair.request_header_length, pair.response_header_length, pair.request_encoding) == (6, 2, "gzip")


@pytest.mark.parametrize(
    "said",
    [
        {"response": "-"},
        {"request": "?"},
        {"response": "?"},
        {"request": "=no base64"},
        {"response": copied(framed(b"zz", packed=1))},
        {"response": copied(framed(b"zz")[:-1])},
    ],
    ids=["broken off", "large request", "large answer", "not a copy", "compressed", "not whole"],
)
async def test_what_becomes_no_pair_is_counted(said: dict[str, str]) -> None:
    pairs, lost = await gathered(said)
    assert pairs == []
    assert lost == ["digits"]


@pytest.mark.parametrize("said", [{"version": "-"}, {"model": "-"}])
async def test_what_no_version_answered_is_nothing_of_a_models(said: dict[str, str]) -> None:
    pairs, lost = await gathered(said)
    assert pairs == []
    assert lost == []


async def test_a_number_that_is_none_costs_no_other_pair() -> None:
    pairs, _ = await gathered({}, HTTP | {"request_length": "9" * 5000, "request": copied(b"{}")}, {})
    assert [pair.request_header_length for pair in pairs] == [0, 0, 0]
