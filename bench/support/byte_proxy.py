"""The proxy that one would write in Python: grpc.aio, one process, bytes passed on without looking at them.

python -m bench.support.byte_proxy LISTEN_PORT TARGET
"""

from __future__ import annotations

import asyncio
import sys

import grpc

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Passing(grpc.GenericRpcHandler):
    """Every unary method, in bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._known: dict[str, grpc.RpcMethodHandler] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        if method not in self._known:
            self._known[method] = self._handler(method)
        return self._known[method]

    def _handler(self, method: str) -> grpc.RpcMethodHandler:
        call = self._channel.unary_unary(method)

        async def forward(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                return await call(request)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
                raise

        return grpc.unary_unary_rpc_method_handler(forward)


async def main(port: int, target: str) -> None:
    """Serves until it is killed."""
    async with grpc.aio.insecure_channel(target, UNLIMITED) as channel:
        server = grpc.aio.server(options=UNLIMITED)
        server.add_generic_rpc_handlers((Passing(channel),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
