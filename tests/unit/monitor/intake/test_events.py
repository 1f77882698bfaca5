"""What Envoy's access log says of a bad request becomes an event."""

from __future__ import annotations

from typing import Any

import pytest

from services.monitor.intake.events import BadEvent
from services.monitor.intake.logs import LogsServicer
from services.monitor.intake.pairs import Pair
from services.monitor.intake.wire import LogsRequest
from tests.support import otlp

pytestmark = pytest.mark.anyio

LOG = "bad requests"
SAID = {
    "model": "digits",
    "version": "3",
    "client": "-",
    "address": "10.0.0.9",
    "request_id": "-",
    "grpc_status": "UNAVAILABLE",
    "http_code": "200",
    "flags": "-",
    "details": "via_upstream",
    "duration_ms": "12",
}


def export(*records: dict[str, str]) -> Any:
    return otlp.export(*records, log=LOG)


def no_pair(pair: Pair) -> None:
    raise AssertionError("a bad request is no pair")


async def test_every_record_is_an_event() -> None:
    seen: list[BadEvent] = []
    servicer = LogsServicer(seen.append, no_pair, print)
    answer = await servicer.Export(export(SAID, {**SAID, "client": "tenant-7", "request_id": "r-1"}), None)
    assert seen[0] == BadEvent(1.5, "gw-1", "digits", 3, "10.0.0.9", "", "UNAVAILABLE", 200, "", 12.0, answered=True)
    assert (seen[1].client, seen[1].request_id) == ("tenant-7", "r-1")
    assert len(seen) == 2
    assert not answer.HasField("partial_success")


@pytest.mark.parametrize(
    ("said", "client", "stuck"),
    [
        ({"client": "invented", "sticky": "source address"}, "10.0.0.9", True),
        ({"client": "c", "sticky": "x-bmase-client", "sticky_key": "c"}, "c", True),
        ({"client": "invented", "sticky": "x-session", "sticky_key": "secret"}, "x-session:2bb80d537b1da3e3", True),
        ({"client": "c", "sticky": "x-session", "sticky_key": "-"}, "c", False),
        ({"client": "c", "sticky": "-", "sticky_key": "-"}, "c", True),
    ],
)
async def test_a_sticky_client_is_what_its_route_hashes(said: dict[str, str], client: str, stuck: bool) -> None:
    seen: list[BadEvent] = []
    await LogsServicer(seen.append, no_pair, print).Export(export({**SAID, **said}), None)
    assert (seen[0].client, seen[0].stuck) == (client, stuck)


async def test_an_answer_of_the_gateway_itself_is_told_apart() -> None:
    seen: list[BadEvent] = []
    local = {"version": "-", "flags": "UH", "http_code": "503", "details": "no_healthy_upstream", "duration_ms": "-"}
    await LogsServicer(seen.append, no_pair, print).Export(export({**SAID, **local}), None)
    assert (seen[0].version, seen[0].flags, seen[0].answered, seen[0].duration_ms) == (0, "UH", False, 0.0)


async def test_what_is_no_event_is_counted_and_said() -> None:
    seen: list[BadEvent] = []
    answer = await LogsServicer(seen.append, no_pair, print).Export(export({"model": "-"}, {}), None)
    assert seen == []
    assert answer.partial_success.rejected_log_records == 2


async def test_a_client_whose_name_is_no_utf8_loses_nobodys_event() -> None:
    seen: list[BadEvent] = []
    sent = otlp.exported({**SAID, "client": "cafX"}, {**SAID, "client": "other"}, log=LOG).replace(b"cafX", b"caf\xe9")
    await LogsServicer(seen.append, no_pair, print).Export(LogsRequest.FromString(sent), None)
    assert [event.client for event in seen] == ["caf\ufffd", "other"]
