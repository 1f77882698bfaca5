"""Something that is not Consul at Consul's address: errors where somebody asks, silence where somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bmase.reasons import Reason

from services.kit.consul import Consul
from services.kit.errors import DomainError
from tests.support.recorder import Recorder

pytestmark = pytest.mark.anyio


def answer(body: bytes, status: str = "200 OK", index: str = "X-Consul-Index: 7\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{index}\r\n".encode() + body


ENTRY = b'[{"Key":"bmase/epoch","Value":"ZQ==","ModifyIndex":3,"CreateIndex":3}]'

LIES = {
    "closes at once": b"",
    "is no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "is cut short": answer(ENTRY)[:-20],
    "is a web page": answer(b"<html>welcome</html>"),
    "is empty": answer(b""),
    "has no index": answer(ENTRY, index=""),
    "has an index that is no number": answer(ENTRY, index="X-Consul-Index: many\r\n"),
    "has another shape": answer(b'{"Key": 1}'),
    "has entries without keys": answer(b'[{"Value":"ZQ==","ModifyIndex":3}]'),
    "has a value that is no base64": answer(b'[{"Key":"bmase/epoch","Value":"Z","ModifyIndex":3,"CreateIndex":3}]'),
    "is no text": answer(b"\xff\xfe\xff"),
    "is a failure": answer(b"No cluster leader", "500 Internal Server Error"),
    "asks for a token": answer(b"Permission denied", "403 Forbidden"),
    "is overloaded": answer(b"", "429 Too Many Requests"),
    "is a gateway's": answer(b"<html>", "502 Bad Gateway"),
}


class Liar:
    """Answers every request with the same bytes and counts them."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.asked = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                writer.write(self.said)
                await writer.drain()
                if self.said not in ALWAYS:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


ALWAYS = [answer(ENTRY)]


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    made = Liar(b"")
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize("said", LIES.values(), ids=LIES.keys())
async def test_a_liar_is_an_unusable_consul(liar: Liar, said: bytes) -> None:
    liar.said = said
    async with Consul(liar.url) as consul:
        for call in (consul.kv.get("bmase/epoch"), consul.kv.list("bmase/"), consul.kv.epoch()):
            with pytest.raises(DomainError) as error:
                await call
            assert error.value.reason is Reason.COORDINATION_UNAVAILABLE


@pytest.mark.parametrize("said", LIES.values(), ids=LIES.keys())
async def test_a_watch_outlives_a_liar_without_a_word_and_without_haste(liar: Liar, said: bytes) -> None:
    liar.said = said
    async with Consul(liar.url) as consul:
        recorders = Recorder(consul.watch("bmase/")), Recorder(consul.watch_service("web"))
        async with recorders[0], recorders[1]:
            await asyncio.sleep(1)
            assert not recorders[0].items
            assert not recorders[1].items
    assert liar.asked < 40


async def test_a_consul_that_never_blocks_is_not_asked_in_a_loop(liar: Liar) -> None:
    liar.said = ALWAYS[0]
    async with Consul(liar.url) as consul, Recorder(consul.watch("bmase/")) as seen:
        await seen.until(lambda listing: True)
        await asyncio.sleep(2)
        assert len(seen.items) == 1
    assert liar.asked < 150


async def test_a_consul_that_says_one_byte_a_second_is_given_up(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in answer(ENTRY):
            writer.write(bytes([byte]))
            await asyncio.sleep(1)

    monkeypatch.setattr("services.kit.consul.kv.CALL_SECONDS", 1.5)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server, Consul(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as consul:
        with pytest.raises(DomainError, match="no answer within"):
            await consul.kv.get("bmase/a")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8500",
        "ftp://127.0.0.1",
        "http://",
        "http://h:notaport",
        "http://h:99999",
        "http://u:p@h",
        "http://h/x",
    ],
)
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DomainError, match="consul_url") as refused:
        Consul(url)
    assert refused.value.reason is Reason.INVALID_FIELD
    assert "u:p" not in str(refused.value)
