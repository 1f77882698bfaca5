"""The asyncio edge: sends calls, walks lists, follows watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from bmase import connection
from bmase.core.calls import Answer, Call, Follow, Item, Listing, Watch
from bmase.errors import BmaseError, Cancelled, from_rpc
from bmase.settings import Settings

CLOSED = "the client was closed"


class Wire:
    """One channel and the credentials that every call carries."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metadata = connection.metadata(settings)
        self.channel: grpc.aio.Channel = connection.open_channel(settings, grpc.aio)
        self._unary: dict[str, Any] = {}

    async def send(self, call: Call[Answer], headers: tuple[tuple[str, str], ...] = ()) -> Answer:
        """The answer to a unary call; BmaseError when it fails."""
        try:
            answer: Answer = await self._method(call)(
                call.request, timeout=call.timeout, metadata=(*self.metadata, *headers)
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        except grpc.aio.UsageError:
            raise Cancelled(CLOSED) from None
        return answer

    def _method(self, call: Call[Answer]) -> Any:
        method = self._unary.get(call.path)
        if method is None:
            method = self.channel.unary_unary(
                call.path,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.answer.FromString,
            )
            self._unary[call.path] = method
        return method

    async def stream(self, call: Call[Answer]) -> AsyncIterator[Answer]:
        """The answers of a streaming call; closing the iterator ends the call."""
        method: Any = self.channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.answer.FromString,
        )
        try:
            events = method(call.request, timeout=call.timeout, metadata=self.metadata)
        except grpc.aio.UsageError:
            raise Cancelled(CLOSED) from None
        try:
            async for event in events:
                yield event
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            events.cancel()

    async def items(self, listing: Listing[Item]) -> AsyncIterator[Item]:
        """All items of a list, page by page."""
        token = ""
        while True:
            answer = await self.send(listing.page(token))
            for item in listing.items(answer):
                yield item
            token = answer.next_page_token
            if not token:
                return

    async def follow(self, watch: Watch[Answer], timeout: float | None = None) -> AsyncIterator[Answer]:
        """The events of a watch, over broken connections; Unavailable when nobody answers for long."""
        walk = Follow(watch, timeout)
        while True:
            broken: BmaseError | None = None
            try:
                async for event in self.stream(walk.call()):
                    over = walk.saw(event)
                    yield event
                    if over:
                        return
            except BmaseError as error:
                broken = error
            wait = walk.broke(broken)
            if wait is None:
                return
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Ends all calls and the connection."""
        await self.channel.close()
