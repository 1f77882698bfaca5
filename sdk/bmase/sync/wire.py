"""The blocking edge: sends calls, walks lists, follows watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc

from bmase import connection
from bmase.core.calls import Answer, Call, Follow, Item, Listing, Watch
from bmase.errors import BmaseError, Cancelled, from_rpc
from bmase.settings import Settings


class Wire:
    """One channel and the credentials that every call carries. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metadata = connection.metadata(settings)
        self.channel = connection.open_channel(settings)
        self._unary: dict[str, Any] = {}

    def send(self, call: Call[Answer], headers: tuple[tuple[str, str], ...] = ()) -> Answer:
        """The answer to a unary call; BmaseError when it fails."""
        try:
            answer: Answer = self._method(call)(call.request, timeout=call.timeout, metadata=(*self.metadata, *headers))
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        except ValueError as error:
            raise self._closed(error) from None
        return answer

    @staticmethod
    def _closed(error: ValueError) -> Exception:
        """gRPC has no type of its own for calls on a closed channel."""
        return Cancelled("the client was closed") if "closed" in str(error).lower() else error

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

    def stream(self, call: Call[Answer]) -> Iterator[Answer]:
        """The answers of a streaming call; closing the iterator ends the call."""
        method = self.channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.answer.FromString,
        )
        try:
            events = method(call.request, timeout=call.timeout, metadata=self.metadata)
        except ValueError as error:
            raise self._closed(error) from None
        try:
            yield from events
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            events.cancel()

    def items(self, listing: Listing[Item]) -> Iterator[Item]:
        """All items of a list, page by page."""
        token = ""
        while True:
            answer = self.send(listing.page(token))
            yield from listing.items(answer)
            token = answer.next_page_token
            if not token:
                return

    def follow(self, watch: Watch[Answer], timeout: float | None = None) -> Iterator[Answer]:
        """The events of a watch, over broken connections; Unavailable when nobody answers for long."""
        walk = Follow(watch, timeout)
        while True:
            broken: BmaseError | None = None
            try:
                for event in self.stream(walk.call()):
                    over = walk.saw(event)
                    yield event
                    if over:
                        return
            except BmaseError as error:
                broken = error
            wait = walk.broke(broken)
            if wait is None:
                return
            time.sleep(wait)

    def close(self) -> None:
        """Ends all calls and the connection."""
        self.channel.close()
